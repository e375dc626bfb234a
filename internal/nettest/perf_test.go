package nettest

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
)

// `mptcp perf -mode wire` tells what our TCP has counted, and `mptcp info` what the kernel has: of the same connection, when
// the kernel is the other end. What is 0 is in the JSON alone.
func TestNamespacePerfCounters(t *testing.T) {
	needKernelMPTCP(t)
	need(t, "ss")
	bin := commandLine(t)
	l := crossing(t, []leg{{family: 4}}, []leg{{family: 4}})
	l.background("s", bin, "perf", "-s", "-mode", "kernel", "-addr", at(serverIP(1)))
	l.listens("s", port)
	perf := []string{bin, "perf", "-mode", "wire", "-n", "256K", "-i", "0", "-c", at(serverIP(1))}

	out, err := l.command("c", perf...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `(?m)^  mptcp +MPCapableSYNTX +1$`, string(out))
	require.Regexp(t, `(?m)^  tcp +SegsOut +[1-9]\d*$`, string(out))
	require.NotRegexp(t, `(?m) 0$`, string(out))

	out, err = l.command("c", append(perf, "-json")...).Output()
	require.NoError(t, err)
	var result struct{ Counters *extapi.Counters }
	require.NoError(t, json.Unmarshal(out, &result))
	require.NotNil(t, result.Counters)
	require.EqualValues(t, 1, result.Counters.MPTCP.MPCapableSYNACKRX)
	require.GreaterOrEqual(t, result.Counters.TCP.HCDataOctetsOut, uint64(256<<10))
	require.Contains(t, string(out), `"MPJoinSynTx": 0`)

	text := l.do("s", bin+" info")
	require.Regexp(t, `(?m)^  counter MPCapableSYNRX +2$`, text, "both connections")
	require.NotRegexp(t, `(?m)^  counter .* 0$`, text)
	var info struct {
		Kernel map[string]string `json:"kernel_mptcp"`
	}
	require.NoError(t, json.Unmarshal([]byte(l.do("s", bin+" info -json")), &info))
	require.Equal(t, "2", info.Kernel["counter MPCapableACKRX"])
	require.Equal(t, "0", info.Kernel["counter MPJoinAckRx"])
	require.False(t, strings.Contains(text, "MPJoinAckRx"))
}
