package stream

import (
	"encoding/binary"

	"github.com/mptcp-go/mptcp/options"
)

// Types of the private-use subtype 0xF: what the TCP header would carry, and what no option of RFC
// 8684 does. Unknown types are skipped.
const (
	TypeWindow    = 1 // the right edge of the receive window
	TypeEcho      = 2 // 4 bytes to send back
	TypeEchoReply = 3 // the 4 bytes of the newest ECHO
	TypeProof     = 4 // knowledge of the shared secret
)

// windowInitial is the flag of a WINDOW whose value counts from the peer's first byte: the sender
// does not know the peer's key yet, hence no data sequence number of the peer's.
const windowInitial = 0x1

// The encoded lengths of the private messages that flows send.
const (
	windowLen  = 8
	windowLong = 12
	echoLen    = 8
	proofLen   = 36
)

func private(typ uint8, flags uint8, data []byte) options.Private {
	p := options.Private{Flags: flags, Type: typ}
	p.N = uint8(copy(p.Data[:], data))
	return p
}

func appendPrivateHead(dst []byte, length, flags, typ uint8) []byte {
	return append(dst, options.Kind, length, uint8(options.SubPrivate)<<4|flags, typ)
}

func appendEcho(dst []byte, typ uint8, token uint32) []byte {
	return binary.BigEndian.AppendUint32(appendPrivateHead(dst, echoLen, 0, typ), token)
}

// appendWindow appends the window with this right edge: its lower half where the peer can tell the
// rest from ack, the newest DATA_ACK that it got on this flow.
func appendWindow(dst []byte, edge, ack uint64) []byte {
	if edge-ack < 1<<31 {
		return binary.BigEndian.AppendUint32(appendPrivateHead(dst, windowLen, 0, TypeWindow), uint32(edge))
	}
	return binary.BigEndian.AppendUint64(appendPrivateHead(dst, windowLong, 0, TypeWindow), edge)
}

// appendInitialWindow appends a window that counts from the peer's first byte.
func appendInitialWindow(dst []byte, window uint64) []byte {
	if window < 1<<32 {
		return binary.BigEndian.AppendUint32(appendPrivateHead(dst, windowLen, windowInitial, TypeWindow), uint32(window))
	}
	return binary.BigEndian.AppendUint64(appendPrivateHead(dst, windowLong, windowInitial, TypeWindow), window)
}

// windowBeyond reads a WINDOW: how many bytes beyond base the peer takes.
func windowBeyond(p *options.Private, base uint64) (int64, error) {
	b := p.Payload()
	var w uint64
	switch {
	case len(b) == 4 && p.Flags&windowInitial != 0:
		w = uint64(binary.BigEndian.Uint32(b))
	case len(b) == 4:
		w = uint64(binary.BigEndian.Uint32(b) - uint32(base))
		if w >= 1<<31 {
			return 0, violation("7.1", "a window that ends before the DATA_ACK")
		}
	case len(b) == 8 && p.Flags&windowInitial != 0:
		w = binary.BigEndian.Uint64(b)
	case len(b) == 8:
		w = binary.BigEndian.Uint64(b) - base
	default:
		return 0, violation("7.1", "a window of neither 4 nor 8 bytes")
	}
	if w > maxWindow {
		return 0, violation("7.1", "a window that ends before the DATA_ACK or beyond 1 TiB")
	}
	return int64(w), nil
}

// maxWindow is the largest receive window, in bytes. What lies beyond is an edge before the DATA_ACK.
const maxWindow = 1 << 40
