// Package pcapw reads and writes packet captures in the classic pcap format.
package pcapw

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Link types that the format's registry gives numbers to.
const (
	LinkEthernet = 1
	LinkRaw      = 101 // packets begin with the IP header
)

// MaxPacket is the length in bytes above which a record is held to be garbage: tcpdump's own limit.
const MaxPacket = 262144

const (
	magicMicro = 0xa1b2c3d4
	magicNano  = 0xa1b23c4d
)

// ErrFormat is wrapped by all errors about the content of a capture.
var ErrFormat = errors.New("pcapw: not a well-formed capture")

// Reader reads one capture. It is not safe for concurrent use.
type Reader struct {
	r     io.Reader
	order binary.ByteOrder
	tick  time.Duration // unit of the fraction of a second
	link  uint32
	buf   []byte
}

// Packet is one captured packet.
type Packet struct {
	Time time.Duration // since 1970
	Data []byte        // valid until the next call of Next
	Len  int           // length on the wire; larger than len(Data) when the capture cut it off
}

// NewReader reads the header of the file.
func NewReader(r io.Reader) (*Reader, error) {
	var h [24]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrFormat, err)
	}
	p := &Reader{r: r}
	switch {
	case p.magic(h[:], binary.LittleEndian):
	case p.magic(h[:], binary.BigEndian):
	default:
		return nil, fmt.Errorf("%w: unknown magic number %x", ErrFormat, h[:4])
	}
	p.link = p.order.Uint32(h[20:]) & 0x0FFFFFFF // the upper bits describe a frame check sequence
	return p, nil
}

func (p *Reader) magic(h []byte, order binary.ByteOrder) bool {
	switch order.Uint32(h) {
	case magicMicro:
		p.tick = time.Microsecond
	case magicNano:
		p.tick = time.Nanosecond
	default:
		return false
	}
	p.order = order
	return true
}

// LinkType is what the packets begin with.
func (p *Reader) LinkType() uint32 { return p.link }

// Next reads the next packet; io.EOF at the end of the file.
func (p *Reader) Next() (Packet, error) {
	var h [16]byte
	if _, err := io.ReadFull(p.r, h[:]); err != nil {
		if err == io.EOF {
			return Packet{}, io.EOF
		}
		return Packet{}, fmt.Errorf("%w: record header: %w", ErrFormat, err)
	}
	sec, frac := p.order.Uint32(h[0:]), p.order.Uint32(h[4:])
	n, wire := p.order.Uint32(h[8:]), p.order.Uint32(h[12:])
	if n > MaxPacket {
		return Packet{}, fmt.Errorf("%w: a packet of %d bytes", ErrFormat, n)
	}
	if int(n) > cap(p.buf) {
		p.buf = make([]byte, n)
	}
	p.buf = p.buf[:n]
	if _, err := io.ReadFull(p.r, p.buf); err != nil {
		return Packet{}, fmt.Errorf("%w: record: %w", ErrFormat, err)
	}
	at := time.Duration(sec)*time.Second + time.Duration(frac)*p.tick
	return Packet{Time: at, Data: p.buf, Len: int(wire)}, nil
}

// IP is the packet from its IP header on; false when it is no IPv4 or IPv6 packet or when the link
// type is neither LinkEthernet nor LinkRaw.
func (p *Reader) IP(k Packet) ([]byte, bool) {
	b := k.Data
	switch p.link {
	case LinkEthernet:
		const header = 14
		if len(b) < header {
			return nil, false
		}
		if t := binary.BigEndian.Uint16(b[12:]); t != 0x0800 && t != 0x86dd {
			return nil, false
		}
		b = b[header:]
	case LinkRaw:
	default:
		return nil, false
	}
	if len(b) == 0 || b[0]>>4 != 4 && b[0]>>4 != 6 {
		return nil, false
	}
	return b, true
}
