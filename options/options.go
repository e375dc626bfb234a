// Package options is the codec of the Multipath TCP options of RFC 8684 (TCP option kind 30), and of
// the TCP options that share their 40 bytes.
//
// [Next] walks over an option area, or over options back to back in a stream, as [Raw] views. The
// typed parsers ([ParseDSS] and its like) decode a view into a value, and the values' Append methods
// encode: neither allocates. [Decode] boxes any option in an [Option], for paths that are not hot.
package options

// Option is one decoded option. Implementations are value types.
type Option interface {
	// Len is the encoded length in bytes, kind and length bytes included, padding excluded.
	Len() int
	// Append appends the encoding to dst.
	Append(dst []byte) []byte
	// String is for logs: it never shows a key.
	String() string
}

// Kind is the TCP option kind of Multipath TCP.
const Kind = 30

// MaxLen is the length in bytes of the longest option: TCP's header has room for 40 bytes of options.
const MaxLen = 40

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

var subtypeNames = [...]string{
	SubMPCapable:  "MP_CAPABLE",
	SubMPJoin:     "MP_JOIN",
	SubDSS:        "DSS",
	SubAddAddr:    "ADD_ADDR",
	SubRemoveAddr: "REMOVE_ADDR",
	SubMPPrio:     "MP_PRIO",
	SubMPFail:     "MP_FAIL",
	SubFastclose:  "MP_FASTCLOSE",
	SubTCPRst:     "MP_TCPRST",
	SubPrivate:    "PRIVATE",
}

// String is the name that RFC 8684 gives the subtype, or its number.
func (s Subtype) String() string {
	if int(s) < len(subtypeNames) && subtypeNames[s] != "" {
		return subtypeNames[s]
	}
	return "subtype 0x" + string("0123456789ABCDEF"[s&0xF])
}
