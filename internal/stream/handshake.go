package stream

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
)

// Hello is what one side brings to the handshake of a connection's first flow.
type Hello struct {
	Key      engine.Key // our key
	Nonce    uint64     // client: fresh for every attempt
	Checksum bool       // we require DSS checksums (flag A)
	NoJoin   bool       // no joins to our address and port of this flow, please (flag C)
	Secret   []byte     // empty: none
}

// Result is what a handshake of the first flow has settled.
type Result struct {
	Version  uint8 // of the stream carrier
	Remote   engine.Key
	Checksum bool // DSS checksums are used: either side required them
	NoJoin   bool // the peer wants no joins to its address and port of this flow (flag C)
}

// capableVersion is the version of RFC 8684.
const capableVersion = 1

func (h *Hello) capable() options.MPCapable {
	m := options.MPCapable{Version: capableVersion, Flags: options.FlagH, HasSender: true, SenderKey: uint64(h.Key)}
	if h.Checksum {
		m.Flags |= options.FlagA
	}
	if h.NoJoin {
		m.Flags |= options.FlagC
	}
	return m
}

// settle reads the peer's MP_CAPABLE of message 1 or 2.
func (h *Hello) settle(version uint8, m options.MPCapable) (Result, error) {
	switch {
	case m.Len() != 12:
		return Result{}, violation("4.1", "MP_CAPABLE of another length than 12 in message 1 or 2")
	case m.Version < capableVersion:
		return Result{}, violation("4.1", "MP_CAPABLE version 0")
	case m.Flags&options.FlagB != 0:
		// "B ... when set to 1 ... the receiver ... MUST silently ignore" the option (RFC 8684
		// section 3.1); there is no TCP connection to fall back to here.
		return Result{}, violation("4.1", "MP_CAPABLE flag B")
	case m.Flags&options.FlagH == 0:
		return Result{}, violation("4.1", "MP_CAPABLE without HMAC-SHA256 (flag H)")
	case engine.Key(m.SenderKey) == h.Key:
		return Result{}, violation("4.1", "MP_CAPABLE that reflects our key")
	}
	return Result{
		Version:  version,
		Remote:   engine.Key(m.SenderKey),
		Checksum: h.Checksum || m.Flags&options.FlagA != 0,
		NoJoin:   m.Flags&options.FlagC != 0,
	}, nil
}

// third is the MP_CAPABLE of message 3. Its flag A confirms the decision on checksums.
func third(client, server engine.Key, checksum bool) options.MPCapable {
	m := options.MPCapable{
		Version: capableVersion, Flags: options.FlagH,
		HasSender: true, SenderKey: uint64(client), HasReceiver: true, ReceiverKey: uint64(server),
	}
	if checksum {
		m.Flags |= options.FlagA
	}
	return m
}

// proof proves knowledge of the secret, and that both sides saw the same messages 1 and 2: transcript
// is question, MP_CAPABLE, answer, MP_CAPABLE.
func proof(k engine.Keys, client bool, transcript []byte) options.Private {
	key := k.Proof(client)
	h := hmac.New(sha256.New, key[:])
	h.Write(transcript)
	return private(TypeProof, 0, h.Sum(nil))
}

// keys are what proofs are made with.
func (h *Hello) keys(remote engine.Key) engine.Keys {
	return engine.Keys{Local: h.Key, Remote: remote, Secret: h.Secret}
}

// proves compares in constant time.
func proves(got, want options.Private) bool {
	return got.Type == TypeProof && hmac.Equal(got.Payload(), want.Payload())
}

// ClientHandshake opens a connection's first flow.
type ClientHandshake struct {
	hello  Hello
	out    []byte // message 1; with the answer's and the server's bytes it becomes the transcript
	answer answerReader
	opts   optionReader
	proof  options.Private // of the server; Type 0: has not come
	result Result
	third  []options.Option
	done   bool
	err    error
}

// NewClientHandshake starts a handshake.
func NewClientHandshake(h Hello) *ClientHandshake {
	p := Preface{Version: Version, Nonce: h.Nonce}
	c := &ClientHandshake{hello: h, answer: answerReader{asked: p}}
	c.out = h.capable().Append(p.Append(make([]byte, 0, 2*(PrefaceLen+12))))
	return c
}

