package check

import (
	"fmt"
	"strings"
)

// Reasons of MP_TCPRST (RFC 8684 section 3.6) that a refused join tells.
const (
	reasonMPTCP      = 1
	reasonResources  = 2
	reasonProhibited = 3
)

// join looks at the further subflow.
func (v *verdict) join() {
	j, c := v.Join, v.Capable
	const pass = "Have the firewall pass TCP option 30 in SYNs of every form. Connections stay on their first path."
	switch {
	case c.NoJoins && j == nil:
		v.add(CheckJoin, Note, "the server wants no joins at this address (flag C of MP_CAPABLE): a balancer stands there", "Joins go to the addresses that it announces with ADD_ADDR.")
	case j == nil && c.Acked > 0 && c.DataAcked <= 0:
		v.add(CheckJoin, Untested, "the connection is plain TCP by now", "")
	case j == nil:
		v.add(CheckJoin, Untested, "it needs a connection that has carried data", "Say -send with a request that the server answers.")
	case j.Answer == NoAnswer:
		v.add(CheckJoin, Failed, fmt.Sprintf("%d SYNs with MP_JOIN got lost, while SYNs with MP_CAPABLE come through: a firewall drops them", j.OptionSYNs), pass)
	case j.Answer == Reset:
		v.refusedJoin()
	case j.Odd != "":
		v.add(CheckJoin, Failed, "the SYN/ACK of a join has "+j.Odd, "A box changes or copies options: "+pass)
	case !j.Option:
		v.add(CheckJoin, Failed, "the SYN/ACK of a join comes without MP_JOIN: a box takes it off, or a balancer leads the join to a machine that does not speak MPTCP", pass)
	case j.Fourth:
		v.add(CheckJoin, OK, "", "")
	case !j.ThirdSent:
		v.add(CheckJoin, Failed, "the answer to a join proves the wrong keys: a box changes MP_JOIN, or a balancer leads it to another machine", pass)
	case j.Broken && (j.Reason == reasonProhibited || j.Reason == reasonResources):
		v.add(CheckJoin, Note, "the join came through, and the server takes no further subflow"+reason(j), "On a Linux server: \"ip mptcp limits set subflows 2\" (or more), and \"ip mptcp limits show\".")
	case j.Broken:
		v.add(CheckJoin, Failed, "the third message of a join was answered with a reset: a box takes MP_JOIN off it, or changes it"+reason(j), pass)
	default:
		v.add(CheckJoin, Failed, "the third message of a join is not answered: it gets lost, or the answer does", pass)
	}
}

// refusedJoin is a join whose SYN was answered with a RST.
func (v *verdict) refusedJoin() {
	j := v.Join
	switch {
	case j.Reason == reasonMPTCP:
		v.add(CheckJoin, Failed, "the join was refused as one of an unknown connection: a balancer leads it to another server than the first subflow (or the server has closed the connection meanwhile)",
			"On the servers behind the balancer set flag C (Linux: sysctl net.mptcp.allow_join_initial_addr_port=0) and announce an address of each server's own.")
	case j.Reason >= 0:
		v.add(CheckJoin, Note, "the server refuses the join"+reason(j), "On a Linux server: \"ip mptcp limits show\", \"nstat -az 'MPTcpExtMPJoin*'\".")
	default:
		v.add(CheckJoin, Failed, "SYNs with MP_JOIN are answered with a reset that gives no reason: a firewall refuses them, or a balancer leads them to a machine that knows nothing of MPTCP",
			"Have the firewall pass TCP option 30 in SYNs of every form. Connections stay on their first path.")
	}
}

// long looks at the SYN whose options fill the header.
func (v *verdict) long() {
	switch {
	case v.Long == nil:
		v.add(CheckLong, Untested, "SYNs with MP_CAPABLE do not come through, whatever their length", "")
	case v.Long.Answer == Accepted:
		v.add(CheckLong, OK, "", "")
	case v.Long.Answer == Reset:
		v.add(CheckLong, Failed, "a SYN with 40 bytes of options is answered with a reset, a shorter one is not: a firewall refuses it", "Joins have 32 bytes of options at least: have the firewall pass them.")
	default:
		v.add(CheckLong, Failed, "SYNs with 40 bytes of options get lost, shorter ones do not: a box cannot cope with long TCP headers", "Joins have 32 bytes of options at least: have the box pass them.")
	}
}

