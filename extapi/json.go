package extapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"
)

// The snapshots have a JSON form of their own, since the fields as they are would print badly: an
// error as {}, durations as bare nanoseconds, "cannot tell" as -1, and sequence numbers as numbers
// beyond the 2^53 up to which JavaScript and jq are exact.

// subflowJSON is SubflowInfo as JSON: durations in milliseconds; what the carrier cannot tell is absent.
type subflowJSON struct {
	ID                 PathID         `json:"id"`
	Carrier            Carrier        `json:"carrier"`
	State              SubflowState   `json:"state"`
	Local              netip.AddrPort `json:"local"`
	Remote             netip.AddrPort `json:"remote"`
	LocalID            AddrID         `json:"local_id"`
	RemoteID           AddrID         `json:"remote_id"`
	Interface          string         `json:"interface,omitempty"`
	Role               Role           `json:"role"`
	Backup             bool           `json:"backup"`
	SRTT               *float64       `json:"srtt_ms,omitempty"`
	RTTVar             *float64       `json:"rttvar_ms,omitempty"`
	MinRTT             *float64       `json:"min_rtt_ms,omitempty"`
	CWnd               *int64         `json:"cwnd,omitempty"`
	InFlight           *int64         `json:"in_flight,omitempty"`
	DeliveryRate       *int64         `json:"delivery_rate,omitempty"`
	BytesSent          uint64         `json:"bytes_sent"`
	BytesRetransmitted uint64         `json:"bytes_retransmitted"`
	BytesReceived      uint64         `json:"bytes_received"`
	BytesReinjected    uint64         `json:"bytes_reinjected"`
	Congestion         string         `json:"congestion,omitempty"`
	LastError          string         `json:"last_error,omitempty"`
	TCP                *TCPCounters   `json:"tcp,omitempty"`
}

// MarshalJSON writes snake_case names, durations in milliseconds (srtt_ms), bytes as they are, and
// leaves out what is -1.
func (i SubflowInfo) MarshalJSON() ([]byte, error) {
	j := subflowJSON{
		ID: i.ID, Carrier: i.Carrier, State: i.State, Local: i.Local, Remote: i.Remote,
		LocalID: i.LocalID, RemoteID: i.RemoteID, Interface: i.Interface, Role: i.Role, Backup: i.Backup,
		SRTT: milliseconds(i.SRTT), RTTVar: milliseconds(i.RTTVar), MinRTT: milliseconds(i.MinRTT),
		CWnd: known(i.CWnd), InFlight: known(i.InFlight), DeliveryRate: known(i.DeliveryRate),
		BytesSent: i.BytesSent, BytesRetransmitted: i.BytesRetransmitted,
		BytesReceived: i.BytesReceived, BytesReinjected: i.BytesReinjected, Congestion: i.Congestion, TCP: i.TCP,
	}
	if i.LastError != nil {
		j.LastError = i.LastError.Error()
	}
	return json.Marshal(j)
}

// UnmarshalJSON reads what MarshalJSON writes. LastError comes back as its text.
func (i *SubflowInfo) UnmarshalJSON(b []byte) error {
	var j subflowJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*i = SubflowInfo{
		ID: j.ID, Carrier: j.Carrier, State: j.State, Local: j.Local, Remote: j.Remote,
		LocalID: j.LocalID, RemoteID: j.RemoteID, Interface: j.Interface, Role: j.Role, Backup: j.Backup,
		SRTT: duration(j.SRTT), RTTVar: duration(j.RTTVar), MinRTT: duration(j.MinRTT),
		CWnd: orUnknown(j.CWnd), InFlight: orUnknown(j.InFlight), DeliveryRate: orUnknown(j.DeliveryRate),
		BytesSent: j.BytesSent, BytesRetransmitted: j.BytesRetransmitted,
		BytesReceived: j.BytesReceived, BytesReinjected: j.BytesReinjected, Congestion: j.Congestion, TCP: j.TCP,
	}
	if j.LastError != "" {
		i.LastError = errors.New(j.LastError)
	}
	return nil
}

// connJSON is ConnInfo as JSON: the token in hexadecimal, sequence numbers as strings.
type connJSON struct {
	ID              ConnID         `json:"id"`
	Carrier         Carrier        `json:"carrier"`
	Fallback        FallbackReason `json:"fallback"`
	Version         int            `json:"version"`
	Token           string         `json:"token"`
	Established     time.Time      `json:"established,omitzero"`
	SndNxt          uint64         `json:"snd_nxt,string"`
	SndUna          uint64         `json:"snd_una,string"`
	RcvNxt          uint64         `json:"rcv_nxt,string"`
	SendBuffered    int64          `json:"send_buffered"`
	RecvBuffered    int64          `json:"recv_buffered"`
	OutOfOrder      int64          `json:"out_of_order"`
	BytesSent       uint64         `json:"bytes_sent"`
	BytesReceived   uint64         `json:"bytes_received"`
	BytesReinjected uint64         `json:"bytes_reinjected"`
	Scheduler       string         `json:"scheduler,omitempty"`
	Checksum        bool           `json:"checksum"`
	MPTCP           *MPTCPCounters `json:"mptcp,omitempty"`
}

// MarshalJSON writes snake_case names, the token as eight hexadecimal digits and sequence numbers as
// strings.
func (i ConnInfo) MarshalJSON() ([]byte, error) {
	return json.Marshal(connJSON{
		ID: i.ID, Carrier: i.Carrier, Fallback: i.Fallback, Version: i.Version, Token: tokenText(i.Token),
		Established: i.Established, SndNxt: i.SndNxt, SndUna: i.SndUna, RcvNxt: i.RcvNxt,
		SendBuffered: i.SendBuffered, RecvBuffered: i.RecvBuffered, OutOfOrder: i.OutOfOrder,
		BytesSent: i.BytesSent, BytesReceived: i.BytesReceived, BytesReinjected: i.BytesReinjected,
		Scheduler: i.Scheduler, Checksum: i.Checksum, MPTCP: i.MPTCP,
	})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (i *ConnInfo) UnmarshalJSON(b []byte) error {
	var j connJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	token, err := strconv.ParseUint(j.Token, 16, 32)
	if err != nil {
		return fmt.Errorf("extapi: token %q is not 32 bits in hexadecimal: %w", j.Token, err)
	}
	*i = ConnInfo{
		ID: j.ID, Carrier: j.Carrier, Fallback: j.Fallback, Version: j.Version, Token: uint32(token),
		Established: j.Established, SndNxt: j.SndNxt, SndUna: j.SndUna, RcvNxt: j.RcvNxt,
		SendBuffered: j.SendBuffered, RecvBuffered: j.RecvBuffered, OutOfOrder: j.OutOfOrder,
		BytesSent: j.BytesSent, BytesReceived: j.BytesReceived, BytesReinjected: j.BytesReinjected,
		Scheduler: j.Scheduler, Checksum: j.Checksum, MPTCP: j.MPTCP,
	}
	return nil
}

func milliseconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	ms := float64(d) / float64(time.Millisecond)
	return &ms
}

func duration(ms *float64) time.Duration {
	if ms == nil {
		return -1
	}
	return time.Duration(math.Round(*ms * float64(time.Millisecond)))
}

func known(v int64) *int64 {
	if v < 0 {
		return nil
	}
	return &v
}

func orUnknown(v *int64) int64 {
	if v == nil {
		return -1
	}
	return *v
}
