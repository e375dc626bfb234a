package options

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// reencode parses r with the parser of its own kind and appends it again. Decode is for who does not know the kind: it
// puts the value into an interface.
func reencode(r Raw, dst []byte) []byte {
	switch s, mptcp := r.Subtype(); {
	case !mptcp:
		return reencodeTCP(r, dst)
	case s == SubMPCapable:
		return must(ParseMPCapable(r)).Append(dst)
	case s == SubMPJoin:
		return must(ParseMPJoin(r)).Append(dst)
	case s == SubDSS:
		return must(ParseDSS(r)).Append(dst)
	case s == SubAddAddr:
		return must(ParseAddAddr(r)).Append(dst)
	case s == SubRemoveAddr:
		return must(ParseRemoveAddr(r)).Append(dst)
	case s == SubMPPrio:
		return must(ParseMPPrio(r)).Append(dst)
	case s == SubMPFail:
		return must(ParseMPFail(r)).Append(dst)
	case s == SubFastclose:
		return must(ParseFastclose(r)).Append(dst)
	case s == SubTCPRst:
		return must(ParseTCPRst(r)).Append(dst)
	case s == SubPrivate:
		return must(ParsePrivate(r)).Append(dst)
	}
	return must(ParseUnknown(r)).Append(dst)
}

func reencodeTCP(r Raw, dst []byte) []byte {
	switch r.Kind() {
	case KindMSS:
		return must(ParseMSS(r)).Append(dst)
	case KindWindowScale:
		return must(ParseWindowScale(r)).Append(dst)
	case KindSACK:
		return must(ParseSACK(r)).Append(dst)
	case KindTimestamps:
		return must(ParseTimestamps(r)).Append(dst)
	}
	return append(dst, r...)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// No option costs an allocation, neither read nor written.
func TestNoOptionAllocates(t *testing.T) {
	var all []Raw
	subtypes := map[Subtype]bool{}
	for _, file := range captureFiles(t) {
		for _, s := range readCapture(t, file) {
			all = append(all, s.raw)
			if sub, ok := s.raw.Subtype(); ok {
				subtypes[sub] = true
			}
		}
	}
	require.GreaterOrEqual(t, len(subtypes), 9)
	all = append(all, Raw((Private{}).Append(nil)), Raw{Kind, 4, 0x90, 1}, Raw{KindSACK, 10, 0, 0, 0, 1, 0, 0, 0, 2})
	out := make([]byte, 0, MaxLen)
	require.Zero(t, testing.AllocsPerRun(3, func() {
		for _, r := range all {
			out = reencode(r, out[:0])
			if string(out) != string(r) {
				panic("other bytes")
			}
		}
	}))
}
