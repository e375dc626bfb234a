package rawip

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/wire/link"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// A host whose firewall tracks connections and drops what it does not understand, behind its own address
// translation: the raw socket passes both, and so do super-segments through lo. None is sent past them on the
// device.
func TestNamespaceStatefulFirewall(t *testing.T) {
	inNamespaces(t, func(w *world) {
		sh(w, `ip addr add 10.73.9.1/32 dev lo; ip addr add 10.73.0.9/24 dev near
			nft -f - <<-END
			table inet guard {
				counter invalid { }
				chain in { type filter hook input priority 0; ct state invalid counter name invalid drop; }
				chain out { type filter hook output priority 0; ct state invalid counter name invalid drop; }
				chain through { type filter hook forward priority 0; ct state invalid counter name invalid drop; }
			}
			table ip translate {
				chain post { type nat hook postrouting priority 100; ip saddr 10.73.9.1 snat to 10.73.0.9; }
			}
			END`)
		for _, from := range []netip.Addr{near4, netip.MustParseAddr("10.73.9.1")} {
			for _, lo := range []bool{false, true} {
				if lo {
					sh(w, "sysctl -qw net.ipv4.conf.lo.accept_local=1 net.ipv4.conf.lo.forwarding=1")
				} else {
					sh(w, "sysctl -qw net.ipv4.conf.lo.accept_local=0 net.ipv4.conf.lo.forwarding=0")
				}
				l, _ := open(w, SuperAuto)
				c := dial(w, l, from, w.listen(far4))
				if from == near4 {
					require.Equal(w, near4, c.kernel.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
				} else {
					require.Equal(w, "10.73.0.9", c.kernel.RemoteAddr().(*net.TCPAddr).IP.String())
				}
				bulk(w, c, pattern(256<<10))
				require.Equal(w, lo, l.Counters().SentSuper > 0, "%v, lo %v: %+v", from, lo, l.Counters())
				require.NoError(w, c.kernel.SetLinger(0))
				require.NoError(w, c.kernel.Close())
				require.True(w, c.in.next(w).Flags.Has(packet.RST))
			}
		}
		require.Contains(w, sh(w, "nft list counter inet guard invalid"), "packets 0 ")
		require.Zero(w, w.counter("TcpOutRsts"))
	})
}

// A way that swallows what it gets is left: the flow goes on with segments that fit the MTU.
func TestNamespaceSuperSegmentsAreLost(t *testing.T) {
	inNamespaces(t, func(w *world) {
		sh(w, `sysctl -qw net.ipv4.conf.lo.accept_local=1 net.ipv4.conf.lo.forwarding=1
			nft -f - <<-END
			table inet hole { chain through { type filter hook forward priority 0; drop; }
			}
			END`)
		l, _ := open(w, SuperLoopback)
		c := dial(w, l, near4, w.listen(far4))
		f := c.flow.(*flow)
		require.Eventually(w, func() bool { return c.flow.Super() > 0 }, 5*time.Second, time.Millisecond)
		data := pattern(4 * mss)
		for range maxFailures {
			require.Equal(w, probeSize, c.flow.Super())
			start := c.seq
			c.say(data, mss)
			require.Zero(w, c.flow.Super(), "one at a time")
			c.flow.Lost(start, true)
			c.seq = start
		}
		require.Zero(w, c.flow.Super())
		require.Equal(w, extapi.LinkCounters{Received: 1, Batches: 1, Sent: 2, SentSuper: 3, SentBytes: 3 * 4 * mss, SuperAbandoned: 1}, l.Counters())
		f.path.Store(nil) // no way any more, yet a super-segment: it is split
		c.say(data, mss)
		c.heard(data)
		require.Equal(w, uint64(1), l.Counters().Split)
		require.Equal(w, uint64(2+4), l.Counters().Sent)
	})
}

// ICMP errors come to the flow that they are about: a port that is refused, and an MTU further on.
func TestNamespaceICMPErrors(t *testing.T) {
	inNamespaces(t, func(w *world) {
		w.far(`sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
			ip link add beyond type veth peer name end; ip link set beyond mtu 1300 up; ip link set end up
			ip addr add 10.74.0.1/24 dev beyond; ip addr add fd74::1/64 dev beyond nodad
			nft -f - <<-END
			table inet refuse { chain in { type filter hook input priority 0; tcp dport 81 reject with icmpx port-unreachable; }
			}
			END`)
		sh(w, "ip route add 10.74.0.0/24 via 10.73.0.2; ip route add fd74::/64 via fd73::2")
		l, _ := open(w, SuperOff)
		for _, f := range families {
			in := newRecorder()
			refused, err := l.Connect(netip.AddrPortFrom(f.near, 0), netip.AddrPortFrom(f.far, 81), 0, in)
			require.NoError(w, err)
			syn := packet.Segment{Src: refused.Local(), Dst: refused.Remote(), Seq: 77, Flags: packet.SYN}
			send(w, l, syn)
			e := <-in.icmp
			require.Equal(w, packet.ICMPError{
				From: f.far, Trouble: packet.TroublePort, Type: e.Type, Code: e.Code, Src: syn.Src, Dst: syn.Dst, Seq: 77,
			}, e)
			refused.Close()

			beyond := netip.MustParseAddrPort("10.74.0.9:80")
			if f.near.Is6() {
				beyond = netip.MustParseAddrPort("[fd74::9]:80")
			}
			w.far("ip neigh replace " + beyond.Addr().String() + " lladdr 02:00:00:00:00:09 dev beyond")
			long, err := l.Connect(netip.AddrPortFrom(f.near, 0), beyond, 0, in)
			require.NoError(w, err)
			// The kernel must not let its own idea of the MTU, which such an error changes, stop the next one.
			for seq := range uint32(3) {
				send(w, l, packet.Segment{Src: long.Local(), Dst: beyond, Seq: seq, Flags: packet.ACK, Payload: make([]byte, 1400)})
				e := <-in.icmp
				require.Equal(w, packet.ICMPError{
					From: f.far, Trouble: packet.TroubleTooBig, Type: e.Type, Code: e.Code, MTU: 1300, Src: long.Local(), Dst: beyond, Seq: seq,
				}, e)
				time.Sleep(20 * time.Millisecond) // Linux limits their rate: a burst is allowed
			}
			long.Close()
		}
		require.Equal(w, uint64(8), l.Counters().ICMP)
	})
}

// What the host refuses is counted by its reason, and what stands behind it in the batch leaves.
func TestNamespaceSendErrors(t *testing.T) {
	inNamespaces(t, func(w *world) {
		sh(w, `nft -f - <<-END
			table inet refuse { chain out { type filter hook output priority 0; tcp dport 82 drop; }
			}
			END`)
		l, _ := open(w, SuperOff)
		in := newRecorder()
		flow, err := l.Connect(netip.AddrPortFrom(near4, 0), netip.AddrPortFrom(far4, 80), 0, in)
		require.NoError(w, err)
		ack := packet.Segment{Src: flow.Local(), Dst: flow.Remote(), Flags: packet.ACK}
		refused, long, nowhere, foreign, huge := ack, ack, ack, ack, ack
		refused.Dst = netip.AddrPortFrom(far4, 82)
		long.Payload = make([]byte, 1500)
		nowhere.Dst = netip.MustParseAddrPort("192.0.2.1:80")
		foreign.Src = netip.AddrPortFrom(near4, 1)
		huge.Payload = make([]byte, 1<<16)
		n, err := l.Send([]packet.Segment{ack, refused, ack, long, nowhere, foreign, huge, ack})
		require.Equal(w, 3, n)
		require.ErrorIs(w, err, syscall.EPERM)
		c := l.Counters()
		require.Equal(w, extapi.LinkCounters{Sent: 3, NotPermitted: 1, TooLong: 2, Unreachable: 1, NotHeld: 1}, extapi.LinkCounters{
			Sent: c.Sent, NotPermitted: c.NotPermitted, TooLong: c.TooLong, Unreachable: c.Unreachable, NotHeld: c.NotHeld, SendErrors: c.SendErrors,
		})
		for range 3 { // the far end has no such connection
			require.True(w, in.next(w).Flags.Has(packet.RST))
		}
		_, err = l.Send([]packet.Segment{foreign})
		require.ErrorIs(w, err, link.ErrNotHeld)

		sh(w, "ip link set near down")
		n, err = l.Send([]packet.Segment{ack, ack})
		require.Zero(w, n)
		require.ErrorIs(w, err, syscall.ENETUNREACH)
		sh(w, "ip link set near up")
		require.Eventually(w, func() bool {
			n, _ := l.Send([]packet.Segment{ack})
			return n == 1
		}, 5*time.Second, 10*time.Millisecond)
	})
}

// clog sends over a slow device until its queue is full. left is how many segments have left, the last ones of batch
// without those from full.At on.
func clog(w *world, l *Link, super bool) (batch []packet.Segment, left int, full *link.FullError) {
	w.Helper()
	sh(w, "tc qdisc add dev near root tbf rate 8kbit burst 1600 limit 100000000")
	flow, err := l.Connect(netip.AddrPortFrom(near4, 0), netip.AddrPortFrom(far4, 80), 0, new(tallying)) // RSTs come
	require.NoError(w, err)
	s := packet.Segment{Src: flow.Local(), Dst: flow.Remote(), Flags: packet.ACK, Payload: make([]byte, mss)}
	if super {
		_, err := l.Send([]packet.Segment{s}) // which finds out the neighbour's address
		require.NoError(w, err)
		require.Eventually(w, func() bool { return flow.Super() > 0 }, 10*time.Second, time.Millisecond)
		s.Payload, s.SegSize = make([]byte, 10*mss), mss
	}
	batch = slices.Repeat([]packet.Segment{s}, 200)
	for range 100 {
		n, err := l.Send(batch)
		left += n
		if errors.As(err, &full) {
			require.Equal(w, n, full.At)
			return batch, left, full
		}
		require.NoError(w, err)
	}
	require.Fail(w, "the queue has no end")
	return
}

// A full queue on this host ends a batch, and the stack hears when there is room again: nothing is lost.
func TestNamespaceQueueFull(t *testing.T) {
	inNamespaces(t, func(w *world) { queueFull(w, false) })
}

func TestNamespaceQueueFullOfSuperSegments(t *testing.T) {
	inNamespaces(t, func(w *world) { queueFull(w, true) })
}

func queueFull(w *world, super bool) {
	l, stack := open(w, SuperAuto)
	batch, left, full := clog(w, l, super)
	_, err := l.Send(batch[full.At:])
	require.ErrorAs(w, err, &full)
	require.Zero(w, full.At)
	c := l.Counters()
	want := extapi.LinkCounters{Sent: uint64(left), Full: 2}
	if super {
		want = extapi.LinkCounters{Sent: 1, SentSuper: uint64(left), Full: 2}
	}
	require.Equal(w, want, extapi.LinkCounters{Sent: c.Sent, SentSuper: c.SentSuper, Full: c.Full, NoBuffers: c.NoBuffers})
	require.Empty(w, stack.writable)

	sh(w, "tc qdisc change dev near root tbf rate 1gbit burst 100000 limit 100000000")
	select {
	case <-stack.writable:
	case <-time.After(10 * time.Second):
		require.Fail(w, "no word of room")
	}
	require.Eventually(w, func() bool {
		n, err := l.Send(batch)
		return n == len(batch) && err == nil
	}, 5*time.Second, 10*time.Millisecond)
}

// The link is closed while somebody waits for room: nobody is left behind.
func TestNamespaceCloseWhileFull(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, _ := open(w, SuperAuto) // the test's end closes it
		clog(w, l, false)
	})
}

