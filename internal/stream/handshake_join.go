package stream

import "github.com/mptcp-go/mptcp/options"

// Initiator is the semantic half of a join that we open: *engine.JoinInitiator.
type Initiator interface {
	Syn() options.MPJoin
	HandleSynAck(options.MPJoin) (options.MPJoin, error)
}

// Responder is the semantic half of a join that the peer opens: *engine.JoinResponder.
type Responder interface {
	HandleSyn(options.MPJoin) (options.MPJoin, error)
	HandleAck(options.MPJoin) error
}

// JoinClientHandshake opens a further flow.
type JoinClientHandshake struct {
	join   Initiator
	out    []byte
	answer answerReader
	opts   optionReader
	done   bool
	err    error
}

// NewJoinClientHandshake starts a join; nonce is the preface's, fresh for every attempt.
func NewJoinClientHandshake(nonce uint64, j Initiator) *JoinClientHandshake {
	p := Preface{Version: Version, Nonce: nonce}
	return &JoinClientHandshake{join: j, answer: answerReader{asked: p}, out: j.Syn().Append(p.Append(nil))}
}

// Output is what to write now: message 1, and after done message 3.
func (c *JoinClientHandshake) Output() []byte { return c.out }

// Feed eats message 2, in any cut. After done, Output is message 3 and the rest of b is records: the
// first of them is the fourth message.
func (c *JoinClientHandshake) Feed(b []byte) (consumed int, done bool, err error) {
	if c.done || c.err != nil {
		return 0, c.done, c.err
	}
	consumed, c.done, c.err = c.feed(b)
	return consumed, c.done, c.err
}

func (c *JoinClientHandshake) feed(b []byte) (consumed int, done bool, err error) {
	consumed, ok, err := c.answer.right(b)
	if err != nil || !ok {
		return consumed, false, err
	}
	o, n, err := c.opts.next(b[consumed:])
	consumed += n
	if err != nil || o == nil {
		return consumed, false, err
	}
	if err := refusal(o); err != nil {
		return consumed, false, err
	}
	j, err := options.ParseMPJoin(o)
	if err != nil {
		return consumed, false, malformed(err)
	}
	if j.Form != options.JoinSynAck {
		return consumed, false, violation("4.2", "another MP_JOIN than the SYN/ACK's in message 2")
	}
	ack, err := c.join.HandleSynAck(j)
	if err != nil {
		return consumed, false, err
	}
	c.out = ack.Append(nil)
	return consumed, true, nil
}

// JoinServerHandshake answers a join.
type JoinServerHandshake struct {
	join Responder
	out  []byte
	opts optionReader
	done bool
	err  error
}

// NewJoinServerHandshake answers the MP_JOIN that s has read. The error is the responder's: Refuse.
func NewJoinServerHandshake(s *ServerHandshake, r Responder) (*JoinServerHandshake, error) {
	synack, err := r.HandleSyn(s.join)
	if err != nil {
		return nil, err
	}
	return &JoinServerHandshake{join: r, out: synack.Append(s.preface.AppendAnswer(nil, s.version()))}, nil
}

// Output is message 2, to write before anything else.
func (s *JoinServerHandshake) Output() []byte { return s.out }

// Feed eats message 3, in any cut. After done the peer is authenticated and the rest of b is records.
func (s *JoinServerHandshake) Feed(b []byte) (consumed int, done bool, err error) {
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

func (s *JoinServerHandshake) read(o options.Raw) error {
	j, err := options.ParseMPJoin(o)
	if err != nil {
		return malformed(err)
	}
	if j.Form != options.JoinAck {
		return violation("4.2", "another MP_JOIN than the ACK's in message 3")
	}
	return s.join.HandleAck(j)
}
