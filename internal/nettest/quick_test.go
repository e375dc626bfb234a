package nettest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mptcp "github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/pool"
)

// quick is what short connections are to be: a request with a number, the answer that belongs to it, the end.
type quick struct {
	Count       int  // of a client's; over Workers at once
	Workers     int  //
	ServerFirst bool // the server is the first to close; else the client is, when it has its answer
}

// Bytes of a request beside its number, and of an answer: it does not fit into one segment.
const (
	askSize    = 300
	answerSize = 4000
)

// ask and answer are the bytes that belong to a number.
func ask(i uint64) []byte    { return pattern(int64(i) * 7919)[:askSize] }
func answer(i uint64) []byte { return pattern(int64(i) * 104729)[:answerSize] }

// usage is what a program holds.
type usage struct {
	Sockets    int
	Goroutines int
	Heap       int64 // bytes, after a garbage collection
	Chunks     int64 // of the pool
	Conns      int   // of the library
	Served     int64 // by a quick server
}

// measure reports the program's usage.
func (a *actor) measure() {
	runtime.GC()
	runtime.GC() // what sync.Pool had
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{
		Goroutines: runtime.NumGoroutine(), Heap: int64(m.HeapAlloc), Chunks: int64(pool.Outstanding()),
		Conns: len(mptcp.DefaultTransport.Conns()), Served: a.served.Load(),
	}
	links, _ := filepath.Glob("/proc/self/fd/*")
	for _, f := range links {
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "socket:") {
			u.Sockets++
		}
	}
	a.say(report{Kind: "usage", Usage: u})
}

// quickServer answers.
func (a *actor) quickServer() error {
	l, err := a.announce()
	if err != nil {
		return err
	}
	for {
		nc, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return err
		}
		go func() {
			if err := a.quickAnswer(nc); err != nil {
				a.fail(err)
			}
		}()
	}
}

func (a *actor) quickAnswer(nc net.Conn) error {
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	var b [8 + askSize]byte
	if _, err := io.ReadFull(nc, b[:]); err != nil {
		return fmt.Errorf("request: %w", err)
	}
	i := binary.BigEndian.Uint64(b[:])
	if string(b[8:]) != string(ask(i)) {
		return fmt.Errorf("request %d is damaged", i)
	}
	if _, err := nc.Write(answer(i)); err != nil {
		return fmt.Errorf("answer %d: %w", i, err)
	}
	if !a.Quick.ServerFirst {
		if n, err := nc.Read(b[:]); n != 0 || err != io.EOF {
			return fmt.Errorf("end of %d: %d bytes, %w", i, n, err)
		}
	}
	a.served.Add(1)
	return nil
}

// quickClient asks.
func (a *actor) quickClient() error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, a.Quick.Workers)
	began := time.Now()
	a.say(report{Kind: "connected"})
	for range a.Quick.Workers {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(a.Quick.Count); i = next.Add(1) {
				if err := a.quickAsk(uint64(i)); err != nil {
					errs <- fmt.Errorf("connection %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
	}
	a.say(report{Kind: "done", Received: tally{Bytes: int64(a.Quick.Count), Took: time.Since(began)}})
	return nil
}

func (a *actor) quickAsk(i uint64) error {
	began := time.Now()
	nc, err := a.open(a.Addr)
	if took := time.Since(began); took > time.Second {
		a.say(report{Kind: "slow", Detail: fmt.Sprintf("connection %d took %v: %v", i, took, err)})
	}
	if err != nil {
		return err
	}
	defer nc.Close()
	if c, ok := extapi.From(nc); ok && a.Mode == mptcp.ModeWire && c.Info().Carrier != extapi.CarrierWire {
		return fmt.Errorf("fell back: %v", c.Info().Fallback)
	}
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := nc.Write(append(binary.BigEndian.AppendUint64(nil, i), ask(i)...)); err != nil {
		return err
	}
	var b [answerSize + 1]byte
	want := answerSize
	if a.Quick.ServerFirst {
		want++ // the end must follow
	}
	n, err := io.ReadFull(nc, b[:want])
	if a.Quick.ServerFirst && errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	if err != nil || string(b[:n]) != string(answer(i)) {
		return fmt.Errorf("answer of %d bytes, %w", n, err)
	}
	return nil
}
