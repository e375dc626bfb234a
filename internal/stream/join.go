package stream

import (
	"context"
	"errors"
	"net"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/driver"
)

// joiner opens subflows: it connects with open and shakes hands (RFC 8684 section 3.2).
func joiner(open func(context.Context, engine.JoinRequest) (net.Conn, error)) driver.Joiner {
	return func(ctx context.Context, c *driver.Conn, r engine.JoinRequest) error {
		nc, err := open(ctx, r)
		if err != nil {
			return err
		}
		s, err := join(ctx, nc, c, r)
		if err == nil {
			_, err = c.Attach(s)
		}
		return err
	}
}

func join(ctx context.Context, nc net.Conn, c *driver.Conn, r engine.JoinRequest) (driver.Subflow, error) {
	keys := c.Keys()
	nonce, err := c.Nonce()
	if err != nil {
		nc.Close()
		return driver.Subflow{}, err
	}
	preface, err := c.Nonce()
	if err != nil {
		nc.Close()
		return driver.Subflow{}, err
	}
	j := engine.NewJoinInitiator(keys, uint32(nonce), r.LocalID, r.Backup)
	h := NewJoinClientHandshake(preface, j)
	rest, err := ask(ctx, nc, 0, h.Output(), nil, h.Feed)
	if err != nil {
		return driver.Subflow{}, refused(err)
	}
	p := engine.FlowParams{
		Local: r.Path.Local, Remote: r.Path.Remote, LocalID: r.LocalID, RemoteID: j.PeerID,
		Interface: r.Path.Interface, IfIndex: r.Path.IfIndex, Kind: r.Path.Kind, Cost: r.Path.Cost,
		Role: r.Role, Backup: r.Backup, PeerBackup: j.PeerBackup, Attempt: r.Attempt, Joining: true,
	}
	s, f := newSubflow(nc, FlowConfig{Client: true, Local: keys.Local}, p)
	f.Open(0)
	s.Prologue, s.Rest = h.Output(), rest
	return s, nil
}

// refused tells an answer that says no from none at all.
func refused(err error) error {
	var reset *engine.ResetError
	var proto *engine.ProtocolError
	switch {
	case errors.As(err, &reset) && reset.Transient:
		return err
	case errors.As(err, &reset), errors.As(err, &proto), errors.Is(err, ErrNotStream):
		return &driver.Refusal{Err: err}
	}
	return err
}