// numbers looks at the gap that was made in the numbers of plain TCP.
func (v *verdict) numbers() {
	p := v.Plain
	const about = "sequence numbers that are rewritten in every place do no harm, and are not seen: DSS counts from the subflow's first byte"
	switch {
	case !p.Made:
		v.add(CheckNumbers, Untested, "it needs a request", "Say -send with a request that the server answers.")
	case v.altered():
		v.add(CheckNumbers, Untested, "something on the way works on the payload itself, or acknowledges it: a gap tells nothing then", "")
	case p.Strange > 0:
		v.add(CheckNumbers, Failed, fmt.Sprintf("%d SACK blocks name bytes that were never sent: a firewall rewrites the initial sequence number and forgets SACK", p.Strange),
			"Switch its sequence number randomization off, or update it: every loss costs a timeout on this path.")
	case p.Hints > 0 && p.SACK && p.SACKs == 0:
		v.add(CheckNumbers, Note, "an acknowledgment tells of a gap, and no SACK says which: a box takes SACK off, though it lets it be agreed on",
			"Losses cost more on this path. Have the box pass TCP option 5.")
	case p.Hints > 0:
		v.add(CheckNumbers, OK, about, "")
	case p.Filled:
		v.add(CheckNumbers, Note, "nothing tells of data behind a gap, twice: a firewall drops segments that come out of order, so that each loss costs all that follows "+
			"(or it drops the acknowledgments)", "Switch its TCP normalization off. MPTCP leaves no gap open on any subflow, and works.")
	default:
		v.add(CheckNumbers, Untested, "the data that was sent with a gap was not acknowledged", "")
	}
}

// altered says that a box works on payload, or takes it.
func (v *verdict) altered() bool {
	if v.Capable == nil {
		return false
	}
	c := v.total()
	return c.Option && (v.changed() || c.DataAcked > 0 && c.Lagged > 0)
}

// changed says that the payload was found to be another than was sent: the connection has fallen back.
func (v *verdict) changed() bool {
	c := v.total()
	return c.FailSent || c.FailReceived || v.summed()
}

// options looks at the other options of TCP.
func (v *verdict) options() {
	p := v.Plain
	var gone []string
	for _, o := range []struct {
		has  bool
		name string
	}{{p.Timestamps, "timestamps"}, {p.SACK, "SACK"}, {p.Scale, "window scaling"}} {
		if !o.has {
			gone = append(gone, o.name)
		}
	}
	if len(gone) == 0 {
		v.add(CheckOptions, OK, "", "")
		return
	}
	v.add(CheckOptions, Note, "the SYN/ACK comes without "+strings.Join(gone, ", ")+": the server has that switched off, or a box takes it off",
		"Each subflow does with what it has. Without window scaling it has 64 KiB per round trip, without SACK losses cost more.")
}

// answers looks for boxes that speak in the server's name.
func (v *verdict) answers() {
	if v.Capable == nil {
		return
	}
	c := v.total()
	switch multipath := c.Option && c.DataAcked > 0; {
	case multipath && c.Lagged > 0 && !v.changed():
		v.add(CheckAnswers, Failed, fmt.Sprintf("%d acknowledgments of our data came without DATA_ACK, though others have one: a proxy acknowledges data before the server has it", c.Lagged),
			"What such a proxy has acknowledged and then loses is sent again over other paths; switch it off if it can be.")
	case c.Broken && c.Reason < 0 && c.Option:
		v.add(CheckAnswers, Failed, "the connection was reset, and the reset gives no reason: a firewall may have sent it", "Compare with \"mptcp trace -w file.pcap\" and the server's own capture.")
	case len(v.ttls()) > 1:
		v.add(CheckAnswers, Note, fmt.Sprintf("segments come with different TTLs %v: something nearer than the server answers some of them, or the route changed", v.ttls()), "")
	default:
		v.add(CheckAnswers, OK, "", "")
	}
}

// ttls are the different ones of what has come.
func (v *verdict) ttls() (list []uint8) {
	seen := map[uint8]bool{}
	for _, s := range []*Seen{v.Plain, v.Capable} {
		for _, t := range s.TTLs {
			if !seen[t] {
				seen[t] = true
				list = append(list, t)
			}
		}
	}
	return list
}
