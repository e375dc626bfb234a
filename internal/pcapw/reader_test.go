package pcapw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// capture builds a file by hand, field after field, from the description of the format.
func capture(order binary.AppendByteOrder, magic, link uint32, packets ...[]byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint16(b, 2)
	b = order.AppendUint16(b, 4)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, 0)
	b = order.AppendUint32(b, 65535)
	b = order.AppendUint32(b, link)
	for i, p := range packets {
		b = order.AppendUint32(b, uint32(i+1))
		b = order.AppendUint32(b, 7)
		b = order.AppendUint32(b, uint32(len(p)))
		b = order.AppendUint32(b, uint32(len(p)+i))
		b = append(b, p...)
	}
	return b
}

func TestReaderBothByteOrdersAndUnits(t *testing.T) {
	for _, c := range []struct {
		name  string
		order binary.AppendByteOrder
		magic uint32
		tick  time.Duration
	}{
		{"little endian, microseconds", binary.LittleEndian, 0xa1b2c3d4, time.Microsecond},
		{"big endian, microseconds", binary.BigEndian, 0xa1b2c3d4, time.Microsecond},
		{"little endian, nanoseconds", binary.LittleEndian, 0xa1b23c4d, time.Nanosecond},
		{"big endian, nanoseconds", binary.BigEndian, 0xa1b23c4d, time.Nanosecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := NewReader(bytes.NewReader(capture(c.order, c.magic, LinkRaw, []byte{0x45, 1}, []byte{0x60})))
			require.NoError(t, err)
			require.EqualValues(t, LinkRaw, r.LinkType())

			p, err := r.Next()
			require.NoError(t, err)
			require.Equal(t, Packet{Time: time.Second + 7*c.tick, Data: []byte{0x45, 1}, Len: 2}, p)
			ip, ok := r.IP(p)
			require.True(t, ok)
			require.Equal(t, p.Data, ip)

			p, err = r.Next()
			require.NoError(t, err)
			require.Equal(t, Packet{Time: 2*time.Second + 7*c.tick, Data: []byte{0x60}, Len: 2}, p)

			_, err = r.Next()
			require.Equal(t, io.EOF, err)
		})
	}
}

func TestReaderStripsEthernet(t *testing.T) {
	frame := func(kind uint16, payload ...byte) []byte {
		return append(binary.BigEndian.AppendUint16(make([]byte, 12), kind), payload...)
	}
	r, err := NewReader(bytes.NewReader(capture(binary.LittleEndian, 0xa1b2c3d4, LinkEthernet,
		frame(0x0800, 0x45), frame(0x86dd, 0x60), frame(0x0806, 0), []byte{1, 2, 3}, frame(0x0800))))
	require.NoError(t, err)
	for _, want := range [][]byte{{0x45}, {0x60}, nil, nil, nil} {
		p, err := r.Next()
		require.NoError(t, err)
		ip, ok := r.IP(p)
		require.Equal(t, want != nil, ok)
		require.Equal(t, want, ip)
	}
}

func TestReaderRejectsGarbage(t *testing.T) {
	good := capture(binary.LittleEndian, 0xa1b2c3d4, LinkRaw, []byte{0x45, 1, 2, 3})
	_, err := NewReader(bytes.NewReader(bytes.Repeat([]byte{7}, 24)))
	require.ErrorIs(t, err, ErrFormat)
	for n := range len(good) {
		err := drain(good[:n])
		if n == 24 {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, ErrFormat, "cut at %d", n)
	}
	binary.LittleEndian.PutUint32(good[32:], MaxPacket+1)
	require.ErrorIs(t, drain(good), ErrFormat)
}

func drain(b []byte) error {
	r, err := NewReader(bytes.NewReader(b))
	for err == nil {
		var p Packet
		if p, err = r.Next(); err == nil {
			r.IP(p)
		}
	}
	if errors.Is(err, io.EOF) && !errors.Is(err, ErrFormat) {
		return nil
	}
	return err
}

func FuzzReader(f *testing.F) {
	f.Add(capture(binary.LittleEndian, 0xa1b2c3d4, LinkRaw, []byte{0x45, 1, 2, 3}, []byte{0x60}))
	f.Add(capture(binary.BigEndian, 0xa1b23c4d, LinkEthernet, make([]byte, 20)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := drain(b); err != nil {
			require.ErrorIs(t, err, ErrFormat)
		}
	})
}
