package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pcapw"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// bytesOf is a segment as a packet.
func bytesOf(t *testing.T, s packet.Segment) []byte {
	t.Helper()
	b, err := s.Append(nil, packet.FullChecksum)
	require.NoError(t, err)
	return b
}

func TestTraceLines(t *testing.T) {
	near, far := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80")
	isn, peerISN := uint32(1<<32-10), uint32(7000)
	opts := func(list ...options.Option) (b []byte) {
		for _, o := range list {
			b = o.Append(b)
		}
		return b
	}
	p := newSegmentPrinter()
	for _, tt := range []struct {
		sent bool
		seg  packet.Segment
		want []string
	}{
		{true, packet.Segment{Seq: isn, Flags: packet.SYN, Window: 100, Options: opts(options.MSS{Size: 1460}, options.NOP{}, options.MPCapable{Version: 1, Flags: 1})},
			[]string{"path 1 is 10.0.0.1:40000 > 10.0.0.2:80", "1 > SYN         seq 0 win 100, MSS 1460, MP_CAPABLE v1 flags=0x01 len=4"}},
		{false, packet.Segment{Seq: peerISN, Ack: isn + 1, Flags: packet.SYN | packet.ACK, Window: 9},
			[]string{"1 < SYN,ACK     seq 0 ack 1 win 9"}},
		{true, packet.Segment{Seq: isn + 1, Ack: peerISN + 1, Flags: packet.ACK | packet.PSH, Payload: make([]byte, 20),
			Options: opts(options.DSS{HasAck: true, DataAck: 5, HasMap: true, DSN: 6, SSN: 1, DataLen: 20})},
			[]string{"1 > PSH,ACK     seq 1..21 (20) ack 1 win 0, DSS ack=0x00000005 dsn=0x00000006 ssn=1 len=20"}},
		{false, packet.Segment{Seq: peerISN + 1, Ack: isn + 1, Flags: packet.ACK,
			Options: opts(options.SACK{N: 1, Blocks: [4]options.SACKBlock{{Left: isn + 5, Right: isn + 21}}})},
			[]string{"1 < ACK         seq 1 ack 1 win 0, SACK 5-21"}},
		{false, packet.Segment{Flags: packet.RST, Options: []byte{30, 3, 0xf0, 1, 1, 1, 3, 99}},
			[]string{"1 < RST         seq 4294960296 win 0, malformed option 1e03f0, malformed options 0363"}},
	} {
		s := tt.seg
		s.Src, s.Dst = near, far
		if !tt.sent {
			s.Src, s.Dst = far, near
		}
		require.Equal(t, tt.want, p.lines(bytesOf(t, s), tt.sent))
	}
	// Another path, of which the beginning was not seen.
	s := packet.Segment{Src: far, Dst: netip.MustParseAddrPort("10.0.1.1:40000"), Seq: 500, Ack: 900, Flags: packet.ACK}
	require.Equal(t, []string{"path 2 is 10.0.1.1:40000 > 10.0.0.2:80", "2 < ACK         seq 1 ack 1 win 0"}, p.lines(bytesOf(t, s), false))
	require.Equal(t, []string{"a packet of 3 bytes that is no TCP segment: packet: truncated"}, p.lines([]byte{0x45, 0, 0}, true))
}

