package engine

import (
	"errors"
	"fmt"

	"github.com/mptcp-go/mptcp/extapi"
)

// ErrNoPath says that a connection has no subflow left that works and that none came in time.
var ErrNoPath = errors.New("mptcp: no usable path")

// ErrTokens says that this host has no room for another multipath connection: its token table is full,
// or no key with an unused token was found. Plain TCP still works (RFC 8684 section 3.1).
var ErrTokens = errors.New("mptcp: token table is full")

// ResetError reports that the peer or this side aborted. errors.Is(err, syscall.ECONNRESET) holds.
type ResetError struct {
	Reason    ResetReason
	Transient bool          // the path may be tried again (flag T of MP_TCPRST)
	Remote    bool          // by the peer
	Path      extapi.PathID // zero: the whole connection
}

func (e *ResetError) Error() string {
	what, by := "connection", "this side"
	if e.Path != 0 {
		what = fmt.Sprintf("subflow %d", e.Path)
	}
	if e.Remote {
		by = "the peer"
	}
	s := fmt.Sprintf("mptcp: %s reset by %s: %s", what, by, e.Reason)
	if e.Transient {
		s += " (transient)"
	}
	return s
}

// Is reports whether target is syscall.ECONNRESET. The engine imports no package syscall, so it knows
// the error by its type and by its text, which that package fixes in a table on every system.
func (e *ResetError) Is(target error) bool {
	return target != nil && fmt.Sprintf("%T", target) == "syscall.Errno" && target.Error() == "connection reset by peer"
}

// ProtocolError is a violation by the peer. It is never retried.
type ProtocolError struct {
	Section string // "RFC 8684 section 3.3"
	Detail  string
}

func (e *ProtocolError) Error() string {
	return "mptcp: protocol violation (" + e.Section + "): " + e.Detail
}

var resetReasons = [...]string{
	ResetUnspecified: "unspecified error",
	ResetProtocol:    "MPTCP-specific error",
	ResetResources:   "lack of resources",
	ResetProhibited:  "administratively prohibited",
	ResetTooMuchData: "too much outstanding data",
	ResetPerformance: "unacceptable performance",
	ResetMiddlebox:   "middlebox interference",
}

// String is the name of the reason in RFC 8684 section 3.6, or its number.
func (r ResetReason) String() string {
	if int(r) < len(resetReasons) {
		return resetReasons[r]
	}
	return fmt.Sprintf("reason %d", uint8(r))
}
