package engine

import (
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

const (
	keyC = Key(0xf203f24def5ba654)
	keyS = Key(0x711ec960ce6761d7)
)

func wireOffer(checksum, noJoin bool) CapableOffer {
	return CapableOffer{Carrier: extapi.CarrierWire, Checksum: checksum, NoInitialJoin: noJoin}
}

func encoded(o options.Option) string { return hex.EncodeToString(o.Append(nil)) }

// The bytes of captures 02 (plain), 12 (only the client asks for checksums: the server's answer says
// nothing of it and both use them) and 26 (the server takes no joins at its initial address).
func TestCapableSpeaksAsKernelsDo(t *testing.T) {
	for _, c := range []struct {
		name                 string
		client, server       CapableOffer
		syn, synack          string
		ack                  string
		checksum             bool
		clientMay, serverMay bool // join to the other's initial address
	}{
		{"plain", wireOffer(false, false), wireOffer(false, false), "1e040101", "1e0c0101711ec960ce6761d7",
			"1e140101f203f24def5ba654711ec960ce6761d7", false, true, true},
		{"client wants checksums", wireOffer(true, false), wireOffer(false, false), "1e040181", "1e0c0101711ec960ce6761d7",
			"1e140181f203f24def5ba654711ec960ce6761d7", true, true, true},
		{"server wants checksums", wireOffer(false, false), wireOffer(true, false), "1e040101", "1e0c0181711ec960ce6761d7",
			"1e140181f203f24def5ba654711ec960ce6761d7", true, true, true},
		{"server behind a load balancer", wireOffer(false, false), wireOffer(false, true), "1e040101", "1e0c0121711ec960ce6761d7",
			"1e140101f203f24def5ba654711ec960ce6761d7", false, false, true},
		{"client behind a NAT", wireOffer(false, true), wireOffer(false, false), "1e040121", "1e0c0101711ec960ce6761d7",
			"1e140121f203f24def5ba654711ec960ce6761d7", false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := NewCapable(c.client, keyC)
			require.Equal(t, c.syn, encoded(client.Syn()))
			server, err := AcceptCapable(c.server, client.Syn())
			require.NoError(t, err)
			server = server.WithKey(keyS)
			require.Equal(t, c.synack, encoded(server.SynAck()))
			client, err = client.HandleSynAck(server.SynAck())
			require.NoError(t, err)
			require.Equal(t, c.ack, encoded(client.Ack()))
			server, err = server.HandleAck(client.Ack(), false)
			require.NoError(t, err)

			require.Equal(t, c.checksum, client.Checksum)
			require.Equal(t, c.checksum, server.Checksum)
			require.Equal(t, !c.clientMay, client.NoInitialJoin)
			require.Equal(t, !c.serverMay, server.NoInitialJoin)
			require.Equal(t, Keys{Local: keyC, Remote: keyS}, client.Keys(nil))
			require.Equal(t, Keys{Local: keyS, Remote: keyC, Secret: []byte("s")}, server.Keys([]byte("s")))
		})
	}
}

func TestCapableWithData(t *testing.T) {
	plain := NewCapable(wireOffer(false, false), keyC)
	plain.Remote = keyS
	require.Equal(t, "1e160101f203f24def5ba654711ec960ce6761d70064", encoded(plain.AckWithData(100, 7)))
	sums := plain
	sums.Checksum = true
	require.Equal(t, "1e180181f203f24def5ba654711ec960ce6761d7006545c1", encoded(sums.AckWithData(101, 0x45c1)))

	server := Capable{Offer: wireOffer(false, false), Local: keyS, Checksum: true}
	got, err := server.HandleAck(sums.AckWithData(101, 0x45c1), true)
	require.NoError(t, err)
	m, ok := got.Mapping(sums.AckWithData(101, 0x45c1))
	require.True(t, ok)
	require.Equal(t, options.DSS{HasMap: true, DSN64: true, DSN: 0x571dbf14ceaf10b2, SSN: 1, DataLen: 101, HasChecksum: true, Checksum: 0x45c1}, m)
	_, ok = got.Mapping(sums.Ack())
	require.False(t, ok)

	// The option comes again on every segment of a burst, and with a retransmission.
	twice, err := got.HandleAck(sums.AckWithData(101, 0x45c1), true)
	require.NoError(t, err)
	require.Equal(t, got, twice)
}

