package engine

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

func joinPair() (*JoinInitiator, *JoinResponder) {
	a := Keys{Local: 0xf203f24def5ba654, Remote: 0x711ec960ce6761d7}
	return NewJoinInitiator(a, 0x7553df66, 5, false), NewJoinResponder(a.swapped(), 0x1232edd1, 3, true)
}

func requireViolation(t require.TestingT, err error, section string) {
	var p *ProtocolError
	require.ErrorAs(t, err, &p)
	require.Equal(t, section, p.Section)
	require.NotEmpty(t, p.Detail)
}

func TestJoinTellsEachSideOfTheOther(t *testing.T) {
	a, b := joinPair()
	synack, err := b.HandleSyn(a.Syn())
	require.NoError(t, err)
	require.Equal(t, extapi.AddrID(5), b.PeerID)
	require.False(t, b.PeerBackup)
	ack, err := a.HandleSynAck(synack)
	require.NoError(t, err)
	require.Equal(t, extapi.AddrID(3), a.PeerID)
	require.True(t, a.PeerBackup)
	require.NoError(t, b.HandleAck(ack))
}

// A lossy carrier repeats messages: each gets the same answer again.
func TestJoinRepeatedMessages(t *testing.T) {
	a, b := joinPair()
	_, ok := a.Ack()
	require.False(t, ok)
	require.Equal(t, a.Syn(), a.Syn())
	first, err := b.HandleSyn(a.Syn())
	require.NoError(t, err)
	second, err := b.HandleSyn(a.Syn())
	require.NoError(t, err)
	require.Equal(t, first, second)
	ack, err := a.HandleSynAck(first)
	require.NoError(t, err)
	again, err := a.HandleSynAck(second)
	require.NoError(t, err)
	require.Equal(t, ack, again)
	kept, ok := a.Ack()
	require.True(t, ok)
	require.Equal(t, ack, kept)
	require.NoError(t, b.HandleAck(ack))
	require.NoError(t, b.HandleAck(ack))
}

// joinBreach is a way to break the rules, which ends in an error of one side.
type joinBreach struct {
	name string
	run  func(a *JoinInitiator, b *JoinResponder) error
}

func checkBreaches(t *testing.T, breaches []joinBreach) {
	t.Helper()
	for _, c := range breaches {
		t.Run(c.name, func(t *testing.T) {
			a, b := joinPair()
			requireViolation(t, c.run(a, b), "RFC 8684 section 3.2")
		})
	}
}

func TestJoinInitiatorViolations(t *testing.T) {
	checkBreaches(t, []joinBreach{
		{"answer before the question", func(a *JoinInitiator, b *JoinResponder) error {
			synack, err := b.HandleSyn(options.MPJoin{Form: options.JoinSyn, Token: a.keys.Remote.Token(), Nonce: a.nonce})
			if err != nil {
				return nil
			}
			_, err = a.HandleSynAck(synack)
			return err
		}},
		{"question where the answer is due", func(a *JoinInitiator, _ *JoinResponder) error {
			_, err := a.HandleSynAck(a.Syn())
			return err
		}},
		{"third message where the second is due", func(a *JoinInitiator, _ *JoinResponder) error {
			a.Syn()
			_, err := a.HandleSynAck(options.MPJoin{Form: options.JoinAck})
			return err
		}},
		{"wrong HMAC in the answer", func(a *JoinInitiator, b *JoinResponder) error {
			synack, _ := b.HandleSyn(a.Syn())
			synack.HMAC[7] ^= 1
			_, err := a.HandleSynAck(synack)
			return err
		}},
		{"nonce changed on the way", func(a *JoinInitiator, b *JoinResponder) error {
			synack, _ := b.HandleSyn(a.Syn())
			synack.Nonce++
			_, err := a.HandleSynAck(synack)
			return err
		}},
		{"a second, different answer", func(a *JoinInitiator, b *JoinResponder) error {
			synack, _ := b.HandleSyn(a.Syn())
			if _, err := a.HandleSynAck(synack); err != nil {
				return nil
			}
			synack.AddrID++
			_, err := a.HandleSynAck(synack)
			return err
		}},
	})
}

func TestJoinResponderViolations(t *testing.T) {
	checkBreaches(t, []joinBreach{
		{"token of another connection", func(a *JoinInitiator, b *JoinResponder) error {
			o := a.Syn()
			o.Token++
			_, err := b.HandleSyn(o)
			return err
		}},
		{"the joiner's own token", func(a *JoinInitiator, b *JoinResponder) error {
			o := a.Syn()
			o.Token = a.keys.Local.Token()
			_, err := b.HandleSyn(o)
			return err
		}},
		{"answer where the question is due", func(_ *JoinInitiator, b *JoinResponder) error {
			_, err := b.HandleSyn(options.MPJoin{Form: options.JoinSynAck})
			return err
		}},
		{"a second, different question", func(a *JoinInitiator, b *JoinResponder) error {
			o := a.Syn()
			if _, err := b.HandleSyn(o); err != nil {
				return nil
			}
			o.Nonce++
			_, err := b.HandleSyn(o)
			return err
		}},
		{"third message first", func(_ *JoinInitiator, b *JoinResponder) error {
			return b.HandleAck(options.MPJoin{Form: options.JoinAck})
		}},
		{"question where the third message is due", func(a *JoinInitiator, b *JoinResponder) error {
			if _, err := b.HandleSyn(a.Syn()); err != nil {
				return nil
			}
			return b.HandleAck(a.Syn())
		}},
		{"wrong HMAC in the third message", func(a *JoinInitiator, b *JoinResponder) error {
			synack, _ := b.HandleSyn(a.Syn())
			ack, err := a.HandleSynAck(synack)
			if err != nil {
				return nil
			}
			ack.HMAC[19] ^= 0x80
			return b.HandleAck(ack)
		}},
	})
}

