package options

import (
	"encoding/binary"
	"fmt"
)

// DSS is the Data Sequence Signal (section 3.3).
type DSS struct {
	HasAck  bool
	Ack64   bool   // DATA_ACK is 8 bytes long
	DataAck uint64 // without Ack64 only the lower half is there

	HasMap      bool
	DSN64       bool   // DSN is 8 bytes long
	DSN         uint64 // without DSN64 only the lower half is there
	SSN         uint32 // relative subflow sequence number; the first byte of a subflow is 1
	DataLen     uint16 // with DataFIN it counts the DATA_FIN too; 0: infinite mapping
	HasChecksum bool
	Checksum    uint16

	DataFIN bool
}

const (
	dssFin   = 0x10 // F
	dssDSN64 = 0x08 // m
	dssMap   = 0x04 // M
	dssAck64 = 0x02 // a
	dssAck   = 0x01 // A
)

// Infinite reports whether the mapping covers the rest of the subflow: "This is achieved by setting the
// Data-Level Length field of the DSS option to the reserved value of 0." (section 3.3.1)
func (d DSS) Infinite() bool { return d.HasMap && d.DataLen == 0 }

// ParseDSS decodes a DSS. Its length must be exactly what its flags say, or 2 more with a mapping:
// "The presence of the checksum can be inferred from the length of the option." (section 3.3)
func ParseDSS(r Raw) (DSS, error) {
	if err := r.expect(SubDSS, 4, 28); err != nil {
		return DSS{}, err
	}
	// "The flags "a" and "m" only have meaning if the corresponding "A" or "M" flags are set;
	// otherwise, they will be ignored." So are the reserved bits.
	flags := r[3]
	d := DSS{
		HasAck:  flags&dssAck != 0,
		Ack64:   flags&(dssAck|dssAck64) == dssAck|dssAck64,
		HasMap:  flags&dssMap != 0,
		DSN64:   flags&(dssMap|dssDSN64) == dssMap|dssDSN64,
		DataFIN: flags&dssFin != 0,
	}
	switch len(r) - d.Len() {
	case 0:
	case 2:
		if !d.HasMap {
			return DSS{}, r.badLen()
		}
		d.HasChecksum = true
	default:
		return DSS{}, r.badLen()
	}
	d.decode(r[4:])
	return d, nil
}

// decode reads the fields; b is as long as the flags in d say.
func (d *DSS) decode(b []byte) {
	if d.HasAck {
		if d.Ack64 {
			d.DataAck, b = binary.BigEndian.Uint64(b), b[8:]
		} else {
			d.DataAck, b = uint64(binary.BigEndian.Uint32(b)), b[4:]
		}
	}
	if !d.HasMap {
		return
	}
	if d.DSN64 {
		d.DSN, b = binary.BigEndian.Uint64(b), b[8:]
	} else {
		d.DSN, b = uint64(binary.BigEndian.Uint32(b)), b[4:]
	}
	d.SSN = binary.BigEndian.Uint32(b)
	d.DataLen = binary.BigEndian.Uint16(b[4:])
	if d.HasChecksum {
		d.Checksum = binary.BigEndian.Uint16(b[6:])
	}
}

// Len is 4 to 28.
func (d DSS) Len() int {
	n := 4
	if d.HasAck {
		n += 4
		if d.Ack64 {
			n += 4
		}
	}
	if d.HasMap {
		n += 10
		if d.DSN64 {
			n += 4
		}
		if d.HasChecksum {
			n += 2
		}
	}
	return n
}

// Append appends the encoding to dst. Of a 4-byte DATA_ACK or DSN the lower half is sent.
func (d DSS) Append(dst []byte) []byte {
	var flags uint8
	if d.DataFIN {
		flags = dssFin
	}
	if d.HasAck {
		flags |= dssAck
		if d.Ack64 {
			flags |= dssAck64
		}
	}
	if d.HasMap {
		flags |= dssMap
		if d.DSN64 {
			flags |= dssDSN64
		}
	}
	dst = append(dst, Kind, uint8(d.Len()), uint8(SubDSS)<<4, flags)
	if d.HasAck {
		dst = appendSeq(dst, d.DataAck, d.Ack64)
	}
	if d.HasMap {
		dst = appendSeq(dst, d.DSN, d.DSN64)
		dst = binary.BigEndian.AppendUint32(dst, d.SSN)
		dst = binary.BigEndian.AppendUint16(dst, d.DataLen)
		if d.HasChecksum {
			dst = binary.BigEndian.AppendUint16(dst, d.Checksum)
		}
	}
	return dst
}

func appendSeq(dst []byte, n uint64, wide bool) []byte {
	if wide {
		return binary.BigEndian.AppendUint64(dst, n)
	}
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}

func (d DSS) String() string {
	s := "DSS"
	if d.HasAck {
		s += " ack=" + seqString(d.DataAck, d.Ack64)
	}
	if d.HasMap {
		s += fmt.Sprintf(" dsn=%s ssn=%d len=%d", seqString(d.DSN, d.DSN64), d.SSN, d.DataLen)
		if d.DataLen == 0 {
			s += " (infinite)"
		}
		if d.HasChecksum {
			s += fmt.Sprintf(" csum=0x%04x", d.Checksum)
		}
	}
	if d.DataFIN {
		s += " DATA_FIN"
	}
	return s
}

func seqString(n uint64, wide bool) string {
	if wide {
		return fmt.Sprintf("0x%016x", n)
	}
	return fmt.Sprintf("0x%08x", uint32(n))
}