// Capture 40: what a kernel makes of strange SYNs. Where RFC 8684 section 3.1 lets the responder choose
// among the proposed algorithms, the RFC is followed.
func TestCapableStrangeSyns(t *testing.T) {
	for _, c := range []struct {
		name, syn string
		ok        bool
		checksum  bool
	}{
		{"version 0", "1e0c0081aabbccddeeff0011", false, false},
		{"version 1", "1e040101", true, false},
		{"version 2 is answered with 1", "1e040201", true, false},
		{"no algorithm", "1e040100", false, false},
		{"flag B", "1e040141", false, false},
		{"checksums", "1e040181", true, true},
		{"no joins", "1e040121", true, false},
		{"a key in the SYN of version 1", "1e0c0101aabbccddeeff0011", false, false},
		{"both keys in the SYN", "1e140101aabbccddeeff0011aabbccddeeff0012", false, false},
		{"another algorithm beside HMAC-SHA256", "1e040111", true, false},
		{"only another algorithm", "1e040110", false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := options.ParseMPCapable(fromHex(t, c.syn))
			require.NoError(t, err)
			got, err := AcceptCapable(wireOffer(false, false), m)
			if !c.ok {
				requireViolation(t, err, "RFC 8684 section 3.1")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.checksum, got.Checksum)
			answer := got.WithKey(keyS).SynAck()
			require.Equal(t, "1e0c0101711ec960ce6761d7", encoded(answer))
		})
	}
}

func TestCapableStrangeAnswers(t *testing.T) {
	client := NewCapable(wireOffer(false, false), keyC)
	for name, answer := range map[string]string{
		"no key":             "1e040101",
		"two keys":           "1e140101711ec960ce6761d7f203f24def5ba654",
		"version 0":          "1e0c0001711ec960ce6761d7",
		"version 2":          "1e0c0201711ec960ce6761d7",
		"flag B":             "1e0c0141711ec960ce6761d7",
		"no algorithm":       "1e0c0100711ec960ce6761d7",
		"two algorithms":     "1e0c0103711ec960ce6761d7",
		"another algorithm":  "1e0c0102711ec960ce6761d7",
		"a key of zeros":     "1e0c01010000000000000000",
		"our own key mirror": "1e0c0101f203f24def5ba654",
	} {
		t.Run(name, func(t *testing.T) {
			m, err := options.ParseMPCapable(fromHex(t, answer))
			require.NoError(t, err)
			_, err = client.HandleSynAck(m)
			requireViolation(t, err, "RFC 8684 section 3.1")
		})
	}
}

func TestCapableStrangeThirdMessages(t *testing.T) {
	both := func(edit func(*options.MPCapable)) options.MPCapable {
		c := NewCapable(wireOffer(false, false), keyC)
		c.Remote = keyS
		m := c.Ack()
		edit(&m)
		return m
	}
	withData := func(m *options.MPCapable) { m.HasData, m.DataLen = true, 10 }
	for _, c := range []struct {
		name     string
		m        options.MPCapable
		payload  bool
		checksum bool
	}{
		{"one key", both(func(m *options.MPCapable) { m.HasReceiver = false }), false, false},
		{"payload without a length", both(func(*options.MPCapable) {}), true, false},
		{"a length without payload", both(withData), false, false},
		{"version 2", both(func(m *options.MPCapable) { m.Version = 2 }), false, false},
		{"flag B", both(func(m *options.MPCapable) { m.Flags |= options.FlagB }), false, false},
		{"another algorithm", both(func(m *options.MPCapable) { m.Flags = 2 }), false, false},
		{"checksums out of nowhere", both(func(m *options.MPCapable) { m.Flags |= options.FlagA }), false, false},
		{"checksums forgotten", both(func(*options.MPCapable) {}), false, true},
		{"data without the agreed checksum", both(func(m *options.MPCapable) { withData(m); m.Flags |= options.FlagA }), true, true},
		{"data with a checksum that was not agreed", both(func(m *options.MPCapable) { withData(m); m.HasChecksum = true }), true, false},
		{"not our key", both(func(m *options.MPCapable) { m.ReceiverKey++ }), false, false},
		{"a key of zeros", both(func(m *options.MPCapable) { m.SenderKey = 0 }), false, false},
		{"our key as the client's", both(func(m *options.MPCapable) { m.SenderKey = uint64(keyS) }), false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Capable{Offer: wireOffer(c.checksum, false), Local: keyS, Checksum: c.checksum}
			_, err := s.HandleAck(c.m, c.payload)
			requireViolation(t, err, "RFC 8684 section 3.1")
		})
	}
}

