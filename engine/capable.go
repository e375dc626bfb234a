package engine

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/options"
)

// The MP_CAPABLE handshake (RFC 8684 section 3.1) as pure functions on values. On the wire carrier:
//
//	client                                               server
//	NewCapable, Syn     SYN     no key               AcceptCapable
//	HandleSynAck        SYN/ACK server's key         WithKey, SynAck
//	Ack, AckWithData    ACK     both keys[, data]    HandleAck, Mapping
//
// On the stream carrier the first message has the client's key in it, so that data may follow at once.
//
// An error, always a *ProtocolError, means that the option counts as absent: on the wire the connection
// falls back to TCP, on the stream carrier the subflow is reset.

// CapableVersion is the version of MPTCP that is spoken here.
const CapableVersion = 1

const sectionCapable = "RFC 8684 section 3.1"

func capableViolation(detail string) error {
	return &ProtocolError{Section: sectionCapable, Detail: detail}
}

// CapableOffer is what one side brings into the negotiation.
type CapableOffer struct {
	Carrier       extapi.Carrier // CarrierStream or CarrierWire
	Checksum      bool           // DSS checksums are required
	NoInitialJoin bool           // no joins to the address and port of the first subflow are accepted
}

// Capable is one side's view of the negotiation. Every step returns the next view and leaves its own
// alone, so that a repeated message can be judged again.
type Capable struct {
	Offer         CapableOffer
	Client        bool
	Local, Remote Key  // 0: not known yet
	Checksum      bool // result: checksums are used in both directions
	NoInitialJoin bool // the peer accepts no joins to its initial address and port
}

// NewCapable begins the client's side.
func NewCapable(offer CapableOffer, local Key) Capable {
	return Capable{Offer: offer, Client: true, Local: local, Checksum: offer.Checksum}
}

// Syn is the client's first message.
func (c Capable) Syn() options.MPCapable {
	m := options.MPCapable{Version: CapableVersion, Flags: c.flags(c.Offer.Checksum)}
	if c.Offer.Carrier == extapi.CarrierStream {
		m.HasSender, m.SenderKey = true, uint64(c.Local)
	}
	return m
}

// HandleSynAck takes the server's key and flags.
func (c Capable) HandleSynAck(m options.MPCapable) (Capable, error) {
	switch {
	case !m.HasSender || m.HasReceiver:
		return c, capableViolation("the answer to MP_CAPABLE does not have exactly one key")
	case m.Version != CapableVersion:
		return c, capableViolation("MP_CAPABLE answered with another version")
	case m.Flags&options.FlagB != 0:
		return c, capableViolation("MP_CAPABLE flag B is set")
	case m.Flags&options.FlagsCrypto != options.FlagH:
		// "The responder responds with only 1 bit set -- this is the chosen algorithm."
		return c, capableViolation("MP_CAPABLE answered with another algorithm than HMAC-SHA256")
	}
	next := c.withFlags(m)
	next.Remote = Key(m.SenderKey)
	return next, next.checkKeys(c)
}

// Ack is the client's third message, with both keys and without data.
func (c Capable) Ack() options.MPCapable {
	return options.MPCapable{
		Version: CapableVersion,
		// "This decision is confirmed by the setting of the "A" bit in the third packet (the ACK) of
		// the handshake."
		Flags:       c.flags(c.Checksum),
		HasSender:   true,
		SenderKey:   uint64(c.Local),
		HasReceiver: true,
		ReceiverKey: uint64(c.Remote),
	}
}

// AckWithData is the third message as it goes with the first data (dataLen from 1) in place of a DSS.
// The checksum is that of the mapping {IDSN+1, SSN 1, dataLen}; it is sent if checksums are used.
func (c Capable) AckWithData(dataLen, checksum uint16) options.MPCapable {
	m := c.Ack()
	m.HasData, m.DataLen = true, dataLen
	if c.Checksum {
		m.HasChecksum, m.Checksum = true, checksum
	}
	return m
}

// AcceptCapable takes a client's first message on the server.
func AcceptCapable(offer CapableOffer, m options.MPCapable) (Capable, error) {
	c := Capable{Offer: offer, Checksum: offer.Checksum}
	switch {
	case m.HasReceiver, m.HasSender != (offer.Carrier == extapi.CarrierStream):
		return c, capableViolation("MP_CAPABLE that opens a connection has the wrong length")
	case m.Version < CapableVersion:
		return c, capableViolation("MP_CAPABLE of version 0")
	case m.Flags&options.FlagB != 0:
		// "If receiving a message with the "B" flag set to 1 and this is not understood, then the
		// MP_CAPABLE in this SYN MUST be silently ignored".
		return c, capableViolation("MP_CAPABLE flag B is set")
	case m.Flags&options.FlagH == 0:
		// Other algorithms may be proposed beside this one: "For crypto negotiation, the responder has
		// the choice. The initiator creates a proposal setting a bit for each algorithm it supports".
		return c, capableViolation("MP_CAPABLE does not propose HMAC-SHA256")
	}
	next := c.withFlags(m)
	if m.HasSender {
		next.Remote = Key(m.SenderKey)
		if next.Remote == 0 {
			return c, capableViolation("a key that is 0")
		}
	}
	return next, nil
}

