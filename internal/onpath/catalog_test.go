package onpath

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/wire/packet"
)

// arguments are good ones for each kind of argument.
var arguments = map[string]string{
	"": "", "WHICH": "=nosyn", "N": "=2", "BYTES": "=300", "P": "=0.5", "ADDR": "=192.0.2.1", "OLD/NEW": "=abc/de",
}

func everyElement(t testing.TB) (list []Element) {
	for i, c := range Catalog {
		e, err := Named(c.Name+arguments[c.Arg], random(uint64(i)))
		require.NoError(t, err, c.Name)
		list = append(list, e)
	}
	return append(list,
		NewLink(LinkConfig{Rate: 1e6, Delay: 3 * time.Millisecond, Jitter: time.Millisecond, Mark: 1}, random(1)),
		Loss(0.1, random(2)), &Bursts{ToBad: 0.1, ToGood: 0.1, LossBad: 0.5, Random: random(3)},
		&Reorder{Probability: 0.3, By: time.Millisecond, Random: random(4)}, &Swap{Which: Sometimes(0.3, random(5)), After: 2, Wait: time.Second},
		Corrupt(Sometimes(0.3, random(6)), random(7)), Duplicate(Any, 1), ChecksumZero, ChecksumPartial,
		&NAT{Public: near.Addr(), Idle: time.Millisecond, Reset: true}, SYNData(1), Urgent(Any), Finish(Any, true),
		Balance(func(*packet.Segment) netip.AddrPort { return far }),
	)
}

func TestEveryNamedElementWorks(t *testing.T) {
	in := captured(t, "02-join-client.pcap")
	names := map[string]bool{}
	for _, c := range Catalog {
		require.False(t, names[c.Name], "twice")
		names[c.Name] = true
		require.NotEmpty(t, c.Help)
		e, err := Named(c.Name+arguments[c.Arg], random(1))
		require.NoError(t, err)
		through(e, in)
		limited, err := Named("back:"+c.Name+arguments[c.Arg], random(1))
		require.NoError(t, err)
		for _, k := range in {
			if k.d == Forward {
				require.Equal(t, []travelling{k}, through(limited, []travelling{k}), c.Name)
			}
		}
	}
}

func TestNamesSayWhatIsWrong(t *testing.T) {
	for spec, want := range map[string]string{
		"nonsense": `no element is called "nonsense"`, "split": "split=BYTES", "split=x": `"x" is no number`, "split=-1": "no number",
		"no-holes=3": "is written no-holes", "strip=maybe": "none of syn, synack", "nat=here": "no address", "alg=/x": "no text",
		"mark-ecn=2": "no probability", "mark-ecn=NaN": "no probability", "back:split": "split=BYTES", "sideways:split=3": "no element",
	} {
		_, err := Named(spec, nil)
		require.ErrorContains(t, err, want, spec)
	}
	e, err := Named("strip=syn", nil)
	require.NoError(t, err)
	in := captured(t, "01-handshake-v4.pcap")
	require.Zero(t, countMPTCP(t, through(e, in), IsSYN))
	require.True(t, strings.Contains(Catalog[0].Usage(), "=WHICH"))
}

// FuzzElements feeds every element whatever comes: nothing panics, nothing grows without bound.
func FuzzElements(f *testing.F) {
	for _, file := range everyCapture(f) {
		in := captured(f, file)
		for i := 0; i < len(in); i += 9 {
			f.Add(in[i].p, uint16(i), byte(i))
		}
	}
	f.Add([]byte{}, uint16(0), byte(0))
	f.Add([]byte{0x45}, uint16(0), byte(0))
	f.Add([]byte{0x60, 39: 0}, uint16(0), byte(0))
	f.Fuzz(func(t *testing.T, p []byte, cut uint16, flip byte) {
		if len(p) > packet.MaxPacket {
			return
		}
		other := bytes.Clone(p)
		if len(p) > 0 {
			other[int(cut)%len(p)] ^= flip
		}
		in := []travelling{{p, Forward}, {p, Back}, {other, Forward}, {other[:int(cut)%(len(p)+1)], Back}, {p, Forward}, {other, Back}}
		for _, e := range everyElement(t) {
			out := through(e, in)
			require.LessOrEqual(t, len(out), len(in)*(maxPieces+pepTries+2))
		}
	})
}

// What is right goes in, what is right comes out, but for elements that are about wrong checksums.
func TestElementsKeepChecksumsRight(t *testing.T) {
	for _, file := range everyCapture(t) {
		in := captured(t, file)
		for i, e := range everyElement(t) {
			name := ""
			if i < len(Catalog) {
				name = Catalog[i].Name
			}
			if _, bad := e.(Checksum); bad || name == "bad-checksum" || i == len(Catalog)+5 {
				continue
			}
			for _, k := range through(e, in) {
				if _, ok := locate(k.p); ok {
					require.True(t, rightSums(k.p), "%s: element %d %s", file, i, name)
				}
			}
		}
	}
}

func BenchmarkChain(b *testing.B) {
	c := NewChain(NewLink(LinkConfig{Rate: 1e9, Delay: time.Millisecond}, nil), Loss(0.001, random(1)), Renumber{Forward: 1}.Element())
	k := made(b, Forward, packet.Segment{Flags: packet.ACK, Payload: make([]byte, 1440)})
	emit := func([]byte, Dir) {}
	b.SetBytes(int64(len(k.p)))
	b.ReportAllocs()
	now := time.Duration(0)
	for b.Loop() {
		now += 2 * time.Microsecond
		c.Tick(now, emit)
		c.Process(now, k.p, Forward, emit)
	}
}
