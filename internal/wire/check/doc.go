// Package check finds out what a path lets through of RFC 8684's options in TCP headers. It dials a server over one
// path in several ways, looks at the segments, and says in sentences what they mean.
//
// It is in three parts: [Seen] takes segments and notes what matters of them, without I/O; [Facts.Verdict] makes
// findings of that, without I/O either; and [Run] makes the connections, over any link.Link.
//
// The server's cooperation goes as far as it speaks Multipath TCP. What needs its data, or its
// acknowledgment of ours, needs a request that it answers ([Config.Talk]); the rest, and the end of the connection, whose
// DATA_FIN is acknowledged as data is, comes without.
package check
