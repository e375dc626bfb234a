package wire

import (
	"slices"

	"github.com/mptcp-go/mptcp/internal/pool"
	"github.com/mptcp-go/mptcp/options"
)

// received is what the Multipath TCP options of one segment say. Of several of one kind the first counts;
// what is malformed counts as absent.
type received struct {
	capable  options.MPCapable
	join     options.MPJoin
	dss      options.DSS
	rst      options.TCPRst
	fast     options.Fastclose
	signals  []options.Option // ADD_ADDR, REMOVE_ADDR, MP_PRIO, MP_FAIL
	scale    uint8            // TCP's window scale option
	hasScale bool

	hasCapable, hasJoin, hasDSS, hasRst, hasFast bool
}

var receiveds pool.Free[received]

// read makes room for what the options of a segment say, until forget. An idle flow has none.
func (f *Flow) read() { f.got = receiveds.Get() }

func (f *Flow) forget() {
	clear(f.got.signals)
	receiveds.Put(f.got)
	f.got = nil
}

// maxSignals bounds what one header can hold anyway.
const maxSignals = 8

// any says whether anything of Multipath TCP was there.
func (r *received) any() bool {
	return r.hasCapable || r.hasJoin || r.hasDSS || r.hasRst || r.hasFast || len(r.signals) > 0
}

// parse reads an option area.
func (r *received) parse(b []byte) {
	r.hasCapable, r.hasJoin, r.hasDSS, r.hasRst, r.hasFast, r.hasScale = false, false, false, false, false, false
	clear(r.signals)
	r.signals = r.signals[:0]
	for len(b) > 0 {
		o, rest, err := options.Next(b)
		if err != nil || len(o) == 0 {
			return // where one length is wrong, nothing after it can be found
		}
		b = rest
		switch o.Kind() {
		case options.Kind:
			r.take(o)
		case options.KindWindowScale:
			if len(o) == 3 {
				r.scale, r.hasScale = min(o[2], maxScale), true
			}
		}
	}
}

// maxScale: "If a Window Scale option is received with a shift.cnt value larger than 14, the TCP SHOULD
// log the error but MUST use 14 instead of the specified value" (RFC 7323 section 2.3).
const maxScale = 14

func (r *received) take(o options.Raw) {
	sub, ok := o.Subtype()
	if !ok {
		return
	}
	var err error
	switch sub {
	case options.SubDSS:
		if !r.hasDSS {
			r.dss, err = options.ParseDSS(o)
			r.hasDSS = err == nil
		}
	case options.SubMPCapable:
		if !r.hasCapable {
			r.capable, err = options.ParseMPCapable(o)
			r.hasCapable = err == nil
		}
	case options.SubMPJoin:
		if !r.hasJoin {
			r.join, err = options.ParseMPJoin(o)
			r.hasJoin = err == nil
		}
	case options.SubTCPRst:
		if !r.hasRst {
			r.rst, err = options.ParseTCPRst(o)
			r.hasRst = err == nil
		}
	case options.SubFastclose:
		if !r.hasFast {
			r.fast, err = options.ParseFastclose(o)
			r.hasFast = err == nil
		}
	case options.SubAddAddr, options.SubRemoveAddr, options.SubMPPrio, options.SubMPFail:
		if s, err := options.Decode(o); err == nil && len(r.signals) < maxSignals {
			r.signals = append(r.signals, s)
		}
	}
}

// addAddr says whether an ADD_ADDR was there, which only a peer with both keys sends.
func (r *received) addAddr() bool {
	for _, s := range r.signals {
		if a, ok := s.(options.AddAddr); ok && !a.Echo {
			return true
		}
	}
	return false
}

// dropFail takes MP_FAIL away and says whether it was there.
func (r *received) dropFail() bool {
	n := len(r.signals)
	r.signals = slices.DeleteFunc(r.signals, func(s options.Option) bool {
		_, fail := s.(options.MPFail)
		return fail
	})
	return len(r.signals) < n
}