// Lines come in the order of what happened, and the file holds what was shown.
func TestTraceRecorder(t *testing.T) {
	var text, file bytes.Buffer
	r, err := newRecorder(&text, &file, false)
	require.NoError(t, err)
	r.began = time.Unix(1700000000, 0)
	tr := r.trace(t.Context(), extapi.ConnInfo{ID: 3, Established: r.began.Add(time.Second)})
	s := packet.Segment{Src: netip.MustParseAddrPort("[fd00::1]:1"), Dst: netip.MustParseAddrPort("[fd00::2]:2"), Seq: 8, Flags: packet.SYN}
	b := bytesOf(t, s)
	r.capture(r.began.Add(500*time.Millisecond), true, b)
	clear(b) // it was lent
	tr.Trace(250*time.Millisecond, extapi.ConnFellBack{Reason: extapi.FallbackPeer})
	tr.Trace(0, extapi.Scheduled{})
	require.NoError(t, tr.Close())
	packets, lost, err := r.close()
	require.NoError(t, err)
	require.EqualValues(t, 1, packets)
	require.Zero(t, lost)
	require.Equal(t, []string{
		"    0.500000  path 1 is [fd00::1]:1 > [fd00::2]:2",
		"    0.500000  1 > SYN         seq 0 win 0",
		"    1.250000  * connection 3: conn_fell_back reason=peer", "",
	}, strings.Split(text.String(), "\n"))
	in, err := pcapw.NewReader(&file)
	require.NoError(t, err)
	p, err := in.Next()
	require.NoError(t, err)
	require.Equal(t, bytesOf(t, s), p.Data)
	require.Equal(t, 1700000000*time.Second+500*time.Millisecond, p.Time)
	_, err = in.Next()
	require.ErrorIs(t, err, io.EOF)
}

// stuck is a writer that does not take anything until it is released, and then fails.
type stuck chan struct{}

var errStuck = errors.New("stuck")

func (s stuck) Write([]byte) (int, error) {
	<-s
	return 0, errStuck
}

// Who writes slowly loses records, and is told; nobody waits for it, and no more memory is taken than allowed.
func TestTraceRecorderIsBounded(t *testing.T) {
	s := make(stuck)
	r, err := newRecorder(s, nil, false)
	require.NoError(t, err)
	b := make([]byte, 1<<20)
	for range 3 * traceRoom / len(b) {
		r.capture(time.Now(), true, b)
	}
	close(s)
	packets, lost, err := r.close()
	require.ErrorIs(t, err, errStuck)
	require.EqualValues(t, 3*traceRoom/len(b), packets+lost)
	require.Greater(t, lost, int64(traceRoom/len(b)/2))
}

func TestTraceOfStream(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), bytes.Repeat([]byte("x"), 1000), 0o600))
	addr, _ := service(t, "serve", "-addr", "127.0.0.1:0", dir)
	out := filepath.Join(dir, "copy")
	r := invoke(t, "trace", "-mode", "stream", "-chunks", "-o", out, "http://"+addr+"/f")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Regexp(t, `\d\.\d{6}  \* connection \d+: conn_established .*carrier=stream`, r.stdout)
	require.Contains(t, r.stdout, "scheduled")
	require.Contains(t, r.stdout, "conn_closed")
	require.Equal(t, "1000 B received; the segments are the kernel's\n", r.stderr)
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Len(t, got, 1000)

	r = invoke(t, "trace", "-mode", "tcp", "-q", "http://"+addr+"/none")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "404")
	require.Empty(t, r.stdout)
}

// Standard input goes to an address.
func TestTraceOfStandardInput(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		b, _ := io.ReadAll(c)
		_, _ = c.Write(bytes.ToUpper(b))
	}()
	out := filepath.Join(t.TempDir(), "out")
	var stdout, stderr buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	code := run(ctx, &env{stdin: strings.NewReader("hello"), stdout: &stdout, stderr: &stderr},
		[]string{"trace", "-mode", "tcp", "-o", out, ln.Addr().String()})
	require.Equal(t, exitOK, code, stderr.String())
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, "HELLO", string(got))
}

func TestTraceUsage(t *testing.T) {
	for want, line := range map[string]string{
		"neither a URL nor HOST:PORT": "trace localhost",
		"-w needs -mode wire":         "trace -mode stream -w x 127.0.0.1:1",
		"is not an http or https URL": "trace ftp://x/y",
		"an argument is missing":      "trace",
		"choose auto, stream":         "trace -mode wires 127.0.0.1:1",
	} {
		r := invoke(t, strings.Fields(line)...)
		require.Equal(t, exitUsage, r.code, line)
		require.Contains(t, r.stderr, want)
	}
	r := invoke(t, "trace", "-h")
	require.Equal(t, exitOK, r.code)
	require.Contains(t, r.stdout, "(default wire)")
}
