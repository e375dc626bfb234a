package packet

import (
	"encoding/binary"
	"net/netip"
)

// Lengths of headers in bytes, without IP options, extension headers and TCP options.
const (
	IPv4HeaderLen = 20
	IPv6HeaderLen = 40
	TCPHeaderLen  = 20
)

// MaxOptions is the room for options in a TCP header, in bytes.
const MaxOptions = 40

// MaxHeader is the longest that AppendHeaders writes, in bytes.
const MaxHeader = IPv6HeaderLen + TCPHeaderLen + MaxOptions

// MaxPacket is the longest IP packet that is sent, in bytes, its headers included.
const MaxPacket = 65535

// IPv4 is a view of a packet from its IPv4 header on. The accessors take for granted that IPv4HeaderLen
// bytes are there.
type IPv4 []byte

func (h IPv4) Version() int       { return int(h[0] >> 4) }
func (h IPv4) HeaderLen() int     { return int(h[0]&15) * 4 }
func (h IPv4) TOS() uint8         { return h[1] }
func (h IPv4) TotalLen() int      { return int(binary.BigEndian.Uint16(h[2:])) }
func (h IPv4) ID() uint16         { return binary.BigEndian.Uint16(h[4:]) }
func (h IPv4) DontFragment() bool { return h[6]&0x40 != 0 }
func (h IPv4) TTL() uint8         { return h[8] }
func (h IPv4) Protocol() uint8    { return h[9] }
func (h IPv4) Checksum() uint16   { return binary.BigEndian.Uint16(h[10:]) }
func (h IPv4) Src() netip.Addr    { return netip.AddrFrom4([4]byte(h[12:16])) }
func (h IPv4) Dst() netip.Addr    { return netip.AddrFrom4([4]byte(h[16:20])) }

// Fragment reports whether this is not a whole packet: more fragments follow, or an offset.
func (h IPv4) Fragment() bool { return binary.BigEndian.Uint16(h[6:])&0x3FFF != 0 }

// IPv6 is a view of a packet from its IPv6 header on. The accessors take for granted that IPv6HeaderLen
// bytes are there.
type IPv6 []byte

func (h IPv6) Version() int        { return int(h[0] >> 4) }
func (h IPv6) TrafficClass() uint8 { return h[0]<<4 | h[1]>>4 }
func (h IPv6) FlowLabel() uint32   { return binary.BigEndian.Uint32(h) & 0xFFFFF }
func (h IPv6) PayloadLen() int     { return int(binary.BigEndian.Uint16(h[4:])) }
func (h IPv6) NextHeader() uint8   { return h[6] }
func (h IPv6) HopLimit() uint8     { return h[7] }
func (h IPv6) Src() netip.Addr     { return netip.AddrFrom16([16]byte(h[8:24])) }
func (h IPv6) Dst() netip.Addr     { return netip.AddrFrom16([16]byte(h[24:40])) }

// TCP is a view of a segment from its TCP header on. The accessors take for granted that TCPHeaderLen
// bytes are there, Options and Payload also that HeaderLen is possible.
type TCP []byte

func (h TCP) SrcPort() uint16  { return binary.BigEndian.Uint16(h) }
func (h TCP) DstPort() uint16  { return binary.BigEndian.Uint16(h[2:]) }
func (h TCP) Seq() uint32      { return binary.BigEndian.Uint32(h[4:]) }
func (h TCP) Ack() uint32      { return binary.BigEndian.Uint32(h[8:]) }
func (h TCP) HeaderLen() int   { return int(h[12]>>4) * 4 }
func (h TCP) Flags() Flags     { return Flags(h[13]) }
func (h TCP) Window() uint16   { return binary.BigEndian.Uint16(h[14:]) }
func (h TCP) Checksum() uint16 { return binary.BigEndian.Uint16(h[16:]) }
func (h TCP) Urgent() uint16   { return binary.BigEndian.Uint16(h[18:]) }
func (h TCP) Options() []byte  { n := h.HeaderLen(); return h[TCPHeaderLen:n:n] }
func (h TCP) Payload() []byte  { return h[h.HeaderLen():len(h):len(h)] }