func TestNamespaceCloseWhileFullOfSuperSegments(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, _ := open(w, SuperAuto)
		clog(w, l, true)
	})
}

// The way to an address, with its source and MTU, and word of every change of it.
func TestNamespaceRoutes(t *testing.T) {
	inNamespaces(t, func(w *world) {
		l, stack := open(w, SuperOff)
		for _, f := range families {
			r, err := l.Route(netip.Addr{}, f.far, "")
			require.NoError(w, err)
			require.Equal(w, link.Route{Source: f.near, IfIndex: r.IfIndex, Interface: "near", MTU: 1500}, r)
			require.Positive(w, r.IfIndex)
			same, err := l.Route(f.near, f.far, "near")
			require.NoError(w, err)
			require.Equal(w, r, same)
			own, err := l.Route(netip.Addr{}, f.near, "")
			require.NoError(w, err)
			require.Equal(w, link.Route{Source: f.near, IfIndex: 1, Interface: "lo", MTU: 65536, Local: true}, own)
			_, err = l.Route(netip.Addr{}, f.far, "none")
			require.Error(w, err)
		}
		_, err := l.Route(netip.Addr{}, netip.MustParseAddr("192.0.2.1"), "")
		require.ErrorIs(w, err, syscall.ENETUNREACH)

		changed := func(script string) {
			w.Helper()
			for len(stack.changed) > 0 {
				<-stack.changed
			}
			sh(w, script)
			select {
			case <-stack.changed:
			case <-time.After(5 * time.Second):
				require.Fail(w, "no word of it", script)
			}
		}
		becomes := func(remote netip.Addr, mtu int) { // the word may have been of an older change
			w.Helper()
			require.Eventually(w, func() bool {
				r, err := l.Route(netip.Addr{}, remote, "")
				return err == nil && r.MTU == mtu && r.Source == near4
			}, 5*time.Second, time.Millisecond)
		}
		changed("ip link set near mtu 1400")
		becomes(far4, 1400)
		changed("ip route add 192.0.2.0/24 via 10.73.0.2 mtu 1350")
		becomes(netip.MustParseAddr("192.0.2.1"), 1350)
		changed("ip addr add 10.73.7.1/24 dev near")
		changed("ip route add unreachable 198.51.100.0/24")
		_, err = l.Route(netip.Addr{}, netip.MustParseAddr("198.51.100.1"), "")
		require.Error(w, err)
	})
}

