// Package recovery is what a TCP sender knows about the bytes that it has sent: which of them have
// arrived, which are lost, what is to be sent again and when, and how much may leave now. It holds no
// payload and makes no segment; package tcp asks it.
//
//	loss detection      RACK-TLP (RFC 8985) with SACK (RFC 2018, 6675), NewReno (RFC 6582) without
//	timer               RFC 6298, samples weighed as in RFC 7323 appendix G
//	rate of recovery    PRR (RFC 6937 with the automatic bound of RFC 9937)
//	spurious ones       Eifel by timestamps (RFC 3522, 4015), F-RTO (RFC 5682), DSACK (RFC 2883)
//	marks               once per window (RFC 3168)
//	rate                delivery rate samples, pacing by a bucket of tokens
//
// What the window is says a congestion.Controller.
//
// Bytes are named by offsets: sequence numbers less the initial one, unwrapped to 64 bits. SYN has
// offset 0, the first byte of payload offset 1, FIN takes one offset after the last byte.
//
// Nothing here reads a clock, takes a lock or allocates once the scoreboard has grown to the window.
// What a peer may do with its ACKs is bounded: the scoreboard has at most maxRecords records, SACK
// blocks that would need more are rounded inwards, and whatever lies beyond what was sent is ignored.
package recovery
