package options

import (
	"encoding/binary"
	"fmt"
)

// JoinForm tells the three MP_JOIN forms (section 3.2) apart.
type JoinForm uint8

const (
	JoinSyn    JoinForm = iota + 1 // 12 bytes: AddrID, Backup, Token, Nonce
	JoinSynAck                     // 16 bytes: AddrID, Backup, HMAC[:8], Nonce
	JoinAck                        // 24 bytes: HMAC[:20]
)

func (f JoinForm) String() string {
	switch f {
	case JoinSyn:
		return "SYN"
	case JoinSynAck:
		return "SYN/ACK"
	case JoinAck:
		return "ACK"
	}
	return "no form"
}

// MPJoin is MP_JOIN (section 3.2).
type MPJoin struct {
	Form   JoinForm
	Backup bool
	AddrID uint8
	Token  uint32
	Nonce  uint32
	HMAC   [20]byte // 8 bytes in JoinSynAck, 20 in JoinAck
}

// ParseMPJoin decodes MP_JOIN; the form follows from the length. Reserved bits are ignored.
func ParseMPJoin(r Raw) (MPJoin, error) {
	if err := r.expect(SubMPJoin, 12, 24); err != nil {
		return MPJoin{}, err
	}
	var j MPJoin
	switch len(r) {
	case 12:
		j.Form = JoinSyn
		j.Backup, j.AddrID = r[2]&1 != 0, r[3]
		j.Token = binary.BigEndian.Uint32(r[4:])
		j.Nonce = binary.BigEndian.Uint32(r[8:])
	case 16:
		j.Form = JoinSynAck
		j.Backup, j.AddrID = r[2]&1 != 0, r[3]
		copy(j.HMAC[:8], r[4:])
		j.Nonce = binary.BigEndian.Uint32(r[12:])
	case 24:
		j.Form = JoinAck
		copy(j.HMAC[:], r[4:])
	default:
		return MPJoin{}, r.badLen()
	}
	return j, nil
}

// Len is 12, 16 or 24; 0 without a form.
func (j MPJoin) Len() int {
	switch j.Form {
	case JoinSyn:
		return 12
	case JoinSynAck:
		return 16
	case JoinAck:
		return 24
	}
	return 0
}

// Append appends the encoding to dst: nothing without a form.
func (j MPJoin) Append(dst []byte) []byte {
	first := uint8(SubMPJoin) << 4
	if j.Backup {
		first |= 1
	}
	switch j.Form {
	case JoinSyn:
		dst = append(dst, Kind, 12, first, j.AddrID)
		dst = binary.BigEndian.AppendUint32(dst, j.Token)
		return binary.BigEndian.AppendUint32(dst, j.Nonce)
	case JoinSynAck:
		dst = append(dst, Kind, 16, first, j.AddrID)
		dst = append(dst, j.HMAC[:8]...)
		return binary.BigEndian.AppendUint32(dst, j.Nonce)
	case JoinAck:
		// "The reserved bits in this option MUST be set to 0 by the sender." (section 3.2)
		dst = append(dst, Kind, 24, uint8(SubMPJoin)<<4, 0)
		return append(dst, j.HMAC[:]...)
	}
	return dst
}

func (j MPJoin) String() string {
	switch j.Form {
	case JoinSyn:
		return fmt.Sprintf("MP_JOIN SYN id=%d backup=%t token=0x%08x nonce=0x%08x", j.AddrID, j.Backup, j.Token, j.Nonce)
	case JoinSynAck:
		return fmt.Sprintf("MP_JOIN SYN/ACK id=%d backup=%t hmac=%x nonce=0x%08x", j.AddrID, j.Backup, j.HMAC[:8], j.Nonce)
	}
	return fmt.Sprintf("MP_JOIN %s hmac=%x", j.Form, j.HMAC)
}
