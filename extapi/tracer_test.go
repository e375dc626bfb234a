package extapi

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var someEvents = []Event{
	ConnEstablished{ConnInfo{ID: 7, Carrier: CarrierStream, Version: 1, Token: 0xabcdef01, Scheduler: "minrtt"}},
	ConnFellBack{FallbackPeer},
	ConnClosed{errors.New("boom")},
	ConnClosed{},
	AddrAnnounced{3, netip.MustParseAddrPort("10.0.0.9:80"), true},
	AddrRemoved{3, false},
	EventsLost{12},
	SubflowEstablished{subflow()},
	SubflowClosed{SubflowInfo{ID: 4, SRTT: -1, CWnd: -1}, errors.New("reset")},
	SubflowPriority{4, true, true},
	DataReinjected{1, 2, 1000, 1460},
	Scheduled{1, 1000, 1460},
	MetricsUpdated{SubflowInfo{ID: 4, SRTT: time.Millisecond, CWnd: 10}},
}

func TestEventsAreNamedInSnakeCaseAndGroups(t *testing.T) {
	seen := map[string]bool{}
	for _, ev := range someEvents {
		require.Regexp(t, regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`), ev.Name())
		require.Equal(t, slog.KindGroup, ev.LogValue().Kind(), ev.Name())
		seen[ev.Name()] = true
	}
	require.Len(t, seen, 12, "every type has a name of its own")
}

func TestSlogTracer(t *testing.T) {
	var out bytes.Buffer
	drop := func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	l := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo, ReplaceAttr: drop}))
	tr := SlogTracer(l, slog.LevelInfo)
	for _, ev := range someEvents[:6] {
		tr.Trace(1500*time.Microsecond, ev)
	}
	tr.Trace(0, someEvents[8])
	require.NoError(t, tr.Close())
	require.Equal(t, `level=INFO msg=conn_established at=1.5ms conn=7 carrier=stream version=1 token=abcdef01 scheduler=minrtt sent=0 received=0
level=INFO msg=conn_fell_back at=1.5ms reason=peer
level=INFO msg=conn_closed at=1.5ms error=boom
level=INFO msg=conn_closed at=1.5ms
level=INFO msg=addr_announced at=1.5ms addr_id=3 addr=10.0.0.9:80 by_peer=true
level=INFO msg=addr_removed at=1.5ms addr_id=3 by_peer=false
level=INFO msg=subflow_closed at=0s path=4 carrier=none state=connecting local="invalid AddrPort" remote="invalid AddrPort" sent=0 received=0 error=reset
`, out.String())

	out.Reset()
	SlogTracer(l, slog.LevelDebug).Trace(0, someEvents[0])
	require.Empty(t, out.String(), "below the logger's level")
	require.NotPanics(t, func() { SlogTracer(nil, slog.LevelError).Trace(0, someEvents[0]) })
}

// plain is an event of a program's own whose value is not a group.
type plain struct{}

func (plain) Name() string         { return "plain" }
func (plain) LogValue() slog.Value { return slog.IntValue(3) }

func TestSlogTracerTakesForeignEvents(t *testing.T) {
	var out bytes.Buffer
	SlogTracer(slog.New(slog.NewTextHandler(&out, nil)), slog.LevelInfo).Trace(0, plain{})
	require.Contains(t, out.String(), "msg=plain at=0s event=3")
}

type recorder struct {
	events []Event
	err    error
}

func (r *recorder) Trace(_ time.Duration, ev Event) { r.events = append(r.events, ev) }
func (r *recorder) Close() error                    { return r.err }

func TestMultiTracer(t *testing.T) {
	one, two := &recorder{err: errors.New("one")}, &recorder{err: errors.New("two")}
	m := MultiTracer(one, nil, two)
	m.Trace(0, EventsLost{1})
	m.Trace(0, EventsLost{2})
	require.Equal(t, []Event{EventsLost{1}, EventsLost{2}}, one.events)
	require.Equal(t, one.events, two.events)
	err := m.Close()
	require.ErrorIs(t, err, one.err)
	require.ErrorIs(t, err, two.err)
	require.NoError(t, MultiTracer(nil).Close())
}

func TestSubflowInfoLogValue(t *testing.T) {
	require.Equal(t, `[path=2 carrier=stream state=active local=10.0.0.1:40000 remote=[2001:db8::1]:443 interface=eth0 role=prefer backup=true srtt=12.345ms cwnd=14600 sent=10 received=20 last_error=boom]`,
		subflow().LogValue().String())
	require.Equal(t, `[conn=1 carrier=tcp fallback=peer sent=0 received=0]`,
		ConnInfo{ID: 1, Carrier: CarrierTCP, Fallback: FallbackPeer, Token: 5}.LogValue().String())
}
