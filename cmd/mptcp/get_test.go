package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func digestOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestServeAndGet(t *testing.T) {
	dir, to := t.TempDir(), t.TempDir()
	data := randomBytes(3 << 20)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file.bin"), data, 0o600))
	addr, _ := service(t, "serve", "-addr", "127.0.0.1:0", "-debug", dir)
	out := filepath.Join(to, "got")
	r := invoke(t, "get", "-o", out, "-peer", "-sha256", digestOf(data), "http://"+addr+"/file.bin")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stderr, "over stream")
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	left, err := filepath.Glob(out + ".*")
	require.NoError(t, err)
	require.Empty(t, left)

	r = invoke(t, "get", "-o", out, "http://"+addr+"/file.bin")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "-f overwrites it")
	r = invoke(t, "get", "-q", "-mode", "tcp", "-o", "-", "http://"+addr+"/file.bin")
	require.Equal(t, exitOK, r.code)
	require.True(t, bytes.Equal(data, []byte(r.stdout)))
	require.Empty(t, r.stderr)
	r = invoke(t, "get", "-o", filepath.Join(to, "none"), "http://"+addr+"/none")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "404")
	r = invoke(t, "get", "-o", "-", "http://"+addr+"/debug/mptcp")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stdout, "connections:")
	r = invoke(t, "get", "-o", filepath.Join(to, "bad"), "-sha256", digestOf([]byte("x")), "http://"+addr+"/file.bin")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "thrown away")
	r = invoke(t, "get", "-paths", "*=never", "-o", filepath.Join(to, "bad"), "http://"+addr+"/file.bin")
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "mptcp info")
	require.NotContains(t, r.stderr, "trying again", "a policy does not change by waiting")
}

// changing is a web server of one file whose connection breaks after a while, as often as told.
type changing struct {
	data     []byte
	modified time.Time
	breaks   atomic.Int32
	requests atomic.Int32
	ranges   atomic.Int32
}

func (s *changing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	if r.Header.Get("Range") != "" {
		s.ranges.Add(1)
	}
	if s.breaks.Add(-1) >= 0 {
		w.Header().Set("Last-Modified", s.modified.UTC().Format(http.TimeFormat))
		w.Header().Set("Content-Length", "1048576")
		_, _ = w.Write(s.data[:len(s.data)/3])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "f", s.modified, bytes.NewReader(s.data))
}

func newChanging(t *testing.T) (*changing, string) {
	s := &changing{data: randomBytes(1 << 20), modified: time.Now().Add(-time.Hour)}
	srv := httptest.NewServer(s)
	srv.Config.ErrorLog = nil
	t.Cleanup(srv.Close)
	return s, srv.URL + "/f"
}

func TestGetResumesAfterABreak(t *testing.T) {
	s, url := newChanging(t)
	s.breaks.Store(1)
	out := filepath.Join(t.TempDir(), "f")
	r := invoke(t, "get", "-mode", "tcp", "-o", out, url)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stderr, "trying again")
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.True(t, bytes.Equal(s.data, got))
	require.Equal(t, int32(1), s.ranges.Load())
}

func TestGetResumesInAnotherRun(t *testing.T) {
	s, url := newChanging(t)
	s.breaks.Store(1)
	out := filepath.Join(t.TempDir(), "f")
	r := invoke(t, "get", "-mode", "tcp", "-retries", "0", "-o", out, url)
	require.Equal(t, exitFailure, r.code)
	require.Contains(t, r.stderr, "run the same command again")
	require.FileExists(t, out+".part")

	r = invoke(t, "get", "-mode", "tcp", "-o", out, "-sha256", digestOf(s.data), url)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Contains(t, r.stderr, "going on after")
	require.Equal(t, int32(1), s.ranges.Load())
}

