package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/congestion"
)

// congestionState is the congestion control of a flow.
//
// It begins with the default's, and takes a controller of Config.Group in Attach: only then is the lock held that the
// group's other controllers run under, and until then nothing leaves that it would have to know of. The group is the
// program's: what panics there is its mistake, and the default takes over again.
type congestionState struct {
	c      congestion.Controller
	of     congestion.Group // that c is taken of; nil: the controller is Config.TCP's
	group  congestion.Group // that c is of; nil: c is the default's
	mss    int
	failed bool // the program's has panicked
	value  any  // what with, until the engine has been told
}

// byDefault is a controller of the default's for segments of up to mss bytes.
func byDefault(mss int) congestion.Controller {
	return congestion.Cubic.NewGroup().New(0, congestion.Subflow{MSS: mss})
}

// joinGroup takes a controller of the group.
func (f *Flow) joinGroup(now time.Duration) {
	if f.cc.of == nil {
		return
	}
	s := congestion.Subflow{MSS: f.c.Gauges().Perf.CurMSS, RTT: f.hs.result.RTT}
	f.cc.mss = s.MSS
	defer (*control)(f).rescue()
	f.cc.c, f.cc.group = f.cc.of.New(now, s), f.cc.of
}

// LeaveGroup tells the group that the flow is over. It runs under the lock of the flow's connection.
func (f *Flow) LeaveGroup() {
	g := f.cc.group
	if g == nil {
		return
	}
	c := f.cc.c
	f.cc.c, f.cc.group = byDefault(f.cc.mss), nil
	defer (*control)(f).rescue()
	g.Remove(c)
}

// tellOfPanic tells the engine what the program's congestion control has panicked with.
func (f *Flow) tellOfPanic() {
	if f.id != 0 && f.cc.value != nil {
		f.eng.CongestionFailed(f.id, f.cc.value)
		f.cc.value = nil
	}
}

// control is the face that a Flow shows to its tcp.Conn as a congestion controller.
type control Flow

var _ congestion.Controller = (*control)(nil)

// rescue is deferred around every call of the program's: after a panic the default takes its place.
func (k *control) rescue() {
	if v := recover(); v != nil {
		k.replace(v)
	}
}

func (k *control) replace(v any) {
	f := (*Flow)(k)
	first := !f.cc.failed
	f.cc.failed = true
	f.LeaveGroup()
	if first {
		f.congestion = congestion.Cubic.Name()
		f.cc.value = v
		f.tellOfPanic()
	}
}

func (k *control) OnSent(now congestion.Time, bytes, inFlight int64) {
	defer k.rescue()
	k.cc.c.OnSent(now, bytes, inFlight)
}

func (k *control) OnAck(now congestion.Time, a congestion.Ack) {
	defer k.rescue()
	k.cc.c.OnAck(now, a)
}

func (k *control) OnLoss(now congestion.Time, l congestion.Loss) {
	defer k.rescue()
	k.cc.c.OnLoss(now, l)
}

func (k *control) OnSpuriousLoss(now congestion.Time) {
	defer k.rescue()
	k.cc.c.OnSpuriousLoss(now)
}

func (k *control) OnMSS(mss int) {
	defer k.rescue()
	k.cc.mss = mss
	k.cc.c.OnMSS(mss)
}

func (k *control) Window() (bytes int64) {
	defer func() {
		if v := recover(); v != nil {
			k.replace(v)
			bytes = k.cc.c.Window()
		}
	}()
	return k.cc.c.Window()
}

func (k *control) PacingRate() int64 {
	defer k.rescue() // 0: not paced
	return k.cc.c.PacingRate()
}

func (k *control) Metrics() (m congestion.Metrics) {
	defer func() {
		if v := recover(); v != nil {
			k.replace(v)
			m = k.cc.c.Metrics()
		}
	}()
	return k.cc.c.Metrics()
}
