// Package options is the codec of the Multipath TCP options of RFC 8684 (TCP option kind 30), and of
// the TCP options that share their 40 bytes.
package options

import "net/netip"

// Option is one decoded option. Implementations are value types.
type Option interface {
	// Len is the encoded length in bytes, kind and length bytes included, padding excluded.
	Len() int
	// Append appends the encoding to dst.
	Append(dst []byte) []byte
	String() string
}

// Kind is the TCP option kind of Multipath TCP.
const Kind = 30

// Subtype is an MPTCP option subtype (RFC 8684 section 8, table 3).
type Subtype uint8

const (
	SubMPCapable  Subtype = 0x0
	SubMPJoin     Subtype = 0x1
	SubDSS        Subtype = 0x2
	SubAddAddr    Subtype = 0x3
	SubRemoveAddr Subtype = 0x4
	SubMPPrio     Subtype = 0x5
	SubMPFail     Subtype = 0x6
	SubFastclose  Subtype = 0x7
	SubTCPRst     Subtype = 0x8
	SubPrivate    Subtype = 0xF
)

// MPCapable is MP_CAPABLE (section 3.1) in its five lengths: 4 (no key), 12 (SenderKey), 20 (both keys),
// 22 (both keys and DataLen), 24 (and Checksum).
type MPCapable struct {
	Version     uint8
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
)

// JoinForm tells the three MP_JOIN forms (section 3.2) apart.
type JoinForm uint8

const (
	JoinSyn    JoinForm = iota + 1 // 12 bytes: AddrID, Backup, Token, Nonce
	JoinSynAck                     // 16 bytes: AddrID, Backup, HMAC[:8], Nonce
	JoinAck                        // 24 bytes: HMAC[:20]
)

// MPJoin is MP_JOIN (section 3.2).
type MPJoin struct {
	Form   JoinForm
	Backup bool
	AddrID uint8
	Token  uint32
	Nonce  uint32
	HMAC   [20]byte // 8 bytes in JoinSynAck, 20 in JoinAck
}

// DSS is the Data Sequence Signal (section 3.3).
type DSS struct {
	HasAck  bool
	Ack64   bool // DATA_ACK is 8 bytes long
	DataAck uint64

	HasMap      bool
	DSN64       bool // DSN is 8 bytes long
	DSN         uint64
	SSN         uint32 // relative subflow sequence number; the first byte of a subflow is 1
	DataLen     uint16 // with DataFIN it counts the DATA_FIN too; 0: infinite mapping
	HasChecksum bool
	Checksum    uint16

	DataFIN bool
}

// AddAddr is ADD_ADDR (section 3.4.1).
type AddAddr struct {
	Echo    bool
	AddrID  uint8
	Addr    netip.Addr // IPv4 or IPv6, no zone
	HasPort bool
	Port    uint16
	HMAC    uint64 // rightmost 64 bits, big endian; absent in an echo
}

// RemoveAddr is REMOVE_ADDR (section 3.4.2): 1 to 37 address ids.
type RemoveAddr struct {
	N   uint8
	IDs [37]uint8
}

// MPPrio is MP_PRIO (section 3.3.8).
type MPPrio struct{ Backup bool }

// MPFail is MP_FAIL (section 3.7).
type MPFail struct{ DSN uint64 }

// Fastclose is MP_FASTCLOSE (section 3.5).
type Fastclose struct{ ReceiverKey uint64 }

// TCPRst is MP_TCPRST (section 3.6).
type TCPRst struct {
	U, V, W   bool
	Transient bool
	Reason    uint8
}

// Private is the private-use subtype 0xF (section 8): this project's carriers use Type to tell messages apart.
type Private struct {
	Flags uint8 // low 4 bits of the first byte
	Type  uint8
	Data  [36]byte
	N     uint8 // bytes of Data in use
}

// Unknown is any other option, kept raw: kind, length and body.
type Unknown struct {
	Raw [40]byte
	N   uint8
}
