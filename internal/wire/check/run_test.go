package check

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/internal/onpath"
	"github.com/mptcp-go/mptcp/internal/wire/packet"
	"github.com/mptcp-go/mptcp/options"
)

// remarkable are the findings that are not OK, by what was checked.
func remarkable(list []Finding) map[string]Finding {
	m := map[string]Finding{}
	for _, f := range list {
		if f.Status != OK {
			m[f.Check] = f
		}
	}
	return m
}

// want is a finding that is expected, with a piece of what it says.
type want struct {
	check  string
	status Status
	says   string
}

// requireFindings checks that list holds exactly these findings that are Failed or Note, and says what to do about each failure.
// Untested ones count where they are named.
func requireFindings(t *testing.T, list []Finding, wanted []want) {
	t.Helper()
	got := remarkable(list)
	for _, w := range wanted {
		f, ok := got[w.check]
		require.True(t, ok, "%s is ok; all: %+v", w.check, list)
		require.Equal(t, w.status, f.Status, "%+v", f)
		require.Contains(t, f.Says, w.says)
		if w.status == Failed {
			require.NotEmpty(t, f.Do, "%+v", f)
		}
		delete(got, w.check)
	}
	for _, f := range got {
		require.Equal(t, Untested, f.Status, "%+v", f)
	}
}

func named(t *testing.T, spec string) onpath.Element {
	t.Helper()
	e, err := onpath.Named(spec, rand.NewChaCha8([32]byte{1}))
	require.NoError(t, err)
	return e
}

