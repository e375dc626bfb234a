package nettest

import (
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// strangeSYNs are the Multipath TCP options of SYNs: those that were tried by hand on Linux (40-raw-syns.pcap), and around
// them every set of flags, every version and every length.
func strangeSYNs() (list [][]byte) {
	parse := func(text string) {
		b, err := hex.DecodeString(text)
		if err != nil {
			panic(err)
		}
		list = append(list, b)
	}
	for _, text := range []string{
		"1e0c1005deadbeef01020304", "1e0c0081aabbccddeeff0011", "1e040101", "1e040201", "1e040100", "1e040141", "1e040181", "1e040121", "1e0c0101aabbccddeeff0011", "1e040111",
		"1e0401011e0c1005deadbeef01020304", "1e0c1005deadbeef010203041e040101", "1e0401011e040101", "1e101005deadbeef0102030400000000", "1e030150", "1e02",
	} {
		parse(text)
	}
	for flags := range 256 {
		parse(fmt.Sprintf("1e0401%02x", flags))
	}
	for version := range 16 {
		parse(fmt.Sprintf("1e040%x01", version))
	}
	for n := 3; n <= 24; n++ {
		list = append(list, append([]byte{options.Kind, byte(n), 0x01, 0x01}, make([]byte, 20)...)[:n])
		list = append(list, append([]byte{options.Kind, byte(n), 0x10, 0x01}, make([]byte, 20)...)[:n])
	}
	return list
}

// prober sends the SYNs to two ports, one after the other, and tells what each answers.
func (a *actor) prober() error {
	to := netip.MustParseAddrPort(a.Addr)
	network, local := "ip4:tcp", clientIP(1)
	if to.Addr().Is6() {
		network, local = "ip6:tcp", clientIP6(1)
	}
	raw, err := net.ListenPacket(network, local.String()) // the IP headers are the kernel's
	if err != nil {
		return err
	}
	defer raw.Close()
	a.say(report{Kind: "connected"})
	for i, o := range strangeSYNs() {
		for k := range 2 {
			from := netip.AddrPortFrom(local, uint16(20000+2*i+k))
			dst := netip.AddrPortFrom(to.Addr(), to.Port()+uint16(k))
			s := packet.Segment{Src: from, Dst: dst, Seq: 1000, Flags: packet.SYN, Window: 64000, Options: append([]byte{2, 4, 5, 180}, o...)}
			for len(s.Options)%4 != 0 {
				s.Options = append(s.Options, options.KindNOP)
			}
			answer, err := a.probe(raw, &s)
			if err != nil {
				return err
			}
			a.say(report{Kind: "answer", Event: hex.EncodeToString(o), Addr: fmt.Sprint(k), Detail: answer})
		}
	}
	a.say(report{Kind: "done"})
	return nil
}

// probe sends one SYN and says in a few words what came back: keys are left out.
func (a *actor) probe(raw net.PacketConn, syn *packet.Segment) (string, error) {
	b, err := syn.AppendTCP(nil, packet.FullChecksum)
	if err != nil {
		return "", err
	}
	buf := make([]byte, 2048)
	for range 3 { // a busy host may drop one
		if _, err := raw.WriteTo(b, &net.IPAddr{IP: syn.Dst.Addr().AsSlice()}); err != nil {
			return "", err
		}
		if err := raw.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			return "", err
		}
		for {
			n, _, err := raw.ReadFrom(buf)
			if err != nil {
				break
			}
			s, err := packet.ParseTCP(syn.Dst.Addr(), syn.Src.Addr(), buf[:n])
			if err != nil || s.Src != syn.Dst || s.Dst != syn.Src {
				continue
			}
			text := s.Flags.String()
			eachOptionOf(s, func(_ options.Subtype, r options.Raw) {
				text += fmt.Sprintf(" %x of %d", []byte(r[:min(4, len(r))]), len(r))
			})
			return text, nil
		}
	}
	return "nothing", nil
}

// proposed is the SYN without the algorithms that it proposes beside HMAC-SHA256. "The initiator creates a proposal setting a bit
// for each algorithm it supports", and "the responder has the choice" (RFC 8684 section 3.1); Linux 6.18 takes no such proposal.
func proposed(syn string) string {
	b, _ := hex.DecodeString(syn)
	if m, err := options.ParseMPCapable(b); err != nil || m.HasSender || m.Flags&options.FlagH == 0 {
		return syn
	}
	b[3] &^= byte(options.FlagsCrypto &^ options.FlagH)
	return hex.EncodeToString(b)
}

// SYNs with every version, every set of flags and lengths that are wrong: our listener answers what the kernel's answers, but
// for a proposal of several algorithms.
func TestNamespaceWireStrangeSYNs(t *testing.T) {
	for _, family := range []int{4, 6} {
		t.Run(fmt.Sprintf("IPv%d", family), func(t *testing.T) {
			s := newStage(t, "s", 1)
			// One after the other, for as long as that takes: else each would wait for its turn as in a flood.
			s.serve("s", ourListener())
			kernel := kernelEnd
			kernel.Addr = fmt.Sprintf(":%d", port+1)
			s.serve("s", kernel)
			p := s.dial(order{Role: "prober", Addr: at(serverAddr(family, 1))})
			p.wait(30*time.Second, "done")
			requireAnswered(t, p)
		})
	}
}

// requireAnswered compares what our listener has answered with what the kernel's has.
func requireAnswered(t *testing.T, prober *program) {
	t.Helper()
	list, _, _ := prober.look()
	var got [2]map[string]string
	for k := range got {
		got[k] = map[string]string{}
		for _, r := range list {
			if r.Kind == "answer" && r.Addr == fmt.Sprint(k) {
				got[k][r.Event] = r.Detail
			}
		}
	}
	require.Greater(t, len(got[0]), 300)
	multipath := 0
	for syn := range got[1] {
		want := got[1][proposed(syn)]
		require.Equal(t, want, got[0][syn], "to %s the kernel answers %s", syn, want)
		if strings.HasPrefix(want, "SYN|ACK ") {
			multipath++
		}
	}
	t.Logf("%d of %d SYNs are answered with Multipath TCP", multipath, len(got[1]))
	require.Greater(t, multipath, 10)
	require.Less(t, multipath, len(got[1])/2)
}
