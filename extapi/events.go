package extapi

import (
	"log/slog"
	"net/netip"
)

// Event is one thing that happened. The set of implementations grows between releases, so a type
// switch needs a default case.
type Event interface {
	// Name is stable and in snake_case: "subflow_established".
	Name() string
	// LogValuer gives the event's fields as a group; keys and payload are never among them.
	slog.LogValuer
}

// Events of the connection.
type (
	// ConnEstablished is the first event of a connection, once.
	ConnEstablished struct{ Info ConnInfo }

	// ConnFellBack says that the connection goes on as plain TCP.
	ConnFellBack struct{ Reason FallbackReason }

	// ConnClosed is the last event of a connection. Err is nil after an orderly end.
	ConnClosed struct{ Err error }

	// EventsLost stands in the place of N events that a reader was too slow for.
	EventsLost struct{ N int }
)

// Events of addresses (RFC 8684 section 3.4).
type (
	// AddrAnnounced is an ADD_ADDR. Its port is 0 where it went without one.
	AddrAnnounced struct {
		ID     AddrID
		Addr   netip.AddrPort
		Remote bool // by the peer
	}

	// AddrRemoved is a REMOVE_ADDR.
	AddrRemoved struct {
		ID     AddrID
		Remote bool // by the peer
	}
)

// Events of subflows.
type (
	// SubflowEstablished says that a subflow may carry data.
	SubflowEstablished struct{ Info SubflowInfo }

	// SubflowClosed is a subflow's last event. Err is nil after a FIN.
	SubflowClosed struct {
		Info SubflowInfo
		Err  error
	}

	// SubflowPriority is an MP_PRIO (RFC 8684 section 3.3.8).
	SubflowPriority struct {
		ID             PathID
		Backup, Remote bool // Remote: the peer asked for it
	}

	// MetricsUpdated is sent when the measurements of a subflow are refreshed.
	MetricsUpdated struct{ Info SubflowInfo }
)

// Events of data. There may be many of these; they are only made for a Tracer.
type (
	// DataReinjected says that bytes first sent on From go out once more on To.
	DataReinjected struct {
		From, To PathID
		Seq      uint64 // data sequence number of the first byte
		Len      int    // bytes
	}

	// Scheduled says that new bytes were mapped to a subflow.
	Scheduled struct {
		ID  PathID
		Seq uint64 // data sequence number of the first byte
		Len int    // bytes
	}
)

// Name returns "conn_established".
func (ConnEstablished) Name() string { return "conn_established" }

// LogValue returns the fields of the snapshot.
func (e ConnEstablished) LogValue() slog.Value { return e.Info.LogValue() }

// Name returns "conn_fell_back".
func (ConnFellBack) Name() string { return "conn_fell_back" }

// LogValue returns the reason.
func (e ConnFellBack) LogValue() slog.Value {
	return slog.GroupValue(slog.String("reason", e.Reason.String()))
}

// Name returns "conn_closed".
func (ConnClosed) Name() string { return "conn_closed" }

// LogValue returns the error, if any.
func (e ConnClosed) LogValue() slog.Value { return slog.GroupValue(errorAttrs(e.Err)...) }

// Name returns "events_lost".
func (EventsLost) Name() string { return "events_lost" }

// LogValue returns how many.
func (e EventsLost) LogValue() slog.Value { return slog.GroupValue(slog.Int("n", e.N)) }

// Name returns "addr_announced".
func (AddrAnnounced) Name() string { return "addr_announced" }

// LogValue returns the address, its identifier and who announced it.
func (e AddrAnnounced) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Uint64("addr_id", uint64(e.ID)), slog.String("addr", e.Addr.String()), slog.Bool("by_peer", e.Remote))
}

// Name returns "addr_removed".
func (AddrRemoved) Name() string { return "addr_removed" }

// LogValue returns the identifier and who removed it.
func (e AddrRemoved) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("addr_id", uint64(e.ID)), slog.Bool("by_peer", e.Remote))
}

// Name returns "subflow_established".
func (SubflowEstablished) Name() string { return "subflow_established" }

// LogValue returns the fields of the snapshot.
func (e SubflowEstablished) LogValue() slog.Value { return e.Info.LogValue() }

// Name returns "subflow_closed".
func (SubflowClosed) Name() string { return "subflow_closed" }

// LogValue returns the fields of the snapshot and the error, if any.
func (e SubflowClosed) LogValue() slog.Value {
	return slog.GroupValue(append(e.Info.LogValue().Group(), errorAttrs(e.Err)...)...)
}

// Name returns "subflow_priority".
func (SubflowPriority) Name() string { return "subflow_priority" }

// LogValue returns the path, its new priority and who asked for it.
func (e SubflowPriority) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Uint64("path", uint64(e.ID)), slog.Bool("backup", e.Backup), slog.Bool("by_peer", e.Remote))
}

// Name returns "metrics_updated".
func (MetricsUpdated) Name() string { return "metrics_updated" }

// LogValue returns the fields of the snapshot.
func (e MetricsUpdated) LogValue() slog.Value { return e.Info.LogValue() }

// Name returns "data_reinjected".
func (DataReinjected) Name() string { return "data_reinjected" }

// LogValue returns both paths and the range of bytes.
func (e DataReinjected) LogValue() slog.Value {
	return slog.GroupValue(
		slog.Uint64("from", uint64(e.From)), slog.Uint64("to", uint64(e.To)),
		slog.Uint64("seq", e.Seq), slog.Int("len", e.Len))
}

// Name returns "scheduled".
func (Scheduled) Name() string { return "scheduled" }

// LogValue returns the path and the range of bytes.
func (e Scheduled) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("path", uint64(e.ID)), slog.Uint64("seq", e.Seq), slog.Int("len", e.Len))
}

func errorAttrs(err error) []slog.Attr {
	if err == nil {
		return nil
	}
	return []slog.Attr{slog.String("error", err.Error())}
}
