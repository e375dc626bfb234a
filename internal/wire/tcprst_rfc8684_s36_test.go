package wire

import (
	"testing"
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
	"github.com/stretchr/testify/require"
)

// "If the error condition is considered to be Transient by the sender of the RST segment, the recipient of this segment
// MAY try to re-establish a subflow for this connection over the failed path. [...] If the error condition is considered
// to be Permanent, the receiver of the RST segment SHOULD NOT try to re-establish a subflow for this connection over this
// path" (RFC 8684 section 3.6): the answer to a SYN with MP_JOIN.
func TestResetOfAJoin(t *testing.T) {
	for _, tt := range []struct {
		rst   []options.Option
		again bool
	}{
		{nil, false}, // the plain TCP of a host that knows nothing of the connection
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetProhibited)}}, false},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetProtocol)}}, false},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetProhibited), Transient: true}}, true},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetResources), Transient: true}}, true},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetResources), Transient: true, U: true, V: true, W: true}}, true},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetProhibited), U: true, V: true, W: true}}, false},
	} {
		s := newScript(t, true)
		f := s.open()
		g := s.second()
		g.wants("a join", "SYN, MP_JOIN SYN id=1")
		g.resets(tt.rst...)
		require.Equal(t, resetsRead(tt.rst), s.us.endings())
		s.wait(500 * time.Millisecond)
		require.Len(t, s.list, 2, "not at once")
		s.until(3, 10*time.Second)
		require.Equal(t, tt.again, len(s.list) > 2, "%v", tt.rst)
		f.wants("the first subflow is not concerned")
		if tt.again {
			s.list[2].answers()
			s.list[2].acks(s.ack(0))
			require.Equal(t, 1, s.us.subflows())
		}
	}
}

// resetsRead is what is counted of a RST with these options.
func resetsRead(rst []options.Option) string {
	if len(rst) == 0 {
		return ""
	}
	return "MPRstRx 1"
}

// The same of a subflow that has worked.
func TestResetOfASubflow(t *testing.T) {
	for _, tt := range []struct {
		rst   []options.Option
		again bool
	}{
		{nil, true},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetProhibited)}}, false},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetProhibited), Transient: true}}, true},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetMiddlebox)}}, false},
		{[]options.Option{options.TCPRst{Reason: uint8(engine.ResetPerformance), Transient: true}}, true},
	} {
		s := newScript(t, true)
		f := s.open()
		g := s.join()
		g.acks(s.ack(0))
		g.resets(tt.rst...)
		require.Equal(t, resetsRead(tt.rst), s.us.endings())
		s.until(3, 10*time.Second)
		require.Equal(t, tt.again, len(s.list) > 2, "%v", tt.rst)
		s.write(10)
		f.wants("the connection goes on", "ACK, DSS ack 0", "DATA 1+10, DSS map 0+10@1 ack 0")
	}
}

// What ours say: "An implementation of this specification MUST set these flags to 0" is checked for each.
func TestOwnResets(t *testing.T) {
	for reason, want := range map[engine.ResetReason]string{
		engine.ResetUnspecified: "RST, MP_TCPRST 0", engine.ResetProtocol: "RST, MP_TCPRST 1",
		engine.ResetResources: "RST, MP_TCPRST 2 T", engine.ResetProhibited: "RST, MP_TCPRST 3",
		engine.ResetTooMuchData: "RST, MP_TCPRST 4 T", engine.ResetPerformance: "RST, MP_TCPRST 5 T",
		engine.ResetMiddlebox: "RST, MP_TCPRST 6",
	} {
		s := newScript(t, false)
		s.open()
		g := s.join()
		s.us.flows[1].Abort(s.w.now, reason)
		s.w.settle()
		g.wants("the reason", want)
		require.Equal(t, "MPRstTx 1", s.us.endings())
	}
}
