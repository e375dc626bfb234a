package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/mptcp-go/mptcp"
)

// digestTrailer carries the SHA-256 of what the server sent, once it has sent it.
const digestTrailer = "Content-Sha256"

// demoServer is an ordinary http.Server on a multipath listener.
type demoServer struct {
	addr      string
	http      *http.Server
	transport *mptcp.Transport
	serving   sync.WaitGroup
}

// startDemoServer listens on loopback and announces the addresses of the further links: connections are told
// of them with ADD_ADDR. Of the first link it knows nothing.
func startDemoServer(ctx context.Context, further []*link) (*demoServer, error) {
	s := &demoServer{transport: &mptcp.Transport{}}
	lc := &mptcp.ListenConfig{Transport: s.transport}
	for _, l := range further {
		lc.Announce = append(lc.Announce, l.addr().AddrPort())
	}
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.addr = ln.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /random", serveRandom)
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
	s.serving.Go(func() { _ = s.http.Serve(ln) })
	return s, nil
}

func (s *demoServer) close() {
	s.http.Close()
	s.serving.Wait()
	s.transport.Close()
}

// serveRandom sends pseudo-random bytes, always the same ones, and their digest in a trailer.
func serveRandom(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("bytes"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "bytes= says how many", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", digestTrailer)
	digest := sha256.New()
	source := rand.NewChaCha8([32]byte([]byte("the same bytes whenever it runs.")))
	if _, err := io.CopyBuffer(onlyWriter{io.MultiWriter(w, digest)}, io.LimitReader(source, n), make([]byte, 64<<10)); err != nil {
		return // the client is gone
	}
	w.Header().Set(digestTrailer, hex.EncodeToString(digest.Sum(nil)))
}

// onlyWriter hides every method but Write, so that io.CopyBuffer uses the buffer it is given.
type onlyWriter struct{ io.Writer }
