package extapi

// Carrier says which lower half carries a subflow. Zero is not a carrier.
type Carrier uint8

const (
	CarrierTCP    Carrier = iota + 1 // no multipath: plain TCP (fallback or negotiated)
	CarrierWire                      // userspace TCP with real MPTCP options
	CarrierStream                    // records over kernel TCP connections
	CarrierKernel                    // the operating system's MPTCP
)

var carrierNames = []string{"none", "tcp", "wire", "stream", "kernel"}

// String returns a stable lower-case name: "stream".
func (c Carrier) String() string { return nameOf("Carrier", carrierNames, c) }

// MarshalText returns the bytes of String.
func (c Carrier) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText accepts the names that String returns.
func (c *Carrier) UnmarshalText(text []byte) (err error) {
	*c, err = parseName[Carrier]("Carrier", carrierNames, text)
	return err
}

// FallbackReason says why a connection carries plain TCP. Zero means it does not.
type FallbackReason uint8

const (
	FallbackNone             FallbackReason = iota // it has not fallen back
	FallbackPeer                                   // peer did not answer MP_CAPABLE
	FallbackDiscovery                              // discovery said that the peer does not speak the stream carrier, or was not allowed to ask
	FallbackBlackhole                              // SYNs with the option got lost
	FallbackThirdAck                               // the third ACK or the first data came without MP_CAPABLE
	FallbackStripped                               // the option vanished later
	FallbackChecksum                               // RFC 8684 section 3.7, single subflow
	FallbackInfiniteMap                            // the peer sent an infinite mapping
	FallbackSimultaneousOpen                       // both sides sent a SYN
	FallbackPrivilege                              // wire carrier not permitted here
	FallbackBound                                  // a bound Dialer (RFC 6897 section 4.2.1)
	FallbackDisabled                               // configuration asked for TCP
)

var fallbackNames = []string{
	"none", "peer", "discovery", "blackhole", "third_ack", "stripped", "checksum", "infinite_map",
	"simultaneous_open", "privilege", "bound", "disabled",
}

// String returns a stable snake_case name: "third_ack".
func (r FallbackReason) String() string { return nameOf("FallbackReason", fallbackNames, r) }

// MarshalText returns the bytes of String.
func (r FallbackReason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText accepts the names that String returns.
func (r *FallbackReason) UnmarshalText(text []byte) (err error) {
	*r, err = parseName[FallbackReason]("FallbackReason", fallbackNames, text)
	return err
}
