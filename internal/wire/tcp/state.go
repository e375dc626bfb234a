package tcp

// State is where a connection stands in the diagram of RFC 9293 section 3.3.2.
type State uint8

const (
	Closed State = iota
	SynSent
	SynReceived
	Established
	FinWait1
	FinWait2
	CloseWait
	Closing
	LastAck
	TimeWait
)

var stateNames = [...]string{
	"CLOSED", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
}

// String is the name that RFC 9293 gives the state.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// maySend: our FIN has not left yet, so that data may still be sent.
func (s State) maySend() bool { return s == Established || s == CloseWait }

// mayReceive: the peer's FIN has not come yet.
func (s State) mayReceive() bool { return s == Established || s == FinWait1 || s == FinWait2 }

// synchronized is what RFC 9293 calls the states in which both sides know both sequence numbers.
func (s State) synchronized() bool { return s >= Established }
