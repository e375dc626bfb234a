package engine

import (
	"net/netip"
	"slices"

	"github.com/mptcp-go/mptcp/extapi"
)

// wish is what the program has last asked for a path with SetBackup. It outlives the subflow: the one that takes its place asks
// for the same. The peer's end of a path is told by the Address ID, which does so "even if the IP header has been changed in
// transit by a middlebox" (RFC 8684 section 3.2).
type wish struct {
	local  netip.Addr
	remote extapi.AddrID
	backup bool
}

// wishes are those for the paths of a connection.
type wishes []wish

// find returns the index of the wish for a path, or -1.
func (w wishes) find(local netip.AddrPort, remote extapi.AddrID) int {
	a := local.Addr().Unmap()
	return slices.IndexFunc(w, func(x wish) bool { return x.local == a && x.remote == remote })
}

// or returns what is wished for a path, or else what others say.
func (w wishes) or(local netip.AddrPort, remote extapi.AddrID, backup bool) bool {
	if i := w.find(local, remote); i >= 0 {
		return w[i].backup
	}
	return backup
}

func (w *wishes) set(local netip.AddrPort, remote extapi.AddrID, backup bool) {
	if i := w.find(local, remote); i >= 0 {
		(*w)[i].backup = backup
		return
	}
	*w = append(*w, wish{local.Addr().Unmap(), remote, backup})
}

// forget drops those for an address that the peer has withdrawn: its identifier may come to name another one.
func (w *wishes) forget(remote extapi.AddrID) {
	*w = slices.DeleteFunc(*w, func(x wish) bool { return x.remote == remote })
}
