package extapi

// Identifiers.
type (
	// ConnID names a connection within this process. It is local, counts from 1 and is never
	// reused within a process; 0 is no connection.
	ConnID uint64

	// PathID names a subflow within its connection. It is local, counts from 1 and is never reused
	// within a connection; 0 is no path.
	PathID uint32

	// AddrID is the address identifier of RFC 8684 section 3.4.1: one side's name for one of its
	// addresses. The address of the first subflow has the identifier 0.
	AddrID uint8
)
