//go:build !linux

package rawip

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/link"
)

// Link has no implementation here: no value of it exists.
type Link struct{ link.Link }

// Counters is what the link has counted.
func (l *Link) Counters() extapi.LinkCounters { return extapi.LinkCounters{} }

func unsupported() error {
	return fmt.Errorf("rawip: raw sockets for TCP on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Available says why the wire carrier cannot work here.
func Available() error { return unsupported() }

// Open fails with an error that wraps errors.ErrUnsupported.
func Open(Config, link.Stack) (*Link, error) { return nil, unsupported() }
