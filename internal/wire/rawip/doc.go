// Package rawip is how the segments of a userspace TCP leave this host and enter it: through raw sockets,
// which on Linux need CAP_NET_RAW and nothing else.
//
// # Ports
//
// The kernel answers a segment for which it has no socket with a RST. So a port that is ours has a *shield*:
// an ordinary listening socket that demands a TCP MD5 signature with a secret key from everybody, and a TTL of
// 255. What arrives is dropped there without a word, and the raw socket has seen it before. The port is ours
// as any port is its listener's: nobody else can bind it, and when the process dies, the kernel takes it back
// and resets the peers. One such port serves the flows to many remotes. When the last of them is over, it rests for a second or
// two: it stays shielded, since a peer that knows nothing of the end still sends. A client's ports come from blocks of neighbours,
// so that the filter below seldom changes, and segments do not wait while one is opened.
//
// # Receiving
//
// There is one raw socket per address family: every segment of the host is offered to every raw socket, so
// that one per connection would cost each of them. A classic BPF filter lets through what is for our ports.
// Segments come in batches into pooled buffers, many bytes at a time: the kernel hands out what it has merged,
// or never split, as super-segments of up to 64 KiB. A flow is found by its four-tuple in a Go map, whose hash
// is seeded, so that a peer who chooses ports and addresses cannot choose collisions.
//
// # Sending
//
// The same socket sends IP packets with their headers; the kernel routes them, resolves neighbours and passes
// them through its filters. That always works. The fast way is a packet socket that takes super-segments: see
// offload.
package rawip
