package options

import (
	"encoding/binary"
	"fmt"
)

// MPCapable is MP_CAPABLE (section 3.1) in its five lengths: 4 (no key), 12 (SenderKey), 20 (both keys),
// 22 (both keys and DataLen), 24 (and Checksum). Each Has field needs the one before it.
type MPCapable struct {
	Version     uint8 // 0 to 15
	Flags       CapableFlags
	HasSender   bool
	SenderKey   uint64
	HasReceiver bool
	ReceiverKey uint64
	HasData     bool
	DataLen     uint16
	HasChecksum bool
	Checksum    uint16
}

// CapableFlags are the flags A to H of MP_CAPABLE.
type CapableFlags uint8

const (
	FlagA CapableFlags = 0x80 // checksum required
	FlagB CapableFlags = 0x40 // extensibility: must be 0
	FlagC CapableFlags = 0x20 // no joins to the initial address and port
	FlagH CapableFlags = 0x01 // HMAC-SHA256

	// FlagsCrypto are D to H, the algorithms for keys and HMACs.
	FlagsCrypto CapableFlags = 0x1F
)

// ParseMPCapable decodes MP_CAPABLE. The version and the flags are for the handshake to judge.
func ParseMPCapable(r Raw) (MPCapable, error) {
	if err := r.expect(SubMPCapable, 4, 24); err != nil {
		return MPCapable{}, err
	}
	switch len(r) {
	case 4, 12, 20, 22, 24:
	default:
		return MPCapable{}, r.badLen()
	}
	m := MPCapable{Version: r[2] & 0xF, Flags: CapableFlags(r[3])}
	if len(r) >= 12 {
		m.HasSender, m.SenderKey = true, binary.BigEndian.Uint64(r[4:])
	}
	if len(r) >= 20 {
		m.HasReceiver, m.ReceiverKey = true, binary.BigEndian.Uint64(r[12:])
	}
	if len(r) >= 22 {
		m.HasData, m.DataLen = true, binary.BigEndian.Uint16(r[20:])
	}
	if len(r) >= 24 {
		m.HasChecksum, m.Checksum = true, binary.BigEndian.Uint16(r[22:])
	}
	return m, nil
}

// Len is 4, 12, 20, 22 or 24.
func (m MPCapable) Len() int {
	switch {
	case !m.HasSender:
		return 4
	case !m.HasReceiver:
		return 12
	case !m.HasData:
		return 20
	case !m.HasChecksum:
		return 22
	}
	return 24
}

// Append appends the encoding to dst.
func (m MPCapable) Append(dst []byte) []byte {
	n := m.Len()
	dst = append(dst, Kind, uint8(n), uint8(SubMPCapable)<<4|m.Version&0xF, uint8(m.Flags))
	if n >= 12 {
		dst = binary.BigEndian.AppendUint64(dst, m.SenderKey)
	}
	if n >= 20 {
		dst = binary.BigEndian.AppendUint64(dst, m.ReceiverKey)
	}
	if n >= 22 {
		dst = binary.BigEndian.AppendUint16(dst, m.DataLen)
	}
	if n >= 24 {
		dst = binary.BigEndian.AppendUint16(dst, m.Checksum)
	}
	return dst
}

// String leaves the keys out: whoever reads them can join the connection.
func (m MPCapable) String() string {
	s := fmt.Sprintf("MP_CAPABLE v%d flags=0x%02x len=%d", m.Version, uint8(m.Flags), m.Len())
	if n := m.Len(); n >= 22 {
		s += fmt.Sprintf(" dlen=%d", m.DataLen)
		if n >= 24 {
			s += fmt.Sprintf(" csum=0x%04x", m.Checksum)
		}
	}
	return s
}
