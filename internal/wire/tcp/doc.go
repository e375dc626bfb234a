// Package tcp is one TCP connection (RFC 9293) without I/O: segments and timeouts go in, segments come
// out, and nothing in between reads a clock, takes a lock or knows a socket.
//
// Inputs are [Conn.HandleSegment], [Conn.HandleICMP], [Conn.HandleTimeout] and the calls of the program
// ([Conn.Queue], [Conn.Close], [Conn.Consumed] …). After any of them the owner calls [Conn.Poll] until it
// says false, sends what came out and calls [Conn.Sent]; [Conn.Next] says when HandleTimeout is due.
// Everything happens under one lock that the owner holds. What happens to the connection is told to a
// [Handler]; what rides in the options beside TCP's own, Multipath TCP, is an [Extension].
//
// Positions are offsets: 64 bits wide and counted from the initial sequence number of their direction, so
// that nothing wraps. The SYN has offset 0, the first byte of payload 1, and the FIN takes the offset after
// the last byte. The bytes of a connection keep their offset however often they are sent: different bytes
// never go out under one sequence number.
//
// What is lost, and when to send it again, is package recovery's; how much may be in flight is the
// congestion controller's.
package tcp
