package options

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// The bytes are those of captures 03 and 04, and the same for IPv6.
func TestAddAddrForms(t *testing.T) {
	v4, v6 := netip.MustParseAddr("10.77.2.2"), netip.MustParseAddr("fd77:2::2")
	const h = 0x8f9cd561e07ae57d
	checkExamples(t, []example{
		{"IPv4", "1e103007 0a4d0202 c9a45d5c7e6d10a8", AddAddr{AddrID: 7, Addr: v4, HMAC: 0xc9a45d5c7e6d10a8}, "ADD_ADDR id=7 addr=10.77.2.2 hmac=c9a45d5c7e6d10a8"},
		{"IPv4 echo", "1e083107 0a4d0202", AddAddr{Echo: true, AddrID: 7, Addr: v4}, "ADD_ADDR id=7 addr=10.77.2.2 echo"},
		{"IPv4 and port", "1e123008 0a4d0202 2774 8f9cd561e07ae57d", AddAddr{AddrID: 8, Addr: v4, HasPort: true, Port: 10100, HMAC: h}, "ADD_ADDR id=8 addr=10.77.2.2 port=10100 hmac=8f9cd561e07ae57d"},
		{"IPv4 and port, echo", "1e0a3108 0a4d0202 2774", AddAddr{Echo: true, AddrID: 8, Addr: v4, HasPort: true, Port: 10100}, "ADD_ADDR id=8 addr=10.77.2.2 port=10100 echo"},
		{"IPv6", "1e1c3009 fd770002000000000000000000000002 8f9cd561e07ae57d", AddAddr{AddrID: 9, Addr: v6, HMAC: h}, "ADD_ADDR id=9 addr=fd77:2::2 hmac=8f9cd561e07ae57d"},
		{"IPv6 echo", "1e143109 fd770002000000000000000000000002", AddAddr{Echo: true, AddrID: 9, Addr: v6}, "ADD_ADDR id=9 addr=fd77:2::2 echo"},
		{"IPv6 and port", "1e1e3009 fd770002000000000000000000000002 2774 8f9cd561e07ae57d", AddAddr{AddrID: 9, Addr: v6, HasPort: true, Port: 10100, HMAC: h}, "ADD_ADDR id=9 addr=fd77:2::2 port=10100 hmac=8f9cd561e07ae57d"},
		{"IPv6 and port, echo", "1e163109 fd770002000000000000000000000002 2774", AddAddr{Echo: true, AddrID: 9, Addr: v6, HasPort: true, Port: 10100}, "ADD_ADDR id=9 addr=fd77:2::2 port=10100 echo"},
		{"an IPv4 address in IPv6 form stays IPv6", "1e143100 00000000000000000000ffff0a4d0202", AddAddr{Echo: true, Addr: netip.MustParseAddr("::ffff:10.77.2.2")}, "ADD_ADDR id=0 addr=::ffff:10.77.2.2 echo"},
	})
}

func TestAddAddrLengths(t *testing.T) {
	checkLengths(t, []byte{Kind, 0, 0x30, 1}, 16, 18, 28, 30)
	checkLengths(t, []byte{Kind, 0, 0x31, 1}, 8, 10, 20, 22)
	// The bits beside E "MUST be ignored by the receiver".
	checkLengths(t, []byte{Kind, 0, 0x3e, 1}, 16, 18, 28, 30)
	checkLengths(t, []byte{Kind, 0, 0x3f, 1}, 8, 10, 20, 22)
}

func TestAddAddrWithoutAddress(t *testing.T) {
	a := AddAddr{Echo: true, AddrID: 3}
	require.Equal(t, append(unhex(t, "1e143103"), make([]byte, 16)...), a.Append(nil))
	require.Equal(t, 20, a.Len())
}
