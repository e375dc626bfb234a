package wire

import (
	"time"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
)

// fastclose is option A of RFC 8684 section 3.5: "Host A sends an ACK containing the MP_FASTCLOSE option on
// one subflow […] Host A now enters FASTCLOSE_WAIT state."
type fastclose struct {
	set     bool
	option  options.Fastclose
	waiting bool          // FASTCLOSE_WAIT
	again   time.Duration // when it is sent again; 0: never
	tries   int
}

// maxFastcloses: "the number of retransmissions SHOULD be limited; this limit is implementation specific.
// A RECOMMENDED number is 3."
const maxFastcloses = 3

// fastclose enters FASTCLOSE_WAIT.
func (f *Flow) fastclose(now time.Duration) {
	f.in.drop()
	f.hs.again, f.sig.again = 0, 0
	f.fc.waiting = true
	f.fc.again = now + f.rto()
	f.c.AckNow(now)
}

// fastcloseTimeout: "If Host A does not receive a TCP RST in reply to its MP_FASTCLOSE after one
// retransmission timeout (RTO) […] it SHOULD retransmit the MP_FASTCLOSE. […] If no TCP RST is received in
// response, Host A SHOULD send a TCP RST with the MP_FASTCLOSE option itself when it releases state".
func (f *Flow) fastcloseTimeout(now time.Duration) {
	k := &f.fc
	if k.again == 0 || now < k.again {
		return
	}
	k.again = 0
	if k.tries++; k.tries > maxFastcloses {
		f.Abort(now, engine.ResetUnspecified)
		return
	}
	k.again = now + f.rto()<<k.tries
	f.c.AckNow(now)
}

// takeWhileClosing looks at a segment in FASTCLOSE_WAIT: "If Host A receives an MP_FASTCLOSE instead of a TCP
// RST, both hosts attempted fast closure simultaneously. Host A should reply with a TCP RST".
func (f *Flow) takeWhileClosing() {
	if f.got.hasFast {
		f.rst.doomed, f.rst.reason = true, engine.ResetUnspecified
	}
}
