package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
)

const (
	clientKey engine.Key = 0x0102030405060708
	serverKey engine.Key = 0x1112131415161718
)

// shake runs the handshake of a first flow, every message cut into pieces of at most step bytes.
type shake struct {
	client, server   Hello
	msg1, msg2, msg3 []byte
	cr, sr           Result
	confirm          *Confirm
	tamper           func(msg2 []byte) []byte
}

func (s *shake) run(step int) (err error) {
	c := NewClientHandshake(s.client)
	s.msg1 = c.Output()
	var sniff Sniffer
	_, n := sniff.Feed(s.msg1)
	h := NewServerHandshake(sniff.Preface())
	if err := cut(s.msg1[n:], step, h.Feed); err != nil {
		return err
	}
	if s.msg2, s.sr, s.confirm, err = h.Accept(s.server); err != nil {
		return err
	}
	if s.tamper != nil {
		s.msg2 = s.tamper(s.msg2)
	}
	if err := cut(s.msg2, step, c.Feed); err != nil {
		return err
	}
	s.cr = c.Result()
	for _, o := range c.Third() {
		s.msg3 = o.Append(s.msg3)
	}
	return nil
}

// cut feeds b in pieces and requires that it is done exactly at its end.
func cut(b []byte, step int, eat func([]byte) (int, bool, error)) error {
	for len(b) > 0 {
		n, done, err := eat(b[:min(step, len(b))])
		if err != nil {
			return err
		}
		if b = b[n:]; done != (len(b) == 0) {
			return violation("test", "done too early or too late")
		}
	}
	return nil
}

func TestCapableHandshake(t *testing.T) {
	for _, c := range []struct{ checksumC, checksumS, noJoinC, noJoinS bool }{
		{}, {checksumC: true}, {checksumS: true}, {true, true, true, true}, {noJoinS: true},
	} {
		for _, secret := range []string{"", "tell nobody"} {
			for step := 1; step < 60; step += 7 {
				s := shake{
					client: Hello{Key: clientKey, Nonce: 9, Checksum: c.checksumC, NoJoin: c.noJoinC, Secret: []byte(secret)},
					server: Hello{Key: serverKey, Checksum: c.checksumS, NoJoin: c.noJoinS, Secret: []byte(secret)},
				}
				require.NoError(t, s.run(step))
				sum := c.checksumC || c.checksumS
				require.Equal(t, Result{Version: 1, Remote: serverKey, Checksum: sum, NoJoin: c.noJoinS}, s.cr)
				require.Equal(t, Result{Version: 1, Remote: clientKey, Checksum: sum, NoJoin: c.noJoinC}, s.sr)

				f, r := established(t, FlowConfig{Confirm: s.confirm})
				require.False(t, f.Confirmed())
				require.NoError(t, feed(f, 0, s.msg3, step))
				require.True(t, f.Confirmed())
				require.Equal(t, []string{"established"}, r.events)
			}
		}
	}
}

func TestSecretMustBeShared(t *testing.T) {
	for _, c := range []struct{ client, server string }{{"a", "b"}, {"a", ""}, {"", "b"}} {
		s := shake{
			client: Hello{Key: clientKey, Secret: []byte(c.client)},
			server: Hello{Key: serverKey, Secret: []byte(c.server)},
		}
		require.ErrorIs(t, s.run(5), ErrSecret)
	}
}

// The server needs its own proof: a client without the secret that goes on regardless gets nowhere.
func TestServerDemandsProof(t *testing.T) {
	s := shake{client: Hello{Key: clientKey, Secret: []byte("x")}, server: Hello{Key: serverKey, Secret: []byte("x")}}
	require.NoError(t, s.run(100))
	capable := s.msg3[proofLen:]
	for name, b := range map[string][]byte{
		"no proof":         capable,
		"the server's":     append(append([]byte(nil), s.msg2[PrefaceLen:PrefaceLen+proofLen]...), capable...),
		"two":              append(append([]byte(nil), s.msg3[:proofLen]...), s.msg3...),
		"data before it":   options.DSS{HasMap: true, DSN64: true, DSN: 1, SSN: 1, DataLen: 1}.Append(nil),
		"one bit is wrong": append([]byte{30, proofLen, 0xF0, TypeProof, s.msg3[4] ^ 1}, s.msg3[5:]...),
	} {
		c := *s.confirm
		f, r := established(t, FlowConfig{Confirm: &c})
		require.ErrorIs(t, f.Feed(0, b), ErrSecret, name)
		require.Empty(t, r.events)
		_, aborted := f.Aborted()
		require.True(t, aborted)
	}
	f, _ := established(t, FlowConfig{Confirm: s.confirm})
	require.ErrorIs(t, f.FeedEOF(0), ErrSecret)
}

