package stream

import (
	"errors"

	"github.com/mptcp-go/mptcp/engine"
)

var (
	// ErrNotStream says that the peer does not speak the stream carrier: its first bytes are no
	// answer, or the answer to another question.
	ErrNotStream = errors.New("the peer does not speak multipath: no answer to the preface")
	// ErrEcho is the ErrNotStream of a peer that sends back what it gets.
	ErrEcho = echoError{}
	// ErrSecret says that the peer did not prove to know the shared secret, or asks for a proof that
	// we can't give. It never leads to a fallback.
	ErrSecret = errors.New("the peer does not share our secret: set the same Secret on both sides")
	// ErrVersion says that there is no version of the stream carrier that both sides speak.
	ErrVersion = errors.New("the peer speaks no version of the stream carrier that we know")
)

type echoError struct{}

func (echoError) Error() string   { return "the peer does not speak multipath: it echoes the preface" }
func (echoError) Is(t error) bool { return t == ErrNotStream }

// violation is a breach of the specification; section is one of docs/stream-carrier.md.
func violation(section, detail string) error {
	return &engine.ProtocolError{Section: "stream-carrier " + section, Detail: detail}
}
