// Package wire is the flow half of Multipath TCP in TCP's own header (RFC 8684 to the letter): a subflow
// is a connection of package tcp, and the options ride in its segments. Like the packages below and above
// it, it does no I/O, reads no clock and takes no lock.
//
// A [Flow] is made by one of
//
//   - [Dial]: the first subflow of a connection, from the client's side;
//   - [Accept]: the same, from the server's;
//   - [DialJoin] and [AcceptJoin]: a further subflow;
//   - [DialPlain] and [AcceptPlain]: plain TCP under an engine connection, where Multipath TCP is known
//     not to be possible.
//
// What a SYN asks for is [Open]'s to say, and [Reject] answers those that are not wanted.
//
// The owner then brings segments and timeouts in ([Flow.HandleSegment], [Flow.HandleTimeout]) and takes
// segments out ([Flow.Poll]) until the flow is [Flow.Done]. After each segment and timeout it asks
// [Flow.Settled]: once the handshake is over the result says what came of it, and [Flow.Attach] puts the
// flow under an engine connection, which a server makes only now. Everything that the peer has said
// meanwhile waits in the flow. After Attach the lock of the engine connection guards the flow.
//
//	f := wire.Dial(now, cfg, engine.NewCapable(offer, key))
//	for … {
//		f.HandleSegment(now, &seg, payload) // or HandleTimeout
//		if r, ok := f.Settled(); ok && !attached {
//			if r.Err != nil { … } // no connection; the flow may have a RST to send
//			attached = f.Attach(now, eng, engine.FlowParams{…}) != 0
//		}
//		for f.Poll(now, &out) { send(&out) }
//		f.Sent(now)
//	}
package wire