// Two ways to one address. Packets take the one that policy routing has for their source, or that of the
// interface that the segment names, whatever their source.
func TestNamespaceSourceRouting(t *testing.T) {
	inNamespaces(t, func(w *world) {
		sh(w, `ip link add near2 type veth peer name far2 netns `+w.peer+`
			ip addr add 10.75.0.1/24 dev near2; ip link set near2 up
			ip addr add fd75::1/64 dev near2 nodad
			ip route add 10.76.0.1/32 via 10.73.0.2; ip route add 10.76.0.1/32 via 10.75.0.2 metric 9
			ip route add fd76::1/128 via fd73::2 metric 8; ip route add fd76::1/128 via fd75::2 metric 9
			ip rule add from 10.75.0.1 table 75; ip route add default via 10.75.0.2 table 75
			ip -6 rule add from fd75::1 table 75; ip -6 route add default via fd75::2 table 75`)
		w.far(`ip addr add 10.75.0.2/24 dev far2; ip addr add fd75::2/64 dev far2 nodad; ip link set far2 up
			ip addr add 10.76.0.1/32 dev lo; ip addr add fd76::1/128 dev lo
			nft -f - <<-END
			table inet tally { chain in { type filter hook prerouting priority 0;
				iifname far tcp dport 4000 counter comment "far"; iifname far2 tcp dport 4000 counter comment "far2"; }
			}
			END`)
		l, _ := open(w, SuperOff)
		second, err := l.Route(netip.MustParseAddr("10.75.0.1"), netip.MustParseAddr("10.76.0.1"), "")
		require.NoError(w, err)
		require.Equal(w, "near2", second.Interface, "policy routing goes by the source")
		pinned, err := l.Route(near6, netip.MustParseAddr("fd76::1"), "near2")
		require.NoError(w, err)
		require.Equal(w, link.Route{Source: near6, IfIndex: second.IfIndex, Interface: "near2", MTU: 1500}, pinned)
		first, err := l.Route(netip.Addr{}, netip.MustParseAddr("10.76.0.1"), "near")
		require.NoError(w, err)
		for _, tc := range []struct {
			from, to string
			ifIndex  int
			want     string
		}{
			{"10.73.0.1", "10.76.0.1", 0, "far"},
			{"10.75.0.1", "10.76.0.1", 0, "far2"},
			{"10.73.0.1", "10.76.0.1", second.IfIndex, "far2"},
			{"10.75.0.1", "10.76.0.1", second.IfIndex, "far2"},
			{"fd73::1", "fd76::1", 0, "far"},
			{"fd75::1", "fd76::1", 0, "far2"},
			{"fd73::1", "fd76::1", second.IfIndex, "far2"},
			{"fd73::1", "fd76::1", first.IfIndex, "far"},
		} {
			before := tally(w)
			to := netip.AddrPortFrom(netip.MustParseAddr(tc.to), 4000)
			f, err := l.Connect(netip.AddrPortFrom(netip.MustParseAddr(tc.from), 0), to, tc.ifIndex, newRecorder())
			require.NoError(w, err)
			send(w, l, packet.Segment{Src: f.Local(), Dst: to, Flags: packet.SYN, IfIndex: tc.ifIndex})
			require.Eventually(w, func() bool {
				after := tally(w)
				return after[tc.want] == before[tc.want]+1 && after["far"]+after["far2"] == before["far"]+before["far2"]+1
			}, 5*time.Second, 10*time.Millisecond, "%+v", tc)
			f.Close()
		}
	})
}

