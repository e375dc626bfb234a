package engine

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

// vectorConn is a connection between two kernels, with what a separate decoder derived from its keys.
type vectorConn struct {
	Key           struct{ C, S string }
	TokenC        string `json:"token_c"`
	TokenS        string `json:"token_s"`
	IDSNC         string `json:"idsn_c"`
	IDSNS         string `json:"idsn_s"`
	Joins         []vectorJoin
	Announcements []vectorAddAddr `json:"add_addrs"`
}

// vectorJoin is a join: I is its initiator, R its responder.
type vectorJoin struct {
	Init  string
	NI    string `json:"nI"`
	NR    string `json:"nR"`
	IDI   uint8  `json:"idI"`
	IDR   uint8  `json:"idR"`
	FullA string `json:"full_A"`
	FullB string `json:"full_B"`
}

type vectorAddAddr struct {
	ID        uint8
	Addr      string
	Port      uint16
	HMAC, Msg string
}

// vectorConns reads the connections of all captures whose two keys are known.
func vectorConns(t *testing.T) []vectorConn {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var files map[string]struct{ Connections []vectorConn }
	require.NoError(t, json.Unmarshal(b, &files))
	var all []vectorConn
	for _, f := range files {
		for _, c := range f.Connections {
			if c.Key.C != "" && c.Key.S != "" {
				all = append(all, c)
			}
		}
	}
	require.Greater(t, len(all), 35)
	return all
}

func number(t *testing.T, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 0, 64)
	require.NoError(t, err, s)
	return n
}

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// client and server are the keys as each side has them.
func (v *vectorConn) client(t *testing.T) Keys {
	return Keys{Local: Key(number(t, v.Key.C)), Remote: Key(number(t, v.Key.S))}
}

func (v *vectorConn) server(t *testing.T) Keys { return v.client(t).swapped() }

func TestKeyTokensAndIDSNsOfKernels(t *testing.T) {
	for _, v := range vectorConns(t) {
		k := v.client(t)
		require.EqualValues(t, number(t, v.TokenC), k.Local.Token())
		require.EqualValues(t, number(t, v.TokenS), k.Remote.Token())
		require.Equal(t, number(t, v.IDSNC), k.Local.IDSN())
		require.Equal(t, number(t, v.IDSNS), k.Remote.IDSN())
	}
}

// Both sides' state machines speak what the kernels spoke, message by message.
func TestJoinsOfKernels(t *testing.T) {
	n := 0
	for _, v := range vectorConns(t) {
		for _, j := range v.Joins {
			n++
			a, b := v.client(t), v.server(t)
			if j.Init == "s" {
				a, b = b, a
			}
			nonceA, nonceB := uint32(number(t, j.NI)), uint32(number(t, j.NR))
			initiator := NewJoinInitiator(a, nonceA, extapi.AddrID(j.IDI), true)
			responder := NewJoinResponder(b, nonceB, extapi.AddrID(j.IDR), false)

			syn := initiator.Syn()
			require.Equal(t, options.MPJoin{Form: options.JoinSyn, Backup: true, AddrID: j.IDI, Token: b.Local.Token(), Nonce: nonceA}, syn)
			synack, err := responder.HandleSyn(syn)
			require.NoError(t, err)
			require.Equal(t, fromHex(t, j.FullB)[:8], synack.HMAC[:8])
			require.Equal(t, nonceB, synack.Nonce)
			require.Equal(t, j.IDR, synack.AddrID)
			ack, err := initiator.HandleSynAck(synack)
			require.NoError(t, err)
			require.Equal(t, fromHex(t, j.FullA)[:20], ack.HMAC[:])
			require.NoError(t, responder.HandleAck(ack))
		}
	}
	require.Greater(t, n, 20)
}

func TestKeyAddAddrHMACsOfKernels(t *testing.T) {
	n := 0
	for _, v := range vectorConns(t) {
		for _, a := range v.Announcements {
			n++
			o := options.AddAddr{AddrID: a.ID, Addr: netip.MustParseAddr(a.Addr), HasPort: a.Port != 0, Port: a.Port}
			require.Equal(t, fromHex(t, a.Msg), o.AppendHMACMessage(nil))
			o.HMAC = number(t, "0x"+a.HMAC)

			// The capture does not say who announced; exactly one of the two did.
			c, s := v.client(t), v.server(t)
			announcer, receiver := s, c
			if c.AddAddrHMAC(true, o) == o.HMAC {
				announcer, receiver = c, s
			}
			require.Equal(t, o.HMAC, announcer.AddAddrHMAC(true, o))
			require.Equal(t, o.HMAC, receiver.AddAddrHMAC(false, o))
			require.True(t, receiver.CheckAddAddr(o))
			require.False(t, announcer.CheckAddAddr(o), "sent back")
			require.NotEqual(t, o.HMAC, receiver.AddAddrHMAC(true, o))
			for i := range 64 {
				bad := o
				bad.HMAC ^= 1 << i
				require.False(t, receiver.CheckAddAddr(bad))
			}
		}
	}
	require.GreaterOrEqual(t, n, 10)
}
