package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The protocol: the client's first line says what it wants, the server's first line whether it gets it, both in
// JSON. Then data flows, up, down or both, until its sender ends its half. After data that went up only, the server
// says in a last line how much it got.
type perfRequest struct {
	Version   int    `json:"mptcp_perf"`
	Direction string `json:"direction"`
	Bytes     int64  `json:"bytes,omitempty"` // from the server, per connection; 0: for the time
	Millis    int64  `json:"ms"`
}

type perfAnswer struct {
	Error    string `json:"error,omitempty"`
	Received int64  `json:"received"`
}

const (
	perfVersion = 1
	perfMaxLine = 4 << 10
)

var errLongLine = errors.New("the other side is not mptcp perf: it sent no line of JSON")

// readLine reads one line of JSON and nothing beyond it.
func readLine(r *bufio.Reader, v any) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return errLongLine
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		return err
	}
	if json.Unmarshal(line, v) != nil {
		return errLongLine
	}
	return nil
}

func writeLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// valid says why a server does not run the test.
func (r perfRequest) valid() error {
	switch {
	case r.Version != perfVersion:
		return fmt.Errorf("this server speaks version %d of the protocol", perfVersion)
	case r.Direction != "up" && r.Direction != "down" && r.Direction != "both":
		return fmt.Errorf("there is no direction %q", r.Direction)
	case r.Bytes < 0, r.Millis <= 0, r.Millis > perfMaxTime.Milliseconds():
		return errors.New("the test is longer than this server allows")
	}
	return nil
}

func (r perfRequest) duration() time.Duration { return time.Duration(r.Millis) * time.Millisecond }

// perfData is what is sent: not compressible by links that try.
var perfData = func() []byte {
	b := make([]byte, perfChunk)
	x := uint32(2463534242)
	for i := range b {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b[i] = byte(x)
	}
	return b
}()

// closeWriter is a connection whose sending half ends alone.
type closeWriter interface {
	net.Conn
	CloseWrite() error
}

// send writes for a time, or limit bytes if that is positive, then ends its half. It returns how much it wrote.
func send(ctx context.Context, c closeWriter, limit int64, d time.Duration, count *atomic.Int64) (sent int64, err error) {
	end := time.Now().Add(d)
	for ctx.Err() == nil {
		chunk := perfData
		if limit > 0 {
			chunk = chunk[:min(int64(len(chunk)), limit-sent)]
		}
		if len(chunk) == 0 || limit <= 0 && !time.Now().Before(end) {
			return sent, c.CloseWrite()
		}
		n, err := c.Write(chunk)
		sent += int64(n)
		count.Add(int64(n))
		if err != nil {
			return sent, err
		}
	}
	return sent, ctx.Err()
}

// drain reads to the end.
func drain(r io.Reader, count *atomic.Int64) error {
	buf := make([]byte, perfChunk)
	for {
		n, err := r.Read(buf)
		count.Add(int64(n))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// together runs both and returns the first failure.
func together(a, b func() error) error {
	failed := make(chan error, 1)
	go func() { failed <- a() }()
	err := b()
	return errors.Join(<-failed, err)
}
