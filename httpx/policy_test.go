package httpx

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// whence answers which of the client's connections the request came on.
func whence(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }

// byHeader takes the key of a request from its header, and forbids every path to the key "never".
func byHeader(r *http.Request) (string, extapi.PathPolicy) {
	key := r.Header.Get("Policy")
	if key == "never" {
		return key, extapi.PathPolicy{Default: extapi.RoleNever}
	}
	return key, extapi.PathPolicy{}
}

func under(t testing.TB, url, key string) *http.Request {
	r := request(t, url)
	r.Header.Set("Policy", key)
	return r
}

func TestOnePoolPerPolicy(t *testing.T) {
	s := server(t, whence)
	pt := &PolicyTransport{Dialer: newDialer(t), Key: byHeader}
	c := client(t, pt)
	of := make(map[string]string) // connection to key
	for range 3 {
		for _, key := range []string{"", "a", "b"} {
			conn := get(t, c, under(t, s.URL, key))
			if was, served := of[conn]; served {
				require.Equal(t, was, key, "a connection opened under %q serves %q", was, key)
			}
			of[conn] = key
		}
	}
	require.Len(t, of, 3, "equal keys share a connection")
	_, err := c.Do(under(t, s.URL, "never"))
	require.Error(t, err, "the key's policy rules its dials")
	require.Equal(t, http.StatusOK, statusOf(c, under(t, s.URL, "a")))
	pt.CloseIdleConnections()
	require.Eventually(t, func() bool { return len(pt.Dialer.Transport.Conns()) == 0 }, 5*time.Second, time.Millisecond)
}

func statusOf(c *http.Client, r *http.Request) int {
	resp, err := c.Do(r)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Without a key the Dialer's policy rules; with one it is the key's, and the Dialer stays as it was.
func TestPolicyOfTheDialer(t *testing.T) {
	s := server(t, whence)
	d := newDialer(t)
	d.Paths = extapi.PathPolicy{Default: extapi.RoleNever}
	c := client(t, &PolicyTransport{Dialer: d, Key: byHeader})
	_, err := c.Do(under(t, s.URL, ""))
	require.Error(t, err)
	get(t, c, under(t, s.URL, "a"))
	require.Equal(t, extapi.RoleNever, d.Paths.Default)
	_, err = c.Do(under(t, s.URL, ""))
	require.Error(t, err, "there is a connection to that host, but of another policy")
}

// A pooled connection bears its pool's policy whoever caused the dial.
func TestContextDoesNotMixPolicies(t *testing.T) {
	s := server(t, whence)
	c := client(t, &PolicyTransport{Dialer: newDialer(t), Key: byHeader})
	permit, forbid := extapi.PathPolicy{}, extapi.PathPolicy{Default: extapi.RoleNever}

	r := under(t, s.URL, "a")
	get(t, c, r.WithContext(mptcp.WithPathPolicy(r.Context(), forbid)))
	r = under(t, s.URL, "never")
	_, err := c.Do(r.WithContext(mptcp.WithPathPolicy(r.Context(), permit)))
	require.Error(t, err)
}

func TestPolicyTransportZeroValue(t *testing.T) {
	s := server(t, whence)
	var pt PolicyTransport
	pt.CloseIdleConnections()
	c := client(t, &pt)
	first := get(t, c, request(t, s.URL))
	require.Equal(t, first, get(t, c, request(t, s.URL)))
}

// Keys without end: the pool that was not used for the longest time goes, with its connections.
func TestPoolsAreBounded(t *testing.T) {
	s := server(t, whence)
	pt := &PolicyTransport{Dialer: newDialer(t), Key: byHeader}
	c := client(t, pt)
	kept := get(t, c, under(t, s.URL, "kept"))
	gone := get(t, c, under(t, s.URL, "gone"))
	for i := range maxPools + 5 {
		get(t, c, under(t, s.URL, fmt.Sprint(i)))
		require.Equal(t, kept, get(t, c, under(t, s.URL, "kept")), "used all the time")
	}
	require.Len(t, pt.pools, maxPools)
	require.Eventually(t, func() bool { return len(pt.Dialer.Transport.Conns()) == maxPools }, 5*time.Second, time.Millisecond)
	require.NotEqual(t, gone, get(t, c, under(t, s.URL, "gone")))
}

// A request under way on a pool that is evicted is answered, and leaves no connection behind: nobody
// could close it.
func TestEvictionSparesRequests(t *testing.T) {
	release, arrived := make(chan struct{}), make(chan struct{}, 1)
	s := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-release
		}
		whence(w, r)
	})
	pt := &PolicyTransport{Dialer: newDialer(t), Base: &http.Transport{}, Key: byHeader} // no IdleConnTimeout
	none := func() bool { return len(pt.Dialer.Transport.Conns()) == 0 }
	status := make(chan int, 1)
	c := client(t, pt)
	go func() { status <- statusOf(c, under(t, s.URL+"/slow", "a")) }()
	<-arrived
	pt.mu.Lock()
	pt.evict()
	pt.mu.Unlock()
	close(release)
	require.Equal(t, http.StatusOK, <-status)
	require.Eventually(t, none, 5*time.Second, time.Millisecond)

	r := under(t, s.URL, "b")
	p := pt.pool(r)
	pt.mu.Lock()
	pt.evict() // between the choice of the pool and the round trip
	pt.mu.Unlock()
	resp, err := p.roundTrip(r)
	require.NoError(t, err)
	_, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Eventually(t, none, 5*time.Second, time.Millisecond)
}

func TestPolicyTransportConcurrently(t *testing.T) {
	s := server(t, whence)
	pt := &PolicyTransport{Dialer: newDialer(t), Key: byHeader}
	c := client(t, pt)
	var mu sync.Mutex
	of := make(map[string]int) // connection to key
	var errs []error
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for range 5 {
				resp, err := c.Do(under(t, s.URL, fmt.Sprint(i%3)))
				var conn []byte
				if err == nil {
					conn, err = io.ReadAll(resp.Body)
					_ = resp.Body.Close()
				}
				mu.Lock()
				if was, served := of[string(conn)]; served && was != i%3 {
					err = errors.Join(err, fmt.Errorf("a connection of key %d serves key %d", was, i%3))
				}
				of[string(conn)] = i % 3
				errs = append(errs, err)
				mu.Unlock()
				if i == 0 {
					pt.CloseIdleConnections()
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Len(t, pt.pools, 3)
}
