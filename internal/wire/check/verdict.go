package check

import "fmt"

// Status is how a finding came out.
type Status string

const (
	OK       Status = "ok"
	Failed   Status = "failed"
	Note     Status = "note"     // worth knowing, and not the network's fault
	Untested Status = "untested" // it could not be found out; Says tells why
)

// Finding is one thing that was looked at.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Says   string `json:"says,omitempty"` // what it means
	Do     string `json:"do,omitempty"`   // what to do about it
}

// What is looked at, in the order of the findings.
const (
	CheckTCP      = "TCP"
	CheckSYN      = "MP_CAPABLE in SYN"
	CheckSYNACK   = "MP_CAPABLE in SYN/ACK"
	CheckData     = "data with DSS"
	CheckFromPeer = "the server's data with DSS"
	CheckChecksum = "checksummed payload"
	CheckAddAddr  = "ADD_ADDR"
	CheckJoin     = "MP_JOIN"
	CheckLong     = "long SYN options"
	CheckNumbers  = "sequence numbers"
	CheckOptions  = "TCP options"
	CheckAnswers  = "who answers"
)

// Facts are what was seen of a path. What is nil was not tried.
type Facts struct {
	Err     error // nothing could be tried: no route, say
	Plain   *Seen // a connection without MPTCP
	Capable *Seen // one with it
	Stray   *Seen // a SYN with MP_JOIN and a token that nobody has
	Join    *Seen // a further subflow of Capable
	Long    *Seen // a SYN with 40 bytes of options
	// Unsummed is Capable without DSS checksums, where that has fallen back without a word: some servers do not send
	// MP_FAIL when the first checksum is wrong.
	Unsummed *Seen
	Talked   bool // there was a request, on Plain and Capable
	Silent   bool // to which nothing came on Plain
}

// Multipath says whether the path carries MPTCP as far as the first handshake.
func (f *Facts) Multipath() bool { return f.Capable != nil && f.Capable.Option }

// verdict collects findings.
type verdict struct {
	*Facts
	elsewhere bool
	list      []Finding
}

func (v *verdict) add(check string, s Status, says, do string) {
	v.list = append(v.list, Finding{check, s, says, do})
}

// Verdict says what the facts mean. elsewhere: the server answered MP_CAPABLE over another path.
func (f *Facts) Verdict(elsewhere bool) []Finding {
	v := &verdict{Facts: f, elsewhere: elsewhere}
	if !v.tcp() {
		return v.list
	}
	if v.handshake() {
		v.data()
		v.fromPeer()
		v.checksum()
		v.addAddr()
		v.join()
	}
	v.long()
	v.numbers()
	v.options()
	v.answers()
	return v.list
}

// tcp looks at the connection without MPTCP; false: there was none.
func (v *verdict) tcp() bool {
	switch {
	case v.Err != nil:
		v.add(CheckTCP, Failed, v.Err.Error(), "")
	case v.Plain == nil:
		v.add(CheckTCP, Untested, "it was not tried", "")
	case v.Plain.Answer == Accepted:
		v.add(CheckTCP, OK, "", "")
		return true
	case v.Plain.Answer == Reset:
		v.add(CheckTCP, Failed, "the connection is refused, without MPTCP too: nothing listens there, or a firewall answers with a reset",
			"Check address and port, and the server's firewall.")
	default:
		v.add(CheckTCP, Failed, "nothing answers, without MPTCP either: the server is down, or a firewall swallows the SYNs",
			"Check the address, and whether the port may be reached from here.")
	}
	return false
}

const askServer = "To tell which, look at the server's side while this runs: \"tcpdump -nn 'tcp[tcpflags] & tcp-syn != 0'\" there shows whether \"mptcp\" " +
	"arrives in the SYN and leaves in the SYN/ACK; or check again from another network, or from a machine next to the server."

// handshake looks at the SYN with MP_CAPABLE and its answer; true: they came through.
func (v *verdict) handshake() bool {
	c := v.Capable
	switch {
	case c == nil:
		v.add(CheckSYN, Untested, "it was not tried", "")
	case c.Option:
		v.add(CheckSYN, OK, "", "")
		v.add(CheckSYNACK, OK, "", "")
		return true
	case c.Answer == Reset:
		v.add(CheckSYN, Failed, "SYNs with MP_CAPABLE are answered with a reset, others are not: a firewall on the way refuses the option",
			"Have the firewall pass TCP option 30. Until then this path carries plain TCP.")
	case c.Answer == NoAnswer:
		v.add(CheckSYN, Failed, "nothing answers SYNs with MP_CAPABLE, while plain TCP connects: a firewall swallows them",
			"Have the firewall pass TCP option 30. Until then name the destination as one for plain TCP (-mode tcp).")
	case c.Odd != "":
		v.add(CheckSYN, OK, "", "")
		v.add(CheckSYNACK, Failed, "the SYN/ACK has "+c.Odd, "An old server, or a box that copies options: MPTCP version 1 cannot be used on this path.")
	case c.BareSYNs > 0:
		v.add(CheckSYN, Failed, fmt.Sprintf("%d SYNs with MP_CAPABLE got lost, and the first one without it came through: a firewall drops SYNs with options "+
			"that it does not know (chance would have to hit them all)", c.OptionSYNs),
			"Have the firewall pass TCP option 30. Connections over this path wait for about three seconds before they fall back to plain TCP.")
	default:
		v.plainAnswer()
	}
	return false
}

