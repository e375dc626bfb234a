package httpx

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp"
	"github.com/mptcp-go/mptcp/extapi"
)

// page is the answer of Handler(own) to one request.
func page(own *mptcp.Transport, method, target, accept string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Accept", accept)
	Handler(own).ServeHTTP(w, r)
	return w
}

// connected is a Transport with one living connection over the stream carrier.
func connected(t *testing.T) (own *mptcp.Transport, info extapi.ConnInfo, flow extapi.SubflowInfo) {
	s := server(t, whence)
	d := newDialer(t)
	get(t, client(t, NewTransport(d, nil)), request(t, s.URL))
	conns := d.Transport.Conns()
	require.Len(t, conns, 1)
	c, ok := d.Transport.Conn(conns[0].ID)
	require.True(t, ok)
	return d.Transport, conns[0], c.Subflows()[0]
}

func TestHandlerText(t *testing.T) {
	own, info, flow := connected(t)
	w := page(own, http.MethodGet, "/debug/mptcp", "text/html,*/*;q=0.8")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "text/plain; charset=utf-8", w.Header().Get("Content-Type"))
	require.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	text := w.Body.String()
	require.Contains(t, text, "connections: 1\n")
	require.Contains(t, text, "stream  "+flow.Local.String()+" -> "+flow.Remote.String()+"\n")
	wire := "available"
	if err := own.Capabilities().Wire; err != nil {
		wire = err.Error()
	}
	require.Contains(t, text, "wire: "+wire+"\n", "what is not there says why")
	row := ""
	for line := range strings.Lines(text) {
		if strings.Contains(line, flow.State.String()) {
			row = line
		}
	}
	require.Contains(t, row, flow.Remote.String())
	require.Contains(t, row, flow.Congestion)
	require.NotZero(t, info.BytesSent)
}

func TestHandlerJSON(t *testing.T) {
	own, info, flow := connected(t)
	for _, c := range [][2]string{
		{"/debug/mptcp", "application/json"}, {"/debug/mptcp", "text/html, application/json;q=0.9"}, {"/debug/mptcp?format=json", "*/*"},
	} {
		w := page(own, http.MethodGet, c[0], c[1])
		require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		var got struct {
			Capabilities map[string]string `json:"capabilities"`
			Counters     extapi.Counters   `json:"counters"`
			Conns        []struct {
				Info     extapi.ConnInfo      `json:"info"`
				Local    netip.AddrPort       `json:"local"`
				Remote   netip.AddrPort       `json:"remote"`
				Subflows []extapi.SubflowInfo `json:"subflows"`
			} `json:"conns"`
		}
		d := json.NewDecoder(w.Body)
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(&got))
		require.Contains(t, got.Capabilities, "wire")
		require.Equal(t, own.Capabilities().Wire == nil, got.Capabilities["wire"] == "", "what is not there says why")
		require.Contains(t, got.Capabilities, "kernel")
		require.Equal(t, own.Counters(), got.Counters)
		require.Len(t, got.Conns, 1)
		require.Equal(t, info.ID, got.Conns[0].Info.ID)
		require.Equal(t, info.Token, got.Conns[0].Info.Token)
		require.Equal(t, info.BytesSent, got.Conns[0].Info.BytesSent)
		require.Equal(t, flow.Local, got.Conns[0].Local)
		require.Equal(t, flow.Remote, got.Conns[0].Remote)
		require.Len(t, got.Conns[0].Subflows, 1)
		require.Equal(t, flow.ID, got.Conns[0].Subflows[0].ID)
		require.Equal(t, flow.State, got.Conns[0].Subflows[0].State)
		require.Equal(t, flow.Remote, got.Conns[0].Subflows[0].Remote)
	}
}

// A connection that has fallen back says why.
func TestHandlerShowsFallback(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(whence))
	defer s.Close()
	d := newDialer(t)
	get(t, client(t, NewTransport(d, nil)), request(t, s.URL))
	require.Len(t, d.Transport.Conns(), 1)
	require.Contains(t, page(d.Transport, http.MethodGet, "/", "").Body.String(), "fallback: "+d.Transport.Conns()[0].Fallback.String())
	require.Equal(t, "-", known(-1))
	require.Equal(t, "3ms", known(3*time.Millisecond))
}

func TestHandlerMethods(t *testing.T) {
	own := newOwn(t)
	for _, m := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		w := page(own, m, "/", "application/json")
		require.Equal(t, http.StatusMethodNotAllowed, w.Code, m)
		require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
	}
	require.Equal(t, http.StatusOK, page(own, http.MethodHead, "/", "").Code)
	var empty struct{ Conns []any }
	require.NoError(t, json.Unmarshal(page(own, http.MethodGet, "/", "application/json").Body.Bytes(), &empty))
	require.NotNil(t, empty.Conns, "no connections are an empty list")
	require.Contains(t, page(nil, http.MethodGet, "/", "").Body.String(), "connections: ", "DefaultTransport")
}

// Trace reports the connection of every request, reused ones too, and is silent about other kinds.
func TestTrace(t *testing.T) {
	s := server(t, whence)
	d := newDialer(t)
	c := client(t, NewTransport(d, nil))
	var infos []extapi.ConnInfo
	var flows []extapi.SubflowInfo
	ctx := Trace(t.Context(), func(i extapi.ConnInfo, f []extapi.SubflowInfo) { infos, flows = append(infos, i), f })
	do := func(c *http.Client, ctx context.Context) string {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
		require.NoError(t, err)
		resp, err := c.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return string(body)
	}
	from := do(c, ctx)
	do(c, ctx)
	require.Len(t, infos, 2)
	require.Equal(t, d.Transport.Conns()[0].ID, infos[0].ID)
	require.Equal(t, infos[0].ID, infos[1].ID)
	require.Len(t, flows, 1)
	require.Equal(t, from, flows[0].Local.String())

	do(client(t, &http.Transport{}), ctx)
	require.Len(t, infos, 2, "a connection of package net")
}
