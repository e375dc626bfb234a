package pcapw

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The bytes are those that the format's description (draft-ietf-opsawg-pcap) gives.
func TestWriter(t *testing.T) {
	var b bytes.Buffer
	w, err := NewWriter(&b, LinkRaw)
	require.NoError(t, err)
	at := time.Unix(0x65000001, 0x0BEBC200)
	require.NoError(t, w.Write(at, []byte{0x45, 1, 2}))
	require.NoError(t, w.Write(at.Add(time.Nanosecond), []byte{0x60}))
	require.Equal(t, "4d3cb2a1"+"0200"+"0400"+"0000000000000000"+"00000400"+"65000000"+
		"01000065"+"00c2eb0b"+"03000000"+"03000000"+"450102"+
		"01000065"+"01c2eb0b"+"01000000"+"01000000"+"60", hex.EncodeToString(b.Bytes()))

	r, err := NewReader(&b)
	require.NoError(t, err)
	require.EqualValues(t, LinkRaw, r.LinkType())
	p, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, time.Duration(at.UnixNano()), p.Time)
	ip, ok := r.IP(p)
	require.True(t, ok)
	require.Equal(t, []byte{0x45, 1, 2}, ip)
	_, err = r.Next()
	require.NoError(t, err)
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)

	require.Error(t, w.Write(at, make([]byte, MaxPacket+1)))
	_, err = NewWriter(broken{}, LinkRaw)
	require.ErrorIs(t, err, errBroken)
	w.w = broken{}
	require.ErrorIs(t, w.Write(at, nil), errBroken)
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }
