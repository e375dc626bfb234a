//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// open dials and asks.
func (c *client) open(op byte, n int64) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := c.dial(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(header(op, n)); err != nil {
		return nil, err
	}
	return conn, nil
}

// awaitSubflows waits until conn has the subflows that the task wants, if the contender can tell.
func (c *client) awaitSubflows(conn net.Conn) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		s := c.contender.look(conn).Subflows
		if s == 0 || s >= c.Subflows {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d subflows after 10 s", s, c.Subflows)
		}
	}
}

// bulk pushes a sixth to warm up, which opens the subflows and grows the buffers, then measures the
// whole. Not even the last byte counts before the server has read it and said so.
func bulk(c *client) (values, error) {
	warm := c.Bytes / 6 / int64(c.Piece) * int64(c.Piece)
	conn, err := c.open(opBulk, warm+c.Bytes)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := push(conn, warm, c.Piece, nil); err != nil {
		return nil, err
	}
	if err := c.awaitSubflows(conn); err != nil {
		return nil, err
	}
	writes := room(c.Bytes)
	here0, there0, err := c.both(false)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := push(conn, c.Bytes, c.Piece, writes); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
		return nil, err
	}
	took := time.Since(start)
	here1, there1, err := c.both(false)
	if err != nil {
		return nil, err
	}
	c.see(conn)
	chunks := float64(c.Bytes) / chunk
	return values{
		"write_p99":   quantiles(*writes)["p99"],
		"goodput":     float64(c.Bytes) * 8 / took.Seconds() / 1e9,
		"cpu":         (here1.CPU - here0.CPU + there1.CPU - there0.CPU) / (float64(c.Bytes) / 1e9),
		"allocs_send": float64(here1.Mallocs-here0.Mallocs) / chunks,
		"allocs_recv": float64(there1.Mallocs-there0.Mallocs) / chunks,
	}, nil
}

func bothWays(c *client) (values, error) {
	conn, err := c.open(opDuplex, c.Bytes)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	writes := room(c.Bytes)
	here0, there0, err := c.both(false)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	if err := duplex(conn, c.Bytes, writes); err != nil {
		return nil, err
	}
	took := time.Since(start)
	here1, there1, err := c.both(false)
	if err != nil {
		return nil, err
	}
	c.see(conn)
	return values{
		"write_p99": quantiles(*writes)["p99"],
		"goodput":   float64(c.Bytes) * 8 / took.Seconds() / 1e9,
		"cpu":       (here1.CPU - here0.CPU + there1.CPU - there0.CPU) / (2 * float64(c.Bytes) / 1e9),
	}, nil
}

// quantiles sorts d and names its median and its 99th percentile.
func quantiles(d []time.Duration) values {
	slices.Sort(d)
	at := func(q float64) float64 { return float64(d[int(q*float64(len(d)-1))]) / 1e3 }
	return values{"p50": at(0.5), "p99": at(0.99)}
}

func pingpong(c *client) (values, error) {
	conn, err := c.open(opEcho, int64(c.Size))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	b := make([]byte, c.Size)
	var took []time.Duration
	round := func() error {
		start := time.Now()
		if _, err := conn.Write(b); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			return err
		}
		took = append(took, time.Since(start))
		return nil
	}
	// Joins wait until a connection has lived a while.
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
		if err := round(); err != nil {
			return nil, err
		}
	}
	if c.Subflows > 1 {
		if err := c.awaitSubflows(conn); err != nil {
			return nil, err
		}
	}
	took = make([]time.Duration, 0, c.Count)
	for range c.Count {
		if err := round(); err != nil {
			return nil, err
		}
	}
	c.see(conn)
	return quantiles(took), nil
}

func connectionRate(c *client) (values, error) {
	var b [1]byte
	took := make([]time.Duration, 0, c.Count)
	start := time.Now()
	for i := range c.Count {
		begin := time.Now()
		conn, err := c.open(opOnce, 1)
		if err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return nil, err
		}
		if i == 0 {
			c.see(conn)
		}
		if err := conn.Close(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
	}
	v := quantiles(took)
	v["rate"] = float64(c.Count) / time.Since(start).Seconds()
	return v, nil
}

// httpClient pools up to n connections of the contender.
func (c *client) httpClient(n int) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := c.dial(ctx)
			if err == nil {
				c.first.CompareAndSwap(nil, &conn)
			}
			return conn, err
		},
		MaxIdleConns: n, MaxIdleConnsPerHost: n, MaxConnsPerHost: n, DisableCompression: true,
	}}
}