// tally reads how many packets have come in by each interface of the other namespace.
func tally(w *world) map[string]int {
	n := map[string]int{}
	for _, line := range strings.Split(w.far("nft list table inet tally"), "\n") {
		if _, after, ok := strings.Cut(line, "counter packets "); ok {
			var iface string
			var packets, bytes int
			_, err := fmt.Sscanf(strings.NewReplacer("bytes", "", "comment", "").Replace(after), "%d %d %q", &packets, &bytes, &iface)
			require.NoError(w, err, line)
			n[iface] = packets
		}
	}
	return n
}

// runAs runs the test binary in a role, as the last words of a command, and returns the first line that it says.
func runAs(w *world, role string, command ...string) string {
	w.Helper()
	cmd := exec.Command(command[0], append(command[1:], os.Args[0])...)
	cmd.Env = append(os.Environ(), roleEnv+"="+role)
	out, err := cmd.StdoutPipe()
	require.NoError(w, err)
	require.NoError(w, cmd.Start())
	line, _ := bufio.NewReader(out).ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	return strings.TrimSpace(line)
}

// CAP_NET_RAW is enough, to hold ports as well as to talk; without it, the error says what to do. Inside a user
// namespace of one's own nothing is needed at all.
func TestNamespaceCapabilities(t *testing.T) {
	inNamespaces(t, func(w *world) {
		with := func(caps string) []string {
			return []string{
				"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=" + caps, "--ambient-caps=" + caps, "--bounding-set=" + caps,
			}
		}
		copyTo(w)
		require.Equal(w, "holds 10.73.0.1:5005", runAs(w, "hold 10.73.0.1:5005", with("-all,+net_raw")...))
		nl := w.listen(far4)
		require.Equal(w, "said hello", runAs(w, "dial 10.73.0.1 "+nl.Addr().String(), with("-all,+net_raw")...))
		nc, err := nl.Accept()
		require.NoError(w, err)
		got, err := io.ReadAll(nc)
		require.NoError(w, err)
		require.Equal(w, "hello", string(got))
		require.NoError(w, nc.Close())

		require.Contains(w, runAs(w, "hold 10.73.0.1:5005", with("-all")...), "setcap cap_net_raw+ep")
		require.ErrorIs(w, ErrPermission, os.ErrPermission)
		require.NoError(w, Available())
		nobody := []string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "unshare", "-Ur", "-n", "sh", "-c", `ip link set lo up && exec "$0"`}
		if out, err := exec.Command(nobody[0], append(nobody[1:7:7], "true")...).CombinedOutput(); err != nil {
			w.Logf("no user namespaces here: %s", out)
			return
		}
		require.Equal(w, "holds 127.0.0.1:5005", runAs(w, "hold 127.0.0.1:5005", nobody...))
	})
}

