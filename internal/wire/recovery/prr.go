package recovery

// prr is Proportional Rate Reduction: RFC 6937, with the bound chosen by what the ACK says as RFC 9937
// has it. It spreads the reduction of the window over the round trip of recovery.
type prr struct {
	active    bool
	delivered int64 // prr_delivered
	out       int64 // prr_out
	flight    int64 // RecoverFS
	credit    int64 // sndcnt, less what has left since
}

// enter begins a reduction with so many bytes outstanding.
func (p *prr) enter(flight int64) { *p = prr{active: true, flight: max(flight, 1)} }

func (p *prr) leave() { *p = prr{} }

func (p *prr) sent(bytes int64) {
	if p.active {
		p.out += bytes
		p.credit = max(0, p.credit-bytes)
	}
}

// onAck computes sndcnt anew. delivered is DeliveredData, target ssthresh; safe says that SND.UNA
// advanced and nothing more was found lost: then the losses are under control, and slow start back to
// the target is in order.
func (p *prr) onAck(delivered, inFlight, target, mss int64, safe bool) {
	if !p.active || delivered <= 0 {
		return
	}
	p.delivered += delivered
	var n int64
	if inFlight > target {
		// Where the window was not full, the flight may be less than the target: then the proportion is 1,
		// as more than was delivered must not leave.
		n = ceilDiv(p.delivered*target, max(p.flight, target)) - p.out
	} else {
		n = max(p.delivered-p.out, delivered)
		if safe {
			n += mss
		}
		n = min(n, target-inFlight)
	}
	p.credit = max(n, 0)
	p.force(mss)
}

// force lets the first retransmission out whatever the sums say.
func (p *prr) force(mss int64) {
	if p.active && p.out == 0 {
		p.credit = max(p.credit, mss)
	}
}

// late is for losses that are found without a delivery, which onAck would go by: by the reordering timer, by an ACK
// that delivers nothing, or by the link. What left the network by that may be put back by a segment; with nothing else
// in flight no ACK would come that lets it out.
func (p *prr) late(inFlight, target, mss int64) {
	p.force(mss)
	if p.active && inFlight+mss <= target {
		p.credit = max(p.credit, mss)
	}
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }
