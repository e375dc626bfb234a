package options

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDecode eats an option area: whatever decodes must encode to its own length and decode to the
// same value again, and nothing is read beyond the area.
func FuzzDecode(f *testing.F) {
	for _, o := range []Option{
		MPCapable{Version: 1, Flags: FlagH, HasSender: true, HasReceiver: true, HasData: true, HasChecksum: true},
		MPJoin{Form: JoinSyn}, MPJoin{Form: JoinSynAck}, MPJoin{Form: JoinAck},
		DSS{HasAck: true, HasMap: true, HasChecksum: true}, DSS{HasAck: true, Ack64: true, HasMap: true, DSN64: true, DataFIN: true},
		AddAddr{Echo: true}, AddAddr{HasPort: true}, RemoveAddr{N: 2}, MPPrio{}, MPFail{}, Fastclose{}, TCPRst{}, Private{N: 8},
		MSS{}, WindowScale{}, SACKPermitted{}, SACK{N: 3}, Timestamps{}, NOP{}, EOL{},
	} {
		f.Add(o.Append(nil))
		f.Add(append(NOP{}.Append(o.Append(nil)), 0, 1, 2))
	}
	f.Add([]byte{Kind, 0})
	f.Fuzz(func(t *testing.T, area []byte) {
		// Without spare capacity, a read beyond the end panics.
		b := bytes.Clone(area)
		b = b[:len(b):len(b)]
		for len(b) > 0 {
			r, rest, err := Next(b)
			if err != nil {
				requireParseError(t, err)
				return
			}
			require.NotEmpty(t, r)
			require.Equal(t, Size(b), len(r))
			b = rest
			checkRoundTrip(t, r)
		}
	})
}

func checkRoundTrip(t *testing.T, r Raw) {
	before := bytes.Clone(r)
	o, err := Decode(r)
	require.Equal(t, before, []byte(r), "decoding changed the bytes")
	if err != nil {
		require.Nil(t, o)
		requireParseError(t, err)
		return
	}
	out := o.Append(nil)
	require.Len(t, out, o.Len())
	require.Len(t, out, len(r), "every form has one length")
	require.NotEmpty(t, o.String())
	again, err := Decode(out)
	require.NoError(t, err)
	require.Equal(t, o, again)
	require.Equal(t, out, again.Append(nil))
}
