package stream

import (
	"context"
	"net"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/driver"
)

// Params is what a connection over this carrier is made of.
type Params struct {
	ID     extapi.ConnID
	Engine engine.Config    // Client is set by Client and Server
	Key    engine.Key       // this side's, unique on this host; OnDone gives it back
	Path   extapi.Candidate // first subflow; invalid addresses are read from the connection
	Role   extapi.Role      // first subflow
	NoJoin bool             // no joins to our address and port of the first subflow (RFC 8684 section 3.1, flag C)

	// Open connects the TCP connection of a join; nil: this side opens no subflows.
	Open             func(ctx context.Context, r engine.JoinRequest) (net.Conn, error)
	HandshakeTimeout time.Duration // 0: none
	JoinTimeout      time.Duration // 0: none

	Trace            func(extapi.ConnInfo) extapi.Tracer
	OnClosed, OnDone func(*driver.Conn)
}

func (p *Params) driver(nc net.Conn, client bool) driver.Params {
	d := driver.Params{
		ID: p.ID, Carrier: extapi.CarrierStream, Engine: p.Engine, Key: p.Key, LocalAddr: nc.LocalAddr(), RemoteAddr: nc.RemoteAddr(),
		JoinTimeout: p.JoinTimeout, Trace: p.Trace, OnClosed: p.OnClosed, OnDone: p.OnDone,
	}
	d.Engine.Client = client
	if p.Open != nil {
		d.Join = joiner(p.Open)
	}
	return d
}

func (p *Params) hello(nonce uint64) Hello {
	return Hello{Key: p.Key, Nonce: nonce, Checksum: p.Engine.Checksum, NoJoin: p.NoJoin, Secret: p.Engine.Secret}
}

// initial describes the first subflow.
func (p *Params) initial() engine.FlowParams {
	return engine.FlowParams{
		Local: p.Path.Local, Remote: p.Path.Remote, Interface: p.Path.Interface, IfIndex: p.Path.IfIndex,
		Kind: p.Path.Kind, Cost: p.Path.Cost, Role: p.Role, Backup: p.Role == extapi.RoleBackup, Initial: true,
	}
}

// agreed tells a fresh engine what the handshake has settled.
func agreed(r Result) func(now time.Duration, e *engine.Conn) {
	return func(now time.Duration, e *engine.Conn) {
		e.SetChecksum(r.Checksum)
		e.SetJoinInitial(!r.NoJoin)
		e.SetRemote(now, r.Remote)
	}
}
