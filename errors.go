package mptcp

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/hashicorp/go-multierror"

	"github.com/mptcp-go/mptcp/engine"
)

// Errors. Closed and deadline errors are those of the standard library: test with
// errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, io.EOF).
var (
	// ErrNotMultipath is why a dial, a Read or a Write fails where falling back is not allowed (RequireMultipath, Secret,
	// a peer in Peers), and why a call that steers paths fails on a connection that fell back.
	ErrNotMultipath = errors.New("mptcp: peer or path does not support multipath")
	// ErrNotPermitted is why ModeWire fails in a process without CAP_NET_RAW; the error says how to get it. Nothing else needs a privilege.
	ErrNotPermitted = fmt.Errorf("mptcp: raw sockets not permitted: %w", os.ErrPermission)
	// ErrNoPath ends a connection that had no subflow for Config.NoPathTimeout.
	ErrNoPath = engine.ErrNoPath
	// ErrPolicy is why a dial fails whose path policy leaves no path. Nothing was sent.
	ErrPolicy = errors.New("mptcp: path policy excludes every path")
	// ErrNoSubflow is why CloseSubflow, SetBackup and RemoveLocalAddr fail for what the connection does not have,
	// or no longer.
	ErrNoSubflow = engine.ErrNoSubflow
	// ErrLastSubflow is why CloseSubflow fails for the only subflow that works: it ends with the connection.
	ErrLastSubflow = engine.ErrLastSubflow
	// ErrAddrGone is the error of a subflow whose local address has left this host (SubflowClosed).
	ErrAddrGone = engine.ErrAddrGone
)

// ResetReason is an RFC 8684 section 3.6 reset reason code, a uint8. Its String is the reason in words.
type ResetReason = engine.ResetReason

// Reasons for a reset, as RFC 8684 section 3.6 numbers them.
const (
	ResetUnspecified = engine.ResetUnspecified // 0: none of the others
	ResetProtocol    = engine.ResetProtocol    // 1: the peer broke the protocol
	ResetResources   = engine.ResetResources   // 2: lack of resources
	ResetProhibited  = engine.ResetProhibited  // 3: administratively prohibited: policy says no
	ResetTooMuchData = engine.ResetTooMuchData // 4: too much outstanding data
	ResetPerformance = engine.ResetPerformance // 5: the subflow was too slow, or silent
	ResetMiddlebox   = engine.ResetMiddlebox   // 6: something on the path changes the data
)

// ResetError reports that the peer or this side aborted. errors.Is(err, syscall.ECONNRESET) holds. Its fields:
//
//	Reason    ResetReason   // RFC 8684 section 3.6
//	Transient bool          // the path may be tried again (flag T of MP_TCPRST)
//	Remote    bool          // by the peer
//	Path      extapi.PathID // the subflow; 0: the whole connection
type ResetError = engine.ResetError

// ProtocolError is a violation by the peer, or by something on the way that changes data. It is never retried. Its fields:
//
//	Section string // "RFC 8684 section 3.3"
//	Detail  string // what was wrong
type ProtocolError = engine.ProtocolError

// PathError says which path failed; a connection error may join several.
type PathError struct {
	Op            string         // "dial", "set"
	Local, Remote netip.AddrPort // invalid: not known, or any
	Err           error          // why; never nil
}

// Error says what was tried, between which addresses, and why it failed.
func (e *PathError) Error() string {
	s := e.Op
	if e.Local.IsValid() {
		s += " " + e.Local.String() + "->" + e.Remote.String()
	} else if e.Remote.IsValid() {
		s += " " + e.Remote.String()
	}
	return s + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *PathError) Unwrap() error { return e.Err }

// Timeout reports whether the path failed by running out of time, as net.Error asks.
func (e *PathError) Timeout() bool { return isTimeout(e.Err) }

// Temporary is there for net.Error alone.
func (e *PathError) Temporary() bool { return isTimeout(e.Err) }

// joinPaths makes one error of those of several paths: nil, the one, or all of them.
func joinPaths(errs []error) error {
	switch len(errs) {
	case 0:
		return nil
	case 1:
		return errs[0]
	}
	return &dialError{all: multierror.Append(nil, errs...)}
}

// dialError is the failure of several paths. errors.Is and errors.As see every one of them.
type dialError struct{ all *multierror.Error }

// Error is one line, as package net's errors are.
func (e *dialError) Error() string {
	s := ""
	for i, err := range e.all.Errors {
		if i > 0 {
			s += "; "
		}
		s += err.Error()
	}
	return s
}

func (e *dialError) Unwrap() error { return e.all }

// Timeout holds when every path ran out of time.
func (e *dialError) Timeout() bool {
	for _, err := range e.all.Errors {
		if !isTimeout(err) {
			return false
		}
	}
	return true
}

// Temporary is there for net.Error alone.
func (e *dialError) Temporary() bool { return e.Timeout() }

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// opError wraps err as package net does, with "mptcp" as the network. End of file stays bare: readers
// compare it. An error of package net's own loses its wrapping, so that there is one.
func opError(op string, local, remote net.Addr, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	var inner *net.OpError
	if errors.As(err, &inner) {
		if inner.Net == network {
			return err
		}
		if e, ok := err.(*net.OpError); ok {
			err = e.Err
		}
	}
	return &net.OpError{Op: op, Net: network, Source: local, Addr: remote, Err: err}
}

// network is the name of the network in addresses' errors.
const network = "mptcp"
