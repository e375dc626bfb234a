package wire

import (
	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
	"github.com/mptcp-go/mptcp/options"
)

// Asks is what a SYN asks for.
type Asks uint8

const (
	AsksPlain   Asks = iota // plain TCP: no Multipath TCP option, or none that makes sense in a SYN
	AsksCapable             // a new multipath connection: MP_CAPABLE
	AsksJoin                // a further subflow of one: MP_JOIN
)

// Opening is what the Multipath TCP options of a SYN say.
type Opening struct {
	Asks    Asks
	Capable options.MPCapable // of AsksCapable
	Join    options.MPJoin    // of AsksJoin
}

// Open reads the options of a SYN. Ones that are malformed or contradict each other count as absent.
func Open(syn *packet.Segment) Opening {
	var r received
	r.parse(syn.Options)
	switch {
	case r.hasCapable && !r.hasJoin && r.capable.Len() == capableSynLen:
		return Opening{Asks: AsksCapable, Capable: r.capable}
	case r.hasJoin && !r.hasCapable && r.join.Form == options.JoinSyn:
		return Opening{Asks: AsksJoin, Join: r.join}
	}
	return Opening{}
}

// Count counts the SYN.
func (o Opening) Count(at mib.Counts) {
	switch {
	case o.Asks == AsksCapable:
		at.Count(mib.MPCapableSYNRX)
	case o.Asks == AsksJoin:
		at.Count(mib.MPJoinSynRx)
		if o.Join.Backup {
			at.Count(mib.MPJoinSynBackupRx)
		}
	}
}

// capableSynLen is the length of MP_CAPABLE in a SYN. Version 0 has another: it is not spoken here.
const capableSynLen = 4

// Negotiate judges the MP_CAPABLE of a SYN against what this side offers. False: the connection is plain
// TCP. The result is Accept's once a key was drawn (engine.Capable.WithKey).
func (o Opening) Negotiate(offer engine.CapableOffer) (engine.Capable, bool) {
	if o.Asks != AsksCapable {
		return engine.Capable{}, false
	}
	c, err := engine.AcceptCapable(offer, o.Capable)
	return c, err == nil
}

// Reject is the RST that answers a segment for which there is no connection, with an MP_TCPRST that
// says why (RFC 8684 section 3.6): for a SYN with an MP_JOIN whose token is unknown ResetProtocol, for one
// that the connection does not want the reason of the engine's *ResetError. False: nothing is answered.
func Reject(seg *packet.Segment, reason engine.ResetReason, transient bool) (packet.Segment, bool) {
	rst, ok := tcp.Reset(seg)
	if ok {
		rst.Options = options.TCPRst{Reason: uint8(reason), Transient: transient}.Append(rst.Options)
	}
	return rst, ok
}
