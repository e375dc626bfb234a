package mptcp

// Capabilities says what this process may do here, each with the reason when it may not.
type Capabilities struct {
	Wire   error // nil when ModeWire is usable; ErrNotPermitted with the remedy, or errors.ErrUnsupported
	Kernel error // nil when the operating system has MPTCP and it is on
	Watch  error // nil when address changes arrive as events rather than by polling
}

// Capabilities asks the operating system; with a Network of the program's own, Kernel and Watch are what that can do.
func (t *Transport) Capabilities() Capabilities {
	return Capabilities{Wire: t.wireError(), Kernel: kernelMPTCP(), Watch: t.watchError()}
}
