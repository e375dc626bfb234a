package options

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// AddAddr is ADD_ADDR (section 3.4.1).
type AddAddr struct {
	Echo    bool
	AddrID  uint8
	Addr    netip.Addr // IPv4 or IPv6, no zone
	HasPort bool
	Port    uint16
	HMAC    uint64 // rightmost 64 bits, big endian; absent in an echo
}

// ParseAddAddr decodes ADD_ADDR. The length tells the family of the address and whether there is a
// port; the flag E says whether there is an HMAC.
func ParseAddAddr(r Raw) (AddAddr, error) {
	if err := r.expect(SubAddAddr, 8, 30); err != nil {
		return AddAddr{}, err
	}
	a := AddAddr{Echo: r[2]&1 != 0, AddrID: r[3]}
	body := r[4:]
	if !a.Echo {
		if len(body) < 8 {
			return AddAddr{}, r.badLen()
		}
		a.HMAC = binary.BigEndian.Uint64(body[len(body)-8:])
		body = body[:len(body)-8]
	}
	switch len(body) {
	case 6, 18:
		a.HasPort, a.Port = true, binary.BigEndian.Uint16(body[len(body)-2:])
		body = body[:len(body)-2]
	}
	addr, ok := netip.AddrFromSlice(body)
	if !ok {
		return AddAddr{}, r.badLen()
	}
	a.Addr = addr
	return a, nil
}

// Len is 8 to 30.
func (a AddAddr) Len() int {
	n := 4 + 16
	if a.Addr.Is4() {
		n = 4 + 4
	}
	if a.HasPort {
		n += 2
	}
	if !a.Echo {
		n += 8
	}
	return n
}

// Append appends the encoding to dst. An invalid Addr is encoded as IPv6's unspecified one.
func (a AddAddr) Append(dst []byte) []byte {
	first := uint8(SubAddAddr) << 4
	if a.Echo {
		first |= 1
	}
	dst = append(dst, Kind, uint8(a.Len()), first, a.AddrID)
	dst = a.appendAddr(dst)
	if a.HasPort {
		dst = binary.BigEndian.AppendUint16(dst, a.Port)
	}
	if !a.Echo {
		dst = binary.BigEndian.AppendUint64(dst, a.HMAC)
	}
	return dst
}

func (a AddAddr) appendAddr(dst []byte) []byte {
	if a.Addr.Is4() {
		b := a.Addr.As4()
		return append(dst, b[:]...)
	}
	b := a.Addr.As16()
	return append(dst, b[:]...)
}

// AppendHMACMessage appends what the HMAC of an ADD_ADDR is made over: "The message for the HMAC is the
// Address ID, IP address, and port that precede the HMAC in the ADD_ADDR option. If the port is not
// present in the ADD_ADDR option, the HMAC message will nevertheless include 2 octets of value zero."
// (section 3.4.1)
func (a AddAddr) AppendHMACMessage(dst []byte) []byte {
	dst = a.appendAddr(append(dst, a.AddrID))
	if !a.HasPort {
		return append(dst, 0, 0)
	}
	return binary.BigEndian.AppendUint16(dst, a.Port)
}

func (a AddAddr) String() string {
	s := fmt.Sprintf("ADD_ADDR id=%d addr=%s", a.AddrID, a.Addr)
	if a.HasPort {
		s += fmt.Sprintf(" port=%d", a.Port)
	}
	if a.Echo {
		return s + " echo"
	}
	return s + fmt.Sprintf(" hmac=%016x", a.HMAC)
}