// plainAnswer looks for the reason of a SYN/ACK without MP_CAPABLE.
func (v *verdict) plainAnswer() {
	s := v.Stray
	const plain = "Connections over this path are plain TCP, and work."
	switch {
	case s != nil && s.Answer == Reset && s.Reason >= 0:
		v.add(CheckSYN, OK, "", "")
		v.add(CheckSYNACK, Failed, "the SYN/ACK comes without MP_CAPABLE, but the server refuses a join for a connection that it does not know, as only one that "+
			"speaks MPTCP does: a box takes the option off the SYN/ACK, or off SYNs that are no joins (or the server has no room for further MPTCP connections)",
			"Find the firewall, balancer or proxy next to the server, and have it pass TCP option 30. "+plain)
	case v.elsewhere:
		v.add(CheckSYN, Failed, "the SYN/ACK comes without MP_CAPABLE, while the server speaks MPTCP over another path: a box on this one takes the option off, or "+
			"answers in the server's name", "Have the firewall or proxy of this network pass TCP option 30. "+plain)
	case s != nil && s.Answer == Reset:
		v.add(CheckSYN, OK, "", "")
		v.add(CheckSYNACK, Failed, "the SYN/ACK comes without MP_CAPABLE, but a SYN with MP_JOIN is refused: most likely the server speaks MPTCP and a box takes the "+
			"option off the SYN/ACK; or a firewall refuses joins", askServer)
	case s != nil && s.Answer == NoAnswer:
		v.add(CheckSYN, Failed, "the SYN/ACK comes without MP_CAPABLE, and a SYN with MP_JOIN is not answered: a box knows the option, and lets none of it through",
			askServer+" "+plain)
	default:
		v.add(CheckSYN, Failed, "the peer does not speak MPTCP, or a box on the way takes MP_CAPABLE off (a firewall, or a proxy that answers SYNs in the server's name)",
			askServer+" "+plain)
	}
}

// total is Capable with what its further subflow has carried.
func (f *Facts) total() *Seen {
	t := *f.Capable
	j := f.Join
	if j == nil {
		return &t
	}
	t.Sent, t.Acked, t.DataSent, t.DataAcked = t.Sent+j.Sent, t.Acked+j.Acked, max(t.DataSent, j.DataSent), max(t.DataAcked, j.DataAcked)
	t.Lagged, t.DSS = t.Lagged+j.Lagged, t.DSS+j.DSS
	t.Mapped, t.Plain, t.Elsewhere, t.Checksums = t.Mapped+j.Mapped, t.Plain+j.Plain, t.Elsewhere+j.Elsewhere, t.Checksums+j.Checksums
	t.FailSent, t.FailReceived = t.FailSent || j.FailSent, t.FailReceived || j.FailReceived
	t.unmapped = j.Unmapped()
	return &t
}

// data looks at our data and the acknowledgment of it.
func (v *verdict) data() {
	c := v.total()
	strips := "Have the firewall or proxy pass TCP option 30 in all segments, not in SYNs alone. The connection goes on as plain TCP."
	switch {
	case c.DataAcked > 0 && c.DataAcked >= c.DataSent && !c.FailReceived: // else what was changed is DATA_ACKed too
		says := ""
		if c.Sent == 0 {
			says = "the end of the connection was acknowledged; no data was sent"
		}
		v.add(CheckData, OK, says, "")
	case v.changed():
		v.add(CheckData, Note, "the connection fell back to plain TCP, since the payload had changed", "")
	case c.DataAcked > 0:
		v.add(CheckData, Failed, fmt.Sprintf("DATA_ACKs ended at byte %d of %d: options vanish after a while, or a proxy takes data that it does not deliver",
			c.DataAcked, c.DataSent), strips)
	case c.Broken && c.Acked == 0 && c.Sent > 0:
		v.add(CheckData, Failed, "the connection was reset when data with MPTCP options came: a firewall, or a server that saw them damaged"+reason(c),
			"Have the firewall leave TCP option 30 alone.")
	case c.Acked > 0 && c.DSS == 0:
		v.add(CheckData, Failed, "our data is acknowledged without DATA_ACK: a box takes MPTCP options off segments that are no SYNs, in one direction or both "+
			"(a proxy that ends TCP and lets SYN options through looks the same, and so does a box that changes the keys)", strips)
	case c.Acked > 0:
		v.add(CheckData, Failed, "our data is acknowledged by TCP and not by the server's MPTCP: a box takes options off our data, or a proxy acknowledges what does not arrive", strips)
	case c.Sent > 0:
		v.add(CheckData, Failed, "our data with DSS is not acknowledged at all: it gets lost, while that of plain TCP does not",
			"Look for a firewall that drops data segments with TCP option 30, and for one that lets only shorter packets pass.")
	default:
		v.add(CheckData, Untested, "nothing was sent, and the end of the connection was not acknowledged", "Say -send with a request that the server answers.")
	}
}