// After a violation nothing helps: "a new MP_JOIN negotiation with a new random number is required".
func TestJoinViolationIsFinal(t *testing.T) {
	a, b := joinPair()
	synack, err := b.HandleSyn(a.Syn())
	require.NoError(t, err)
	bad := synack
	bad.HMAC[0] ^= 1
	_, err = a.HandleSynAck(bad)
	require.Error(t, err)
	_, again := a.HandleSynAck(synack)
	require.Equal(t, err, again)
	_, ok := a.Ack()
	require.False(t, ok)

	a, b = joinPair()
	synack, err = b.HandleSyn(a.Syn())
	require.NoError(t, err)
	ack, err := a.HandleSynAck(synack)
	require.NoError(t, err)
	bad = ack
	bad.HMAC[0] ^= 1
	require.Error(t, b.HandleAck(bad))
	require.Error(t, b.HandleAck(ack))
	_, err = b.HandleSyn(a.Syn())
	require.Error(t, err)
}

// The shared secret on one side only, or two different ones, joins nothing.
func TestJoinNeedsTheSameSecret(t *testing.T) {
	k := Keys{Local: 1, Remote: 2}
	for _, secrets := range [][2]string{{"s", ""}, {"", "s"}, {"s", "t"}} {
		ka, kb := k, k.swapped()
		ka.Secret, kb.Secret = []byte(secrets[0]), []byte(secrets[1])
		a, b := NewJoinInitiator(ka, 3, 1, false), NewJoinResponder(kb, 4, 1, false)
		synack, err := b.HandleSyn(a.Syn())
		require.NoError(t, err)
		_, err = a.HandleSynAck(synack)
		requireViolation(t, err, "RFC 8684 section 3.2")
	}
}

// A recorded join is worth nothing: the responder's nonce is a new one.
func TestJoinReplayFails(t *testing.T) {
	a, b := joinPair()
	syn := a.Syn()
	synack, err := b.HandleSyn(syn)
	require.NoError(t, err)
	ack, err := a.HandleSynAck(synack)
	require.NoError(t, err)

	fresh := NewJoinResponder(b.keys, b.nonce+1, 3, false)
	_, err = fresh.HandleSyn(syn)
	require.NoError(t, err)
	requireViolation(t, fresh.HandleAck(ack), "RFC 8684 section 3.2")
}

// The HMAC of one direction is of no use in the other: a host can't be made to authenticate its peer.
func TestJoinReflectionFails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := Keys{Local: Key(rapid.Uint64Min(1).Draw(t, "local")), Remote: Key(rapid.Uint64Min(1).Draw(t, "remote"))}
		if k.Local == k.Remote {
			t.Skip("refused by the first handshake")
		}
		n := rapid.Uint32().Draw(t, "nonce")
		a := NewJoinInitiator(k, n, 1, false)
		a.Syn()
		// The attacker asks the same host to answer a join that carries the host's own nonce.
		b := NewJoinResponder(k, n, 1, false)
		mirrored, err := b.HandleSyn(options.MPJoin{Form: options.JoinSyn, Token: k.Local.Token(), Nonce: n})
		require.NoError(t, err)
		_, err = a.HandleSynAck(mirrored)
		requireViolation(t, err, "RFC 8684 section 3.2")
	})
}

// FuzzJoin throws any messages at both sides: only those who know the keys get through.
func FuzzJoin(f *testing.F) {
	a, b := joinPair()
	synack, _ := b.HandleSyn(a.Syn())
	ack, _ := a.HandleSynAck(synack)
	f.Add(a.Syn().Append(nil), ack.Append(nil))
	f.Add(synack.Append(nil), synack.Append(nil))
	f.Add([]byte{}, []byte{30, 12, 0x10})
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, b := joinPair()
		a.Syn()
		for _, raw := range [][]byte{x, y} {
			o, err := options.ParseMPJoin(raw)
			if err != nil {
				continue
			}
			if _, err := a.HandleSynAck(o); err == nil {
				want := b.keys.JoinHMAC(o.Nonce, a.nonce)
				require.Equal(t, want[:8], o.HMAC[:8])
			} else {
				requireViolation(t, err, "RFC 8684 section 3.2")
			}
			if _, err := b.HandleSyn(o); err != nil {
				requireViolation(t, err, "RFC 8684 section 3.2")
			}
			if err := b.HandleAck(o); err == nil {
				want := a.keys.JoinHMAC(b.first.Nonce, b.nonce)
				require.Equal(t, want[:20], o.HMAC[:])
			}
		}
	})
}
