//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// chunk is the size of a write in every bulk work that does not say otherwise.
const chunk = 64 << 10

// push writes n bytes in pieces. As far as there is room in took, it appends how long each write took.
func push(c net.Conn, n int64, piece int, took *[]time.Duration) error {
	b := make([]byte, piece)
	for n > 0 {
		start := time.Now()
		k, err := c.Write(b[:min(n, int64(piece))])
		if err != nil {
			return err
		}
		if took != nil && len(*took) < cap(*took) {
			*took = append(*took, time.Since(start))
		}
		n -= int64(k)
	}
	return nil
}

// room is for the durations of the writes that n bytes take.
func room(n int64) *[]time.Duration {
	d := make([]time.Duration, 0, n/chunk+1)
	return &d
}

// discard reads n bytes, at most a piece at a time, and throws them away.
func discard(c net.Conn, n int64, piece int) error {
	b := make([]byte, piece)
	for n > 0 {
		k, err := c.Read(b[:min(n, int64(piece))])
		n -= int64(k)
		if err != nil && n > 0 {
			return errors.Join(errShort, err)
		}
	}
	return nil
}

// duplex pushes and discards n bytes at once.
func duplex(c net.Conn, n int64, took *[]time.Duration) error {
	sent := make(chan error, 1)
	go func() { sent <- push(c, n, chunk, took) }()
	err := discard(c, n, chunk)
	return errors.Join(err, <-sent)
}

// period is the length of the test pattern: odd, so that a chunk that is delivered twice or in the
// wrong place does not look right.
const period = 1<<20 + 7

var pattern = sync.OnceValue(func() []byte {
	r := rand.NewPCG(8684, 6897)
	b := make([]byte, period+chunk)
	for i := range period {
		b[i] = byte(r.Uint64())
	}
	copy(b[period:], b)
	return b
})

// sendPattern writes n bytes of the pattern in chunks.
func sendPattern(c net.Conn, n int64) error {
	p := pattern()
	for off := int64(0); off < n; {
		from := off % period
		k, err := c.Write(p[from : from+min(chunk, n-off)])
		if err != nil {
			return err
		}
		off += int64(k)
	}
	return nil
}

// received is how a verified transfer went at the receiver.
type received struct {
	first, last time.Time
	gap         time.Duration // longest between two reads that brought bytes
	gaps        []time.Duration
}

var errCorrupt = errors.New("the bytes are not those that were sent")

// takePattern reads n bytes and compares each with the pattern.
func takePattern(c net.Conn, n int64) (r received, err error) {
	p, b := pattern(), make([]byte, chunk)
	for off := int64(0); off < n; {
		k, err := c.Read(b[:min(chunk, n-off)])
		if k > 0 {
			now := time.Now()
			if r.first.IsZero() {
				r.first = now
			} else {
				r.gap = max(r.gap, now.Sub(r.last))
				r.gaps = append(r.gaps, now.Sub(r.last))
			}
			r.last = now
			from := off % period
			if !bytes.Equal(b[:k], p[from:from+int64(k)]) {
				return r, errCorrupt
			}
			off += int64(k)
		}
		if err != nil && off < n {
			if errors.Is(err, io.EOF) {
				err = errShort
			}
			return r, err
		}
	}
	return r, nil
}