// On the stream carrier the client's key is in the first message and may not change afterwards.
func TestCapableOverStream(t *testing.T) {
	offer := CapableOffer{Carrier: extapi.CarrierStream}
	client := NewCapable(offer, keyC)
	require.Equal(t, "1e0c0101f203f24def5ba654", encoded(client.Syn()))
	server, err := AcceptCapable(offer, client.Syn())
	require.NoError(t, err)
	require.Equal(t, keyC, server.Remote)
	server = server.WithKey(keyS)
	client, err = client.HandleSynAck(server.SynAck())
	require.NoError(t, err)
	_, err = server.HandleAck(client.Ack(), false)
	require.NoError(t, err)

	other := client
	other.Local++
	_, err = server.HandleAck(other.Ack(), false)
	requireViolation(t, err, "RFC 8684 section 3.1")
	_, err = AcceptCapable(offer, options.MPCapable{Version: 1, Flags: options.FlagH})
	requireViolation(t, err, "RFC 8684 section 3.1")
	_, err = AcceptCapable(offer, options.MPCapable{Version: 1, Flags: options.FlagH, HasSender: true})
	requireViolation(t, err, "RFC 8684 section 3.1")
}

// "if either host requires the use of checksums, checksums MUST be used. In other words, the only way
// for checksums not to be used is if both hosts in their SYNs set A=0."
func TestCapableSidesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		carrier := rapid.SampledFrom([]extapi.Carrier{extapi.CarrierWire, extapi.CarrierStream}).Draw(t, "carrier")
		draw := func(who string) CapableOffer {
			return CapableOffer{Carrier: carrier, Checksum: rapid.Bool().Draw(t, who+" checksum"), NoInitialJoin: rapid.Bool().Draw(t, who+" no join")}
		}
		co, so := draw("client"), draw("server")
		client := NewCapable(co, keyC)
		server, err := AcceptCapable(so, client.Syn())
		require.NoError(t, err)
		server = server.WithKey(keyS)
		client, err = client.HandleSynAck(server.SynAck())
		require.NoError(t, err)
		payload := rapid.Bool().Draw(t, "payload")
		third := client.Ack()
		if payload {
			third = client.AckWithData(10, 3)
		}
		server, err = server.HandleAck(third, payload)
		require.NoError(t, err)
		require.Equal(t, co.Checksum || so.Checksum, client.Checksum)
		require.Equal(t, client.Checksum, server.Checksum)
		require.Equal(t, so.NoInitialJoin, client.NoInitialJoin)
		require.Equal(t, co.NoInitialJoin, server.NoInitialJoin)
		require.Equal(t, client.Keys(nil), server.Keys(nil).swapped())
	})
}

// FuzzCapable throws any option at every step of both sides.
func FuzzCapable(f *testing.F) {
	for _, s := range []string{"1e040101", "1e0c0101711ec960ce6761d7", "1e140101f203f24def5ba654711ec960ce6761d7", "1e160101f203f24def5ba654711ec960ce6761d70064"} {
		b, err := hex.DecodeString(s)
		require.NoError(f, err)
		f.Add(b, true)
		f.Add(b, false)
	}
	f.Fuzz(func(t *testing.T, raw []byte, stream bool) {
		m, err := options.ParseMPCapable(raw)
		if err != nil {
			return
		}
		offer := wireOffer(false, false)
		if stream {
			offer.Carrier = extapi.CarrierStream
		}
		if c, err := NewCapable(offer, keyC).HandleSynAck(m); err == nil {
			require.Equal(t, m.SenderKey, uint64(c.Remote))
			require.NotZero(t, c.Remote)
		} else {
			requireViolation(t, err, "RFC 8684 section 3.1")
		}
		s, err := AcceptCapable(offer, m)
		if err != nil {
			requireViolation(t, err, "RFC 8684 section 3.1")
		} else {
			require.Zero(t, m.Flags&options.FlagB)
			require.Equal(t, m.Flags&options.FlagA != 0, s.Checksum)
		}
		s = Capable{Offer: offer, Local: keyS}
		if _, err := s.HandleAck(m, m.HasData); err == nil {
			require.Equal(t, uint64(keyS), m.ReceiverKey)
		} else {
			requireViolation(t, err, "RFC 8684 section 3.1")
		}
	})
}
