package pcapw

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// Writer writes one capture, with times in nanoseconds. It is not safe for concurrent use.
type Writer struct {
	w   io.Writer
	buf []byte // of one record, so that each is one Write
}

// NewWriter writes the header of the file. link is what the packets begin with.
func NewWriter(w io.Writer, link uint32) (*Writer, error) {
	h := make([]byte, 0, 24)
	h = binary.LittleEndian.AppendUint32(h, magicNano)
	h = binary.LittleEndian.AppendUint16(h, 2) // the format's version is 2.4
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, 0, 0, 0, 0, 0, 0, 0, 0) // reserved
	h = binary.LittleEndian.AppendUint32(h, MaxPacket)
	h = binary.LittleEndian.AppendUint32(h, link)
	if _, err := w.Write(h); err != nil {
		return nil, err
	}
	return &Writer{w: w}, nil
}

// Write writes a packet.
func (p *Writer) Write(at time.Time, packet []byte) error {
	if len(packet) > MaxPacket {
		return fmt.Errorf("pcapw: a packet of %d bytes", len(packet))
	}
	b := p.buf[:0]
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(at.Nanosecond()))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(packet)))
	p.buf = append(b, packet...)
	_, err := p.w.Write(p.buf)
	return err
}
