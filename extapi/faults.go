package extapi

import "log/slog"

// Events of things that went wrong and were survived.
type (
	// ProtocolViolation says that the peer, or something on the path, broke the protocol on a subflow.
	// What was wrong had no effect; if the subflow had to be reset, SubflowClosed follows.
	ProtocolViolation struct {
		ID  PathID
		Err error
	}

	// SchedulerFailed says that the program's scheduler panicked and that the default one took over.
	SchedulerFailed struct{ Value any }

	// CongestionFailed says that the program's congestion control panicked on a subflow, and that the default took its
	// place there. It is said of the first subflow to which that happens.
	CongestionFailed struct {
		ID    PathID
		Value any
	}

	// SendFailed says that segments of a subflow of our own TCP (ModeWire) could not leave this host: a filter refuses them
	// (EPERM), the interface is down (ENETDOWN), there is no route, they are longer than its MTU (EMSGSIZE), a queue is full
	// (ENOBUFS). For TCP they are lost, and sent again. It is said once a second at the most.
	SendFailed struct {
		ID  PathID
		Err error
	}
)

// Name returns "protocol_violation".
func (ProtocolViolation) Name() string { return "protocol_violation" }

// LogValue returns the subflow and what was wrong.
func (e ProtocolViolation) LogValue() slog.Value {
	return slog.GroupValue(append([]slog.Attr{slog.Uint64("path_id", uint64(e.ID))}, errorAttrs(e.Err)...)...)
}

// Name returns "scheduler_failed".
func (SchedulerFailed) Name() string { return "scheduler_failed" }

// LogValue returns the value of the panic.
func (e SchedulerFailed) LogValue() slog.Value { return slog.GroupValue(slog.Any("panic", e.Value)) }

// Name returns "congestion_failed".
func (CongestionFailed) Name() string { return "congestion_failed" }

// LogValue returns the subflow and the value of the panic.
func (e CongestionFailed) LogValue() slog.Value {
	return slog.GroupValue(slog.Uint64("path_id", uint64(e.ID)), slog.Any("panic", e.Value))
}

// Name returns "send_failed".
func (SendFailed) Name() string { return "send_failed" }

// LogValue returns the subflow and the reason.
func (e SendFailed) LogValue() slog.Value {
	return slog.GroupValue(append([]slog.Attr{slog.Uint64("path_id", uint64(e.ID))}, errorAttrs(e.Err)...)...)
}