// What comes through a path without boxes, with a request and without, and with servers of several kinds.
func TestServers(t *testing.T) {
	for _, tc := range []struct {
		name     string
		peer     *peer
		talk     func(net.Conn) error
		untested []string
		wanted   []want
	}{
		{"request", &peer{}, ask, nil, nil},
		{"nothing sent", &peer{}, nil, []string{CheckFromPeer, CheckChecksum, CheckNumbers}, nil},
		{"no answer", &peer{silent: true}, ask, []string{CheckFromPeer}, nil},
		{"flag C", &peer{noJoins: true}, ask, nil, []want{{CheckJoin, Note, "the server wants no joins"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list := examine(t, tc.peer, tc.talk).Verdict(false)
			requireFindings(t, list, tc.wanted)
			for _, c := range tc.untested {
				require.Equal(t, Untested, remarkable(list)[c].Status, "%s: %+v", c, list)
			}
			if len(tc.untested) == 0 && tc.wanted == nil {
				require.Len(t, list, 12)
				require.Empty(t, remarkable(list))
			}
			requests := 0
			if tc.talk != nil {
				requests = 2 // one over plain TCP, one over MPTCP
			}
			require.Equal(t, requests, tc.peer.requests)
		})
	}
}

// mptcpData are segments with payload and MPTCP options.
var mptcpData = onpath.And(onpath.IsData, onpath.Carries(onpath.MPTCP))

func subtype(s options.Subtype) onpath.Option { return onpath.OfSubtype(s) }

// stranger leads joins to a port where nobody knows them.
func stranger(to netip.AddrPort) onpath.Element {
	return onpath.Balance(func(syn *packet.Segment) netip.AddrPort {
		for b := syn.Options; len(b) > 0; {
			o, rest, err := options.Next(b)
			if err != nil || len(o) == 0 {
				break
			}
			if s, ok := o.Subtype(); ok && s == options.SubMPJoin {
				return to
			}
			b = rest
		}
		return netip.AddrPort{}
	})
}

// Every kind of box of the torture table that can be seen from outside is named, and those that do no harm are not blamed.
// The comment is the box's number there.
func TestBoxes(t *testing.T) {
	const (
		stripped = "our data is acknowledged without DATA_ACK"
		bare     = "comes without DSS"
	)
	join := subtype(options.SubMPJoin)
	off := []want{{CheckData, Failed, stripped}, {CheckFromPeer, Failed, bare}}
	for name, tc := range map[string]struct {
		box    onpath.Element
		wanted []want
	}{
		// M1, M2, M4
		"strip SYN":        {named(t, "strip=syn"), []want{{CheckSYN, Failed, "does not speak MPTCP, or a box on the way takes MP_CAPABLE off"}}},
		"strip SYN/ACK":    {named(t, "strip=synack"), []want{{CheckSYNACK, Failed, "the server refuses a join for a connection that it does not know"}}},
		"drop SYN":         {named(t, "drop-mptcp=syn"), []want{{CheckSYN, Failed, "2 SYNs with MP_CAPABLE got lost"}}},
		"drop SYN/ACK":     {named(t, "drop-mptcp=synack"), []want{{CheckSYN, Failed, "nothing answers SYNs with MP_CAPABLE"}}},
		"reject SYN":       {named(t, "reject-mptcp=syn"), []want{{CheckSYN, Failed, "are answered with a reset"}}},
		"damage SYN/ACK":   {named(t, "bad-option=synack"), []want{{CheckSYNACK, Failed, "malformed"}}},
		"strip MP_CAPABLE": {onpath.Strip(onpath.IsSYN, subtype(options.SubMPCapable)), []want{{CheckSYNACK, Failed, "a box takes the option off"}}},
		// M3, M6, M8, M9, M16
		"strip third":     {named(t, "strip=third"), off},
		"strip all":       {named(t, "strip=nosyn"), off},
		"strip back":      {named(t, "back:strip=nosyn"), off},
		"blank all":       {named(t, "blank=nosyn"), off},
		"impossible":      {named(t, "bad-option=nosyn"), off},
		"drop data":       {named(t, "drop-mptcp=data"), []want{{CheckData, Failed, "not acknowledged at all"}}},
		"reject data":     {named(t, "reject-mptcp=data"), []want{{CheckData, Failed, "was reset when data with MPTCP options came"}, {CheckAnswers, Failed, "gives no reason"}}},
		"split proxy":     {named(t, "split-proxy"), off},
		"forged reset":    {onpath.Reset(onpath.And(mptcpData, onpath.Going(onpath.Back), onpath.Nth(1)), false, 0), []want{{CheckAnswers, Failed, "a firewall may have sent it"}}},
		"strip back data": {onpath.Strip(onpath.And(onpath.IsData, onpath.Going(onpath.Back)), onpath.MPTCP), []want{{CheckFromPeer, Failed, bare}}},
		// M5, M7, M34
		"drop joins":          {named(t, "drop-join"), []want{{CheckJoin, Failed, "SYNs with MP_JOIN got lost"}}},
		"strip joins":         {onpath.Strip(onpath.HasSYN, join), []want{{CheckJoin, Failed, "comes without MP_JOIN"}}},
		"strip the third":     {onpath.Strip(onpath.NoSYN, join), []want{{CheckJoin, Failed, "the third message of a join was answered with a reset"}}},
		"reject joins":        {onpath.Answer(onpath.And(onpath.HasSYN, onpath.Carries(join))), []want{{CheckJoin, Failed, "a reset that gives no reason"}}},
		"balance joins":       {stranger(other), []want{{CheckJoin, Failed, "a balancer leads it to another server"}}},
		"garble join answers": {onpath.EditOptions(onpath.IsSYNACK, join, onpath.Blank), []want{{CheckJoin, Failed, "comes without MP_JOIN"}}},
		// M29
		"strip ADD_ADDR": {named(t, "strip-add-addr"), []want{{CheckAddAddr, Failed, "ADD_ADDR was sent 3 times and not echoed"}}},
		// M12, M15, M19, M23, M25
		"SACK left as it was": {onpath.Renumber{Forward: 1 << 31, Back: 1 << 31, LeaveSACK: true}.Element(), []want{{CheckNumbers, Failed, "forgets SACK"}}},
		"strip SACK blocks":   {named(t, "strip-kind=5"), []want{{CheckNumbers, Note, "a box takes SACK off"}}},
		"no holes":            {named(t, "no-holes"), []want{{CheckNumbers, Note, "nothing tells of data behind a gap"}}},
		"early ACK":           {named(t, "early-ack"), []want{{CheckAnswers, Failed, "a proxy acknowledges data before the server has it"}}},
		"strip window scale":  {named(t, "strip-kind=3"), []want{{CheckOptions, Note, "without window scaling"}}},
		"strip SACK":          {named(t, "strip-kind=4"), []want{{CheckOptions, Note, "without SACK"}}},
		"strip timestamps":    {named(t, "strip-kind=8"), []want{{CheckOptions, Note, "without timestamps"}}},
		"SYN proxy": {named(t, "syn-proxy"), []want{{CheckSYN, Failed, "a proxy that answers SYNs in the server's name"},
			{CheckOptions, Note, "without timestamps, SACK, window scaling"}, {CheckNumbers, Note, "nothing tells of data behind a gap"}}},
		// M17, M18
		"flip forward": {onpath.Flip(onpath.And(mptcpData, onpath.Going(onpath.Forward))), []want{{CheckChecksum, Failed, "our payload changes"}, {CheckData, Note, "fell back"}}},
		"flip back":    {onpath.Flip(onpath.And(mptcpData, onpath.Going(onpath.Back))), []want{{CheckChecksum, Failed, "the server's payload changes"}}},
		"longer":       {&onpath.ALG{Old: []byte("some"), New: []byte("another")}, []want{{CheckChecksum, Failed, "our payload changes"}, {CheckData, Note, "fell back"}}},
		// Long headers.
		"drop long SYNs": {onpath.Drop(onpath.And(onpath.IsSYN, longHeader)), []want{{CheckLong, Failed, "SYNs with 40 bytes of options get lost"}}},
		// No TCP at all.
		"closed":     {onpath.Answer(onpath.IsSYN), []want{{CheckTCP, Failed, "is refused"}}},
		"swallowing": {&onpath.Blackhole{On: true}, []want{{CheckTCP, Failed, "nothing answers"}}},
		// Without harm: M10, M12, M13, M14, M20, M21, M22, M27, M33.
		"NAT":           {named(t, "nat=192.0.2.77"), nil},
		"renumber":      {named(t, "renumber"), nil},
		"split":         {named(t, "split=10"), nil},
		"split, first":  {named(t, "split-first=10"), nil},
		"split, last":   {named(t, "split-last=10"), nil},
		"coalesce":      {named(t, "coalesce=3000"), nil},
		"normalize":     {named(t, "normalize"), nil},
		"thin ACKs":     {named(t, "thin-acks=2"), []want{{CheckNumbers, Note, "or it drops the acknowledgments"}}},
		"unseen ACKs":   {named(t, "unseen-acks"), nil},
		"small window":  {named(t, "window=3000"), nil},
		"bleach":        {named(t, "bleach-ecn"), nil},
		"options twice": {named(t, "twice=all"), nil},
		"duplicates":    {onpath.Duplicate(onpath.Any, 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := examine(t, &peer{}, ask, tc.box)
			requireFindings(t, f.Verdict(false), tc.wanted)
		})
	}
}

// longHeader are segments with more than 32 bytes of options: longer than a join's SYN.
var longHeader onpath.Match = func(p []byte, _ onpath.Dir) bool {
	s, err := packet.Parse(p)
	return err == nil && len(s.Options) > 32
}

// What another path has shown tells a box from a server that does not speak MPTCP.
func TestAnotherPathTells(t *testing.T) {
	f := examine(t, &peer{}, ask, named(t, "strip=syn"))
	requireFindings(t, f.Verdict(true), []want{{CheckSYN, Failed, "while the server speaks MPTCP over another path"}})
}
