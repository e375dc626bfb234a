package extapi

import (
	"encoding"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesAreStable(t *testing.T) {
	for want, v := range map[string]fmt.Stringer{
		"tcp": CarrierTCP, "wire": CarrierWire, "stream": CarrierStream, "kernel": CarrierKernel,
		"none": FallbackNone, "peer": FallbackPeer, "discovery": FallbackDiscovery,
		"blackhole": FallbackBlackhole, "third_ack": FallbackThirdAck, "stripped": FallbackStripped,
		"checksum": FallbackChecksum, "infinite_map": FallbackInfiniteMap,
		"simultaneous_open": FallbackSimultaneousOpen, "privilege": FallbackPrivilege,
		"bound": FallbackBound, "disabled": FallbackDisabled,
		"default": RoleDefault, "prefer": RolePrefer, "avoid": RoleAvoid, "backup": RoleBackup, "never": RoleNever,
		"any": KindAny, "unknown": KindUnknown, "ethernet": KindEthernet, "wifi": KindWiFi,
		"cellular": KindCellular, "tunnel": KindTunnel, "loopback": KindLoopback,
		"connecting": StateConnecting, "joining": StateJoining, "active": StateActive,
		"stale": StateStale, "closing": StateClosing, "closed": StateClosed,
	} {
		require.Equal(t, want, v.String())
		text, err := v.(encoding.TextMarshaler).MarshalText()
		require.NoError(t, err)
		require.Equal(t, want, string(text))
	}
	require.Equal(t, "Role(9)", Role(9).String(), "a value from the future still prints")
}

func TestTextRoundTrip(t *testing.T) {
	type all struct {
		C Carrier
		F FallbackReason
		R Role
		K LinkKind
		S SubflowState
	}
	want := all{CarrierStream, FallbackBound, RoleBackup, KindCellular, StateStale}
	b, err := json.Marshal(want)
	require.NoError(t, err)
	require.JSONEq(t, `{"C":"stream","F":"bound","R":"backup","K":"cellular","S":"stale"}`, string(b))
	var got all
	require.NoError(t, json.Unmarshal(b, &got))
	require.Equal(t, want, got)
	var r Role
	require.EqualError(t, r.UnmarshalText([]byte("sometimes")), `extapi: no Role is called "sometimes"`)
	require.Error(t, r.UnmarshalText(nil))
}