// Whoever changes a flag on the way is found out by the proof.
func TestProofCoversTheMessages(t *testing.T) {
	for i := PrefaceLen + proofLen + 2; i < PrefaceLen+proofLen+12; i++ {
		for bit := range 8 {
			s := shake{client: Hello{Key: clientKey, Secret: []byte("x")}, server: Hello{Key: serverKey, Secret: []byte("x")}}
			s.tamper = func(m []byte) []byte { m[i] ^= 1 << bit; return m }
			require.Error(t, s.run(100))
		}
	}
}

func TestClientRefusesWrongAnswers(t *testing.T) {
	q := Preface{Version: 1, Nonce: 77}
	ok := q.AppendAnswer(nil, 1)
	with := func(o options.Option) []byte { return o.Append(append([]byte(nil), ok...)) }
	capable := options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: 5}
	change := func(f func(*options.MPCapable)) []byte { m := capable; f(&m); return with(m) }
	feedClient := func(b []byte) error {
		_, _, err := NewClientHandshake(Hello{Key: clientKey, Nonce: 77}).Feed(b)
		return err
	}
	require.NoError(t, feedClient(with(capable)))
	require.ErrorIs(t, feedClient(q.Append(nil)), ErrEcho)
	require.ErrorIs(t, feedClient(q.Append(nil)), ErrNotStream)
	require.ErrorIs(t, feedClient([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")), ErrNotStream)
	require.ErrorIs(t, feedClient(Preface{Version: 1, Nonce: 78}.AppendAnswer(nil, 1)), ErrNotStream)

	requireViolation(t, feedClient(change(func(m *options.MPCapable) { m.Version = 2 })), "version")
	requireViolation(t, feedClient(change(func(m *options.MPCapable) { m.Version = 0 })), "version")
	requireViolation(t, feedClient(change(func(m *options.MPCapable) { m.Flags |= options.FlagB })), "flag B")
	requireViolation(t, feedClient(change(func(m *options.MPCapable) { m.Flags = 0 })), "flag H")
	requireViolation(t, feedClient(change(func(m *options.MPCapable) { m.HasSender = false })), "length")
	requireViolation(t, feedClient(change(func(m *options.MPCapable) { m.SenderKey = uint64(clientKey) })), "reflects")
	requireViolation(t, feedClient(with(options.MPJoin{Form: options.JoinSyn})), "MP_JOIN")
	requireViolation(t, feedClient(append(ok, 1)), "kind 30")
	requireViolation(t, feedClient(append(ok, 30, 41)), "length")

	var reset *engine.ResetError
	require.ErrorAs(t, feedClient(with(options.TCPRst{Reason: 3, Transient: true})), &reset)
	require.Equal(t, engine.ResetError{Reason: engine.ResetProhibited, Transient: true, Remote: true}, *reset)
}

func TestServerRefusesWrongOpenings(t *testing.T) {
	open := func(b []byte) error {
		_, _, err := NewServerHandshake(Preface{Version: 1}).Feed(b)
		return err
	}
	capable := options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true, SenderKey: 5}
	require.NoError(t, open(capable.Append(nil)))
	requireViolation(t, open(options.MPCapable{Version: 1, Flags: options.FlagH}.Append(nil)), "length")
	requireViolation(t, open(options.MPJoin{Form: options.JoinAck}.Append(nil)), "later MP_JOIN")
	requireViolation(t, open(options.DSS{}.Append(nil)), "neither")
	requireViolation(t, open([]byte("GET /")), "kind 30")
	requireViolation(t, open([]byte{30, 13, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}), "length")

	_, _, err := NewServerHandshake(Preface{Version: 0}).Feed(capable.Append(nil))
	require.ErrorIs(t, err, ErrVersion)

	capable.Version = 3
	s := NewServerHandshake(Preface{Version: 200, Nonce: 1})
	_, done, err := s.Feed(capable.Append(nil))
	require.True(t, done)
	require.NoError(t, err)
	answer, _, _, err := s.Accept(Hello{Key: serverKey})
	require.NoError(t, err)
	require.Equal(t, Preface{Version: 200, Nonce: 1}.AppendAnswer(nil, Version), answer[:PrefaceLen], "the highest version that both speak")
	m, err := options.ParseMPCapable(answer[PrefaceLen:])
	require.NoError(t, err)
	require.EqualValues(t, 1, m.Version)
}

func TestJoinHandshakeEveryCut(t *testing.T) {
	for step := 1; step < 60; step++ {
		i := engine.NewJoinInitiator(engine.Keys{Local: clientKey, Remote: serverKey}, 11, 2, true)
		r := engine.NewJoinResponder(engine.Keys{Local: serverKey, Remote: clientKey}, 22, 3, false)
		c := NewJoinClientHandshake(5, i)
		var sniff Sniffer
		_, n := sniff.Feed(c.Output())
		h := NewServerHandshake(sniff.Preface())
		require.NoError(t, cut(c.Output()[n:], step, h.Feed))
		syn, ok := h.Join()
		require.True(t, ok)
		require.Equal(t, serverKey.Token(), syn.Token)
		s, err := NewJoinServerHandshake(h, r)
		require.NoError(t, err)
		require.NoError(t, cut(s.Output(), step, c.Feed))
		require.NoError(t, cut(c.Output(), step, s.Feed))
		require.EqualValues(t, 3, i.PeerID)
		require.EqualValues(t, 2, r.PeerID)
		require.True(t, r.PeerBackup)
	}
}

func TestJoinForged(t *testing.T) {
	i := engine.NewJoinInitiator(engine.Keys{Local: clientKey, Remote: serverKey}, 11, 2, false)
	c := NewJoinClientHandshake(5, i)
	forged := options.MPJoin{Form: options.JoinSynAck, Nonce: 1}.Append(Preface{Version: 1, Nonce: 5}.AppendAnswer(nil, 1))
	_, done, err := c.Feed(forged)
	require.False(t, done)
	var p *engine.ProtocolError
	require.ErrorAs(t, err, &p)

	h := NewServerHandshake(Preface{Version: 1, Nonce: 5})
	_, _, err = h.Feed(i.Syn().Append(nil))
	require.NoError(t, err)
	s, err := NewJoinServerHandshake(h, engine.NewJoinResponder(engine.Keys{Local: serverKey, Remote: clientKey}, 22, 3, false))
	require.NoError(t, err)
	_, done, err = s.Feed(options.MPJoin{Form: options.JoinAck}.Append(nil))
	require.False(t, done)
	require.ErrorAs(t, err, &p)
	_, done, err = s.Feed(nil)
	require.False(t, done)
	require.Error(t, err, "an error stays")
}

func TestRefusedJoin(t *testing.T) {
	c := NewJoinClientHandshake(5, engine.NewJoinInitiator(engine.Keys{Local: clientKey, Remote: serverKey}, 11, 2, false))
	h := NewServerHandshake(Preface{Version: 1, Nonce: 5})
	_, _, err := c.Feed(h.Refuse(engine.ResetProhibited, false))
	var reset *engine.ResetError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, engine.ResetProhibited, reset.Reason)
}