// Output is message 1: preface and MP_CAPABLE. Early data, if any, follows it.
func (c *ClientHandshake) Output() []byte { return c.out[:PrefaceLen+12] }

// Feed eats what the server sends, in any cut, up to the end of message 2. After done the rest of b
// is records. An error that is ErrNotStream means that the peer does not speak the stream carrier, a
// *engine.ResetError that it refuses.
func (c *ClientHandshake) Feed(b []byte) (consumed int, done bool, err error) {
	if c.done || c.err != nil {
		return 0, c.done, c.err
	}
	consumed, c.done, c.err = c.feed(b)
	return consumed, c.done, c.err
}

func (c *ClientHandshake) feed(b []byte) (consumed int, done bool, err error) {
	consumed, ok, err := c.answer.right(b)
	if err != nil || !ok {
		return consumed, false, err
	}
	for {
		o, n, err := c.opts.next(b[consumed:])
		consumed += n
		if err != nil || o == nil {
			return consumed, false, err
		}
		if done, err = c.handle(o); done || err != nil {
			return consumed, done, err
		}
	}
}

// handle takes one option of message 2: with a secret PROOF and MP_CAPABLE, else MP_CAPABLE alone.
func (c *ClientHandshake) handle(o options.Raw) (done bool, err error) {
	if err := refusal(o); err != nil {
		return false, err
	}
	if c.proof.Type == 0 && (len(c.hello.Secret) > 0 || isProof(o)) {
		if c.proof, err = options.ParsePrivate(o); err != nil || c.proof.Type != TypeProof || len(c.hello.Secret) == 0 {
			return false, ErrSecret
		}
		return false, nil
	}
	m, err := options.ParseMPCapable(o)
	if err != nil {
		return false, malformed(err)
	}
	if m.Version != capableVersion {
		return false, violation("4.1", "MP_CAPABLE of another version than was asked for in message 2")
	}
	if c.result, err = c.hello.settle(c.answer.version(), m); err != nil {
		return false, err
	}
	if len(c.hello.Secret) > 0 {
		t := append(append(c.out, c.answer.buf[:]...), o...)
		k := c.hello.keys(c.result.Remote)
		if !proves(c.proof, proof(k, false, t)) {
			return false, ErrSecret
		}
		c.third = append(c.third, proof(k, true, t))
	}
	c.third = append(c.third, third(c.hello.Key, c.result.Remote, c.result.Checksum))
	return true, nil
}

// Result is what was agreed, valid when done.
func (c *ClientHandshake) Result() Result { return c.result }

// Third are the options of message 3, for Flow.Open, valid when done.
func (c *ClientHandshake) Third() []options.Option { return c.third }

// right reads up to the end of the right answer.
func (a *answerReader) right(b []byte) (consumed int, ok bool, err error) {
	if a.verdict == AnswerRight {
		return 0, true, nil
	}
	v, consumed := a.feed(b)
	switch v {
	case AnswerRight:
		return consumed, true, nil
	case AnswerEcho:
		return consumed, false, ErrEcho
	case AnswerWrong:
		return consumed, false, ErrNotStream
	}
	return consumed, false, nil
}

func isProof(o options.Raw) bool {
	s, ok := o.Subtype()
	return ok && s == options.SubPrivate && len(o) > 3 && o[3] == TypeProof
}

// refusal is the error that an MP_TCPRST in place of the peer's half of a handshake stands for.
func refusal(o options.Raw) error {
	if s, ok := o.Subtype(); !ok || s != options.SubTCPRst {
		return nil
	}
	r, err := options.ParseTCPRst(o)
	if err != nil {
		return malformed(err)
	}
	return &engine.ResetError{Reason: engine.ResetReason(r.Reason), Transient: r.Transient, Remote: true}
}

// ServerHandshake reads what follows a preface, and answers it.
type ServerHandshake struct {
	preface Preface
	opts    optionReader
	capable options.MPCapable
	join    options.MPJoin
	raw     []byte // the MP_CAPABLE as it came
	done    bool
	err     error
}

