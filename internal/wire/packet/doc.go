// Package packet is the codec of what a TCP segment travels in: IPv4 (RFC 791), IPv6 (RFC 8200) and TCP
// (RFC 9293) headers, their checksums (RFC 1071, RFC 1624), and the ICMP errors that quote a segment
// (RFC 792, RFC 4443).
//
// Headers come as views over bytes ([IPv4], [IPv6], [TCP]) and a segment as a value ([Segment]). [Parse]
// makes a Segment whose options and payload are views into the packet; [Segment.AppendHeaders] writes the
// headers of a segment whose payload stays where it is. Neither allocates. TCP options are package
// options' business: here they are bytes.
//
// The package does no I/O, and everything that it parses is hostile: what does not parse is refused with
// one of the errors of this package, and nothing is read beyond the packet's own length.
package packet

import "errors"

// Why a packet is refused. They are values without detail, so that a flood of garbage costs no memory;
// errors.Is tells them apart.
var (
	// ErrTruncated: the packet ends before its headers, or its length field says more than has come.
	ErrTruncated = errors.New("packet: truncated")
	// ErrVersion: the IP version is neither 4 nor 6, or not the one that was asked for.
	ErrVersion = errors.New("packet: unknown IP version")
	// ErrHeaderLength: a header length field points into its own header or beyond the packet.
	ErrHeaderLength = errors.New("packet: impossible header length")
	// ErrFragment: a fragment of a packet. Reassembly is the kernel's.
	ErrFragment = errors.New("packet: fragment")
	// ErrProtocol: the packet carries something else than was asked for, or too many extension headers.
	ErrProtocol = errors.New("packet: not the protocol asked for")
	// ErrChecksum: a checksum does not match.
	ErrChecksum = errors.New("packet: wrong checksum")
	// ErrOptions: TCP options of more than MaxOptions bytes are to be sent.
	ErrOptions = errors.New("packet: more options than the TCP header holds")
	// ErrTooLong: the packet to be sent exceeds the length field of its IP header.
	ErrTooLong = errors.New("packet: longer than an IP packet can be")
	// ErrAddress: the addresses of a segment to be sent are not of one family, or are missing.
	ErrAddress = errors.New("packet: source and destination are not of one family")
)