func FuzzHandshake(f *testing.F) {
	for _, secret := range []string{"", "s"} {
		s := shake{client: Hello{Key: clientKey, Secret: []byte(secret)}, server: Hello{Key: serverKey, Secret: []byte(secret)}}
		if err := s.run(100); err != nil {
			f.Fatal(err)
		}
		f.Add(s.msg1[PrefaceLen:], uint8(3), secret != "")
		f.Add(s.msg2, uint8(50), secret != "")
		f.Add(s.msg3, uint8(1), secret != "")
	}
	f.Fuzz(func(t *testing.T, b []byte, step uint8, secret bool) {
		h := Hello{Key: clientKey}
		if secret {
			h.Secret = []byte("s")
		}
		keys := engine.Keys{Local: clientKey, Remote: serverKey}
		c := NewClientHandshake(h)
		j := NewJoinClientHandshake(0, engine.NewJoinInitiator(keys, 1, 1, false))
		s := NewServerHandshake(Preface{Version: 1})
		for _, eat := range []func([]byte) (int, bool, error){c.Feed, j.Feed, s.Feed} {
			left := b
			for len(left) > 0 {
				k := min(len(left), int(step)+1)
				n, done, err := eat(left[:k])
				require.LessOrEqual(t, n, k)
				require.False(t, done && err != nil)
				if done || err != nil {
					break
				}
				require.Equal(t, k, n, "what is not complete is consumed")
				left = left[n:]
			}
		}
		if _, ok := s.Join(); !ok && s.done {
			_, _, confirm, err := s.Accept(Hello{Key: serverKey, Secret: h.Secret})
			if err != nil {
				requireViolation(t, err, "reflects our key")
				return
			}
			fl := NewFlow(FlowConfig{Confirm: confirm})
			fl.Bind(&recorder{quiet: true}, 1)
			_ = feed(fl, 0, b, int(step)+1)
			fl.Release()
		}
	})
}