// NewServerHandshake continues where a Sniffer said IsPreface.
func NewServerHandshake(p Preface) *ServerHandshake {
	s := &ServerHandshake{preface: p}
	if p.Version == 0 {
		s.err = ErrVersion
	}
	return s
}

// Feed eats the first option, in any cut. After done, Join tells whether it was MP_JOIN or MP_CAPABLE.
func (s *ServerHandshake) Feed(b []byte) (consumed int, done bool, err error) {
	if s.done || s.err != nil {
		return 0, s.done, s.err
	}
	o, consumed, err := s.opts.next(b)
	if err == nil && o != nil {
		err = s.read(o)
		s.done = err == nil
	}
	s.err = err
	return consumed, s.done, s.err
}

func (s *ServerHandshake) read(o options.Raw) (err error) {
	switch sub, _ := o.Subtype(); sub {
	case options.SubMPCapable:
		s.raw = append(s.raw, o...)
		if s.capable, err = options.ParseMPCapable(o); err == nil {
			_, err = new(Hello).settle(Version, s.capable)
			return err
		}
	case options.SubMPJoin:
		s.join, err = options.ParseMPJoin(o)
		if err == nil && s.join.Form != options.JoinSyn {
			return violation("4.2", "a later MP_JOIN in message 1")
		}
	default:
		return violation("4", "neither MP_CAPABLE nor MP_JOIN after the preface")
	}
	if err != nil {
		return malformed(err)
	}
	return nil
}

// Join is the MP_JOIN that the flow begins with, if it does: go on with NewJoinServerHandshake, else
// with Accept.
func (s *ServerHandshake) Join() (options.MPJoin, bool) {
	return s.join, s.join.Form == options.JoinSyn
}

// version is what both sides use from here on.
func (s *ServerHandshake) version() uint8 { return min(s.preface.Version, Version) }

// Accept answers MP_CAPABLE: message 2 to write, what was agreed, and what the Flow has to expect
// (FlowConfig.Confirm), since message 3 comes behind the early data.
func (s *ServerHandshake) Accept(h Hello) (answer []byte, r Result, c *Confirm, err error) {
	if r, err = h.settle(s.version(), s.capable); err != nil {
		return nil, Result{}, nil, err
	}
	t := append(s.preface.Append(nil), s.raw...)
	t = h.capable().Append(s.preface.AppendAnswer(t, s.version()))
	answer = append(answer, t[PrefaceLen+12:][:PrefaceLen]...)
	c = &Confirm{third: third(r.Remote, h.Key, r.Checksum), early: MaxEarly}
	if len(h.Secret) > 0 {
		k := h.keys(r.Remote)
		answer = proof(k, false, t).Append(answer)
		c.proof, c.early = proof(k, true, t), 0
	}
	return h.capable().Append(answer), r, c, nil
}

// Refuse is what to write, before closing, to a client that is not served.
func (s *ServerHandshake) Refuse(reason engine.ResetReason, transient bool) []byte {
	b := s.preface.AppendAnswer(nil, max(1, s.version()))
	return options.TCPRst{Reason: uint8(reason), Transient: transient}.Append(b)
}

// MaxEarly is how many payload bytes a client may send before message 2.
const MaxEarly = 16 << 10

// Confirm is what message 3 has to say.
type Confirm struct {
	third options.MPCapable
	proof options.Private // Type 0: no secret
	seen  bool            // the right PROOF has come
	early int             // payload bytes that may come before
}

// handle takes an option that may belong to message 3 and says whether the message is complete.
func (c *Confirm) handle(o options.Raw) (complete bool, err error) {
	if isProof(o) {
		p, err := options.ParsePrivate(o)
		if err != nil || c.seen || c.proof.Type == 0 || !proves(p, c.proof) {
			return false, ErrSecret
		}
		c.seen = true
		return false, nil
	}
	m, err := options.ParseMPCapable(o)
	switch {
	case c.proof.Type != 0 && !c.seen:
		return false, ErrSecret
	case err != nil:
		return false, malformed(err)
	case m != c.third:
		return false, violation("4.1", "message 3 with other keys or flags than were agreed")
	}
	return true, nil
}