func reason(s *Seen) string {
	if s.Reason < 0 {
		return ""
	}
	return fmt.Sprintf(" (MP_TCPRST reason %d)", s.Reason)
}

// fromPeer looks at the server's data.
func (v *verdict) fromPeer() {
	c := v.total()
	unmapped := c.Unmapped()
	switch {
	case c.Elsewhere > 0:
		v.add(CheckFromPeer, Failed, fmt.Sprintf("%d mappings of the server's data name other bytes than those that they came with: a box has put bytes into the stream, taken some out, "+
			"or renumbered the sequence numbers only in part", c.Elsewhere), "Switch off the application gateway (ALG) or sequence randomization of the firewall for this port.")
	case c.Mapped > 0 && unmapped == 0:
		says := ""
		if c.Plain > 0 {
			says = "a box cuts segments, and leaves the options on one of the pieces; mappings cover the rest"
		}
		v.add(CheckFromPeer, OK, says, "")
	case c.Mapped > 0:
		v.add(CheckFromPeer, Failed, fmt.Sprintf("%d segments of the server's data have DSS, and no mapping covers %d others: options vanish after a while", c.Mapped, unmapped),
			"Have the box on the way pass TCP option 30 in all segments.")
	case unmapped > 0 && (c.FailReceived || c.FailSent || v.summed()):
		v.add(CheckFromPeer, Note, "it came as plain TCP, after the fallback", "")
	case unmapped > 0:
		v.add(CheckFromPeer, Failed, "the server's data comes without DSS, as plain TCP", "Have the box on the way pass TCP option 30 in all segments.")
	default:
		v.add(CheckFromPeer, Untested, v.quiet(), "Say -send with a request that the server answers.")
	}
}

// quiet is why there was no data from the server.
func (v *verdict) quiet() string {
	switch {
	case !v.Talked:
		return "nothing was asked, and the server said nothing"
	case v.Silent:
		return "the server did not answer the request, over plain TCP neither"
	}
	return "the server answered the request over plain TCP alone"
}

// summed says that data goes through without DSS checksums, and with them it does not.
func (v *verdict) summed() bool { return v.Unsummed != nil && v.Unsummed.DataAcked > 0 }

// checksum looks at whether payload arrives as it was sent.
func (v *verdict) checksum() {
	c := v.total()
	const gateway = "Find the application gateway (ALG), proxy or filter that rewrites the content, and switch it off for this port, or encrypt (TLS). " +
		"Without DSS checksums nobody would notice: set Config.Checksum on paths like this."
	switch {
	case c.FailReceived && c.FailSent:
		v.add(CheckChecksum, Failed, "the payload changes on its way, in both directions: DSS checksums do not match", gateway)
	case v.summed():
		v.add(CheckChecksum, Failed, "with DSS checksums the server falls back to plain TCP, without them it does not: our payload changes on its way", gateway)
	case c.FailReceived:
		v.add(CheckChecksum, Failed, "our payload changes on its way: the server found a wrong DSS checksum", gateway)
	case c.FailSent:
		v.add(CheckChecksum, Failed, "the server's payload changes on its way: its DSS checksum does not match", gateway)
	case c.Sent > 0 && c.DataAcked >= c.DataSent && c.Checksums > 0:
		v.add(CheckChecksum, OK, "", "")
	case c.Sent > 0 && c.DataAcked >= c.DataSent:
		v.add(CheckChecksum, OK, "ours; the server sent nothing with a checksum", "")
	case c.Checksums > 0:
		v.add(CheckChecksum, OK, "the server's; ours was not acknowledged", "")
	default:
		v.add(CheckChecksum, Untested, "no data with DSS came through", "")
	}
}

// addAddr looks at announcements.
func (v *verdict) addAddr() {
	c := v.Capable
	told := ""
	if len(c.Told) > 0 {
		told = fmt.Sprintf("the server announces %v", c.Told)
	}
	switch {
	case c.Echoed:
		v.add(CheckAddAddr, OK, told, "")
	case c.Announced > 0 && told != "":
		v.add(CheckAddAddr, Failed, "our announcement was not echoed, though "+told+": the option, or its echo, gets lost or changed on the way to the server",
			"Servers learn of this side's addresses only by joins from there, which is the usual way. Nothing needs to be done for a client.")
	case c.Announced > 0:
		v.add(CheckAddAddr, Failed, fmt.Sprintf("ADD_ADDR was sent %d times and not echoed: a box takes it off, or changes the address in it, so that its HMAC is wrong", c.Announced),
			"Addresses that the server announces may not arrive either: let the client join from its own addresses, or pass TCP option 30 untouched.")
	case told != "":
		v.add(CheckAddAddr, OK, told+"; ours was not tried", "")
	default:
		v.add(CheckAddAddr, Untested, "it needs a connection that has carried data", "Say -send with a request that the server answers.")
	}
}