func TestGetNeverMixesVersions(t *testing.T) {
	s, url := newChanging(t)
	s.breaks.Store(1)
	out := filepath.Join(t.TempDir(), "f")
	require.Equal(t, exitFailure, invoke(t, "get", "-mode", "tcp", "-retries", "0", "-o", out, url).code)
	s.data, s.modified = randomBytes(1<<20 + 5)[5:], time.Now().Add(-time.Minute)
	r := invoke(t, "get", "-mode", "tcp", "-o", out, "-sha256", digestOf(s.data), url)
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Equal(t, int32(1), s.ranges.Load(), "If-Range sees that the file has changed")
}

func TestPartOfAnotherURLIsNotUsed(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	p, err := openPart(name, "http://a/f")
	require.NoError(t, err)
	require.NoError(t, p.restart("Mon, 01 Jan 2024 00:00:00 GMT"))
	_, err = p.Write([]byte("half"))
	require.NoError(t, err)
	p.close()
	again, err := openPart(name, "http://a/f")
	require.NoError(t, err)
	require.Equal(t, int64(4), again.have())
	again.close()
	other, err := openPart(name, "http://b/f")
	require.NoError(t, err)
	require.Zero(t, other.have())
	require.Empty(t, other.validator())
	other.discard()
	require.NoFileExists(t, name+".part")
}

func TestValidatorOf(t *testing.T) {
	h := http.Header{}
	require.Empty(t, validatorOf(h))
	h.Set("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
	h.Set("ETag", `W/"weak"`)
	require.Equal(t, "Mon, 01 Jan 2024 00:00:00 GMT", validatorOf(h))
	h.Set("ETag", `"strong"`)
	require.Equal(t, `"strong"`, validatorOf(h))
}

func TestParseContentRange(t *testing.T) {
	first, size, err := parseContentRange("bytes 100-199/200")
	require.NoError(t, err)
	require.Equal(t, []int64{100, 200}, []int64{first, size})
	_, size, err = parseContentRange("bytes 0-9/*")
	require.NoError(t, err)
	require.Equal(t, int64(-1), size)
	for _, text := range []string{"", "bytes", "bytes 1-2", "bytes 5-4/9", "bytes 0-9/9", "bytes -1-2/9", "lines 0-1/2", "bytes a-b/c"} {
		_, _, err := parseContentRange(text)
		require.Error(t, err, text)
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, s := range []string{"bytes 100-199/200", "bytes 0-9/*", "bytes */5", "bytes 1--2/9", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, size, err := parseContentRange(text)
		if err == nil {
			require.GreaterOrEqual(t, first, int64(0))
			require.True(t, size == -1 || first < size)
		}
	})
}

func TestInfo(t *testing.T) {
	r := invoke(t, "info")
	require.Equal(t, exitOK, r.code, r.stderr)
	require.Regexp(t, `(?m)^  wire +\S`, r.stdout)
	r = invoke(t, "info", "-json")
	require.Equal(t, exitOK, r.code)
	var m machine
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &m))
	require.Len(t, m.Capabilities, 4)
}

func TestKernelState(t *testing.T) {
	proc := t.TempDir()
	require.Nil(t, kernelState(proc))
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "sys/net/mptcp"), 0o700))
	require.NoError(t, os.MkdirAll(filepath.Join(proc, "net"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(proc, "sys/net/mptcp/enabled"), []byte("1\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(proc, "net/netstat"), []byte("TcpExt: A\nTcpExt: 1\nMPTcpExt: MPCapableSYNRX Other\nMPTcpExt: 42 0\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(proc, "sys/net/mptcp/idle"), []byte("0\n"), 0o600))
	require.Equal(t, map[string]string{"enabled": "1", "idle": "0", "counter MPCapableSYNRX": "42", "counter Other": "0"}, kernelState(proc))
	var text strings.Builder
	machine{Kernel: kernelState(proc)}.print(&text)
	require.Regexp(t, `(?m)^  counter MPCapableSYNRX +42$`, text.String())
	require.Regexp(t, `(?m)^  idle +0$`, text.String(), "a setting that is 0 is one")
	require.NotContains(t, text.String(), "Other", "a counter that is 0 has nothing to tell")
}