// WithKey sets the server's key, which is drawn once the first message was found good.
func (c Capable) WithKey(local Key) Capable {
	c.Local = local
	return c
}

// SynAck is the server's message. The version is "equal to or lower than the version number indicated in
// the initial MP_CAPABLE".
func (c Capable) SynAck() options.MPCapable {
	return options.MPCapable{
		Version:   CapableVersion,
		Flags:     c.flags(c.Offer.Checksum),
		HasSender: true,
		SenderKey: uint64(c.Local),
	}
}

// HandleAck takes the client's third message on the server: with both keys alone when no payload came
// with it, with data length (and checksum, if in use) when one did. Repeated ones are taken alike.
func (c Capable) HandleAck(m options.MPCapable, payload bool) (Capable, error) {
	switch {
	case !m.HasReceiver:
		return c, capableViolation("the third MP_CAPABLE does not have both keys")
	case m.HasData != payload:
		return c, capableViolation("the third MP_CAPABLE has a data length without payload, or payload without a data length")
	case m.Version != CapableVersion:
		return c, capableViolation("the third MP_CAPABLE has another version")
	case m.Flags&options.FlagB != 0, m.Flags&options.FlagsCrypto != options.FlagH:
		return c, capableViolation("the third MP_CAPABLE has other flags than were agreed")
	case (m.Flags&options.FlagA != 0) != c.Checksum:
		return c, capableViolation("the third MP_CAPABLE contradicts what was agreed on checksums")
	case m.HasData && m.HasChecksum != c.Checksum:
		return c, capableViolation("the data in MP_CAPABLE has a checksum that was not agreed, or lacks the one that was")
	case !sameKey(m.ReceiverKey, uint64(c.Local)):
		return c, capableViolation("the third MP_CAPABLE has another key than this host sent")
	case c.Remote != 0 && !sameKey(m.SenderKey, uint64(c.Remote)):
		return c, capableViolation("the client's key changed during the handshake")
	}
	next := c.withFlags(m)
	next.Remote = Key(m.SenderKey)
	return next, next.checkKeys(c)
}

// Mapping is what the data parameters in a third MP_CAPABLE say: "the data parameters in an MP_CAPABLE
// are semantically equivalent to those in a DSS option and can be used interchangeably." False when
// there are none. It is the server's to ask, after HandleAck.
func (c Capable) Mapping(m options.MPCapable) (options.DSS, bool) {
	return options.DSS{
		HasMap:      true,
		DSN64:       true,
		DSN:         c.Remote.IDSN() + 1,
		SSN:         1,
		DataLen:     m.DataLen,
		HasChecksum: m.HasChecksum,
		Checksum:    m.Checksum,
	}, m.HasData
}

// Keys are both keys, with a secret that the configuration may hold.
func (c Capable) Keys(secret []byte) Keys {
	return Keys{Local: c.Local, Remote: c.Remote, Secret: secret}
}

func (c Capable) flags(checksum bool) options.CapableFlags {
	f := options.FlagH
	if checksum {
		f |= options.FlagA
	}
	if c.Offer.NoInitialJoin {
		f |= options.FlagC
	}
	return f
}

// withFlags takes over what the peer's flags decide: "if either host requires the use of checksums,
// checksums MUST be used", and with C "the receiver MUST NOT try to open any additional subflows toward
// this address and port".
func (c Capable) withFlags(m options.MPCapable) Capable {
	c.Checksum = c.Checksum || m.Flags&options.FlagA != 0
	c.NoInitialJoin = c.NoInitialJoin || m.Flags&options.FlagC != 0
	return c
}

// checkKeys refuses keys that no host draws: 0 here stands for a key not known, and our own key comes
// back from what only repeats our bytes. With it, the HMACs of both sides would be the same.
func (c Capable) checkKeys(before Capable) error {
	switch {
	case c.Remote == 0:
		return capableViolation("a key that is 0")
	case sameKey(uint64(c.Remote), uint64(before.Local)):
		return capableViolation("the peer sent back this host's own key")
	}
	return nil
}

func sameKey(a, b uint64) bool {
	var x, y [8]byte
	binary.BigEndian.PutUint64(x[:], a)
	binary.BigEndian.PutUint64(y[:], b)
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