func get(h *http.Client, url string, want int64, b []byte) error {
	r, err := h.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	var got int64
	for {
		n, err := r.Body.Read(b)
		got += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if r.StatusCode != http.StatusOK || got != want {
		return fmt.Errorf("%s: %s, %d bytes", url, r.Status, got)
	}
	return nil
}

func httpGets(c *client) (values, error) {
	const clients = 32
	h := c.httpClient(clients)
	url := fmt.Sprintf("http://%s/%d", c.Addr, c.Size)
	each := c.Count / clients
	run := func(n int) ([]time.Duration, error) {
		var wg sync.WaitGroup
		took := make([][]time.Duration, clients)
		errs := make([]error, clients)
		for i := range clients {
			wg.Go(func() {
				b := make([]byte, 4096)
				for range n {
					start := time.Now()
					if errs[i] = get(h, url, int64(c.Size), b); errs[i] != nil {
						return
					}
					took[i] = append(took[i], time.Since(start))
				}
			})
		}
		wg.Wait()
		return slices.Concat(took...), errors.Join(errs...)
	}
	if _, err := run(each / 20); err != nil {
		return nil, err
	}
	start := time.Now()
	took, err := run(each)
	if err != nil {
		return nil, err
	}
	elapsed := time.Since(start)
	c.see(*c.first.Load())
	v := quantiles(took)
	v["rate"] = float64(len(took)) / elapsed.Seconds()
	return v, nil
}

func httpDownload(c *client) (values, error) {
	here0, there0, err := c.both(false)
	if err != nil {
		return nil, err
	}
	h := c.httpClient(1)
	start := time.Now()
	if err := get(h, fmt.Sprintf("http://%s/%d", c.Addr, c.Bytes), c.Bytes, make([]byte, chunk)); err != nil {
		return nil, err
	}
	took := time.Since(start)
	here1, there1, err := c.both(false)
	if err != nil {
		return nil, err
	}
	c.see(*c.first.Load())
	return values{
		"goodput": float64(c.Bytes) * 8 / took.Seconds() / 1e9,
		"cpu":     (here1.CPU - here0.CPU + there1.CPU - there0.CPU) / (float64(c.Bytes) / 1e9),
	}, nil
}

// idle holds connections on which nothing happens. At the server a Read waits on each, as in any
// server; at the client nobody waits, as in a pool.
func idle(c *client) (values, error) {
	// What a contender has once, however many connections there are, is none of theirs.
	first, err := c.open(opEcho, 1)
	if err != nil {
		return nil, err
	}
	defer first.Close()
	b := make([]byte, 1)
	if _, err := first.Write(b); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(first, b); err != nil {
		return nil, err
	}
	here0, there0, err := c.both(true)
	if err != nil {
		return nil, err
	}
	conns := make([]net.Conn, c.Count)
	for i := range conns {
		conn, err := c.open(opEcho, 1)
		if err != nil {
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
		defer conn.Close()
		if _, err := conn.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil, err
		}
		conns[i] = conn
	}
	for i, conn := range conns {
		if err := c.awaitSubflows(conn); err != nil {
			return nil, fmt.Errorf("connection %d: %w", i, err)
		}
	}
	time.Sleep(time.Second) // handshakes of the last joins, background readers that hand over
	here1, there1, err := c.both(true)
	if err != nil {
		return nil, err
	}
	here1 = take(false)
	time.Sleep(c.Hold)
	here2 := take(false)
	_, there2, err := c.both(false)
	if err != nil {
		return nil, err
	}
	herem := take(true)
	c.see(conns[0])
	n := float64(c.Count)
	load := func(cpu float64) float64 { return cpu / c.Hold.Seconds() * 1e3 * 1000 / n }
	return values{
		"client":        (herem.Memory - here0.Memory) / n / 1000,
		"server":        (there1.Memory - there0.Memory) / n / 1000,
		"server_stacks": (there1.Stacks - there0.Stacks) / n / 1000,
		"cpu_client":    load(here2.CPU - here1.CPU),
		"cpu_server":    load(there2.CPU - there1.CPU),
	}, nil
}

// ackDelay sends single messages while the server saturates the other direction, and times how long
// each takes to be acknowledged.
func ackDelay(c *client) (values, error) {
	if c.contender.flush == nil {
		return nil, errors.ErrUnsupported
	}
	conn, err := c.open(opLoad, c.Bytes)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	loaded := make(chan error, 1)
	go func() { loaded <- discard(conn, c.Bytes, chunk) }()
	var took []time.Duration
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for b := make([]byte, 1024); ; {
		select {
		case err := <-loaded:
			if err != nil || len(took) == 0 {
				return nil, errors.Join(errors.New("the load ended"), err)
			}
			c.see(conn)
			return quantiles(took), nil
		default:
		}
		start := time.Now()
		if _, err := conn.Write(b); err != nil {
			return nil, err
		}
		if err := c.contender.flush(ctx, conn); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start))
		time.Sleep(time.Millisecond)
	}
}

// transfer moves verified bytes over the emulated links. Time counts from before the dial until the
// last byte has been read.
func transfer(c *client) (values, error) {
	pattern()
	start := time.Now()
	v := make(values)
	var gap time.Duration
	var end time.Time
	if c.Upload {
		conn, err := c.open(opTake, c.Bytes)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		if err := sendPattern(conn, c.Bytes); err != nil {
			return nil, err
		}
		var b [8]byte
		if _, err := io.ReadFull(conn, b[:]); err != nil {
			return nil, err
		}
		gap, end = time.Duration(binary.BigEndian.Uint64(b[:])), time.Now()
		c.see(conn)
	} else {
		conn, err := c.open(opSend, c.Bytes)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		r, err := takePattern(conn, c.Bytes)
		if err != nil {
			return nil, err
		}
		gap, end = r.gap, r.last
		if len(r.gaps) > 0 {
			v["gap_p99"] = quantiles(r.gaps)["p99"] / 1e3
		}
		c.see(conn)
		if _, err := conn.Write([]byte{0}); err != nil {
			return nil, err
		}
	}
	v["goodput"] = float64(c.Bytes) * 8 / end.Sub(start).Seconds() / 1e6
	v["stall"] = gap.Seconds() * 1e3
	return v, nil
}
