// Package mptcp dials and accepts Multipath TCP (RFC 8684) connections in userspace.
//
// A connection uses every path between the two machines at once, survives the loss of any of them, and
// turns into plain TCP by itself where the other side or the network does not know Multipath TCP:
//
//	client := &http.Client{Transport: &http.Transport{DialContext: mptcp.Dial}}
//
//	ln, err := mptcp.Listen("tcp", ":8080")
//	http.Serve(ln, handler)
//
// # What the first dial can cost
//
// A Dialer in ModeAuto or ModeStream finds out by itself whether an unknown peer speaks the stream
// carrier: it sends a preface on one connection while it opens a plain one beside it (Discovery). The first dial to such a
// peer that does not speak it can therefore take up to max(2 RTT, 250 ms) longer than a plain TCP dial. The verdict is
// remembered per remote address, port and local network: 24 hours when the peer speaks it, about an hour when it does
// not, and until the network changes. Peers named in Config.Peers are never asked.
//
// # Addresses
//
// LocalAddr and RemoteAddr of a Conn are those of its first subflow for the connection's life, also after
// that subflow has died (RFC 6897 section 4.2.2). The connection's identity is Info().ID.
//
// # Before the process exits
//
// What was written to a connection and closed is delivered by this package, not by the kernel. Call
// Transport.Shutdown (of DefaultTransport, when nothing else was configured) before the process exits.
package mptcp