// copyTo lets everybody execute the test binary: it lies in a directory of root's.
func copyTo(w *world) {
	b, err := os.ReadFile(os.Args[0])
	require.NoError(w, err)
	dir, err := os.MkdirTemp("", "rawip")
	require.NoError(w, err)
	w.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(w, os.Chmod(dir, 0o755))
	os.Args[0] = dir + "/program"
	require.NoError(w, os.WriteFile(os.Args[0], b, 0o755))
}

// Neither Close nor a violent end leaves anything behind: the port is the kernel's again, which answers with a
// RST, and can be listened on.
func TestNamespaceNothingIsLeft(t *testing.T) {
	inNamespaces(t, func(w *world) {
		at := netip.AddrPortFrom(near4, 5006)
		sockets := func() string { return sh(w, "ss -tlnH; ss -wnaH; cat /proc/net/packet | tail -n +2") }
		empty := sockets()
		check := func() {
			w.Helper()
			require.Eventually(w, func() bool { return sockets() == empty }, 5*time.Second, 10*time.Millisecond, "%s", sockets())
			nl, err := net.Listen("tcp", at.String())
			require.NoError(w, err)
			require.NoError(w, nl.Close())
		}
		l, _ := open(w, SuperAuto)
		_, err := l.Listen(at, newRecorder())
		require.NoError(w, err)
		_, err = l.Connect(netip.AddrPortFrom(near6, 0), netip.AddrPortFrom(far6, 1), 0, newRecorder())
		require.NoError(w, err)
		require.NotEqual(w, empty, sockets())
		_, err = net.Listen("tcp", at.String())
		require.ErrorIs(w, err, syscall.EADDRINUSE)
		require.NoError(w, l.Close())
		require.NoError(w, l.Close(), "twice")
		check()
		_, err = l.Listen(at, newRecorder())
		require.ErrorIs(w, err, link.ErrClosed)
		_, err = l.Send([]packet.Segment{{Src: at, Dst: netip.AddrPortFrom(far4, 1)}})
		require.Error(w, err)
		_, err = l.Route(netip.Addr{}, far4, "")
		require.ErrorIs(w, err, link.ErrClosed)

		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), roleEnv+"=hold "+at.String())
		out, err := cmd.StdoutPipe()
		require.NoError(w, err)
		require.NoError(w, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		require.NoError(w, err)
		require.Equal(w, "holds 10.73.0.1:5006\n", line)
		require.NotEqual(w, empty, sockets())
		require.NoError(w, cmd.Process.Signal(syscall.SIGKILL))
		cmd.Wait()
		check()
	})
}
