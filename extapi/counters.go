package extapi

// Counters are what a Transport's own TCP (ModeWire) has counted since its first use: of all connections, those that
// are gone too, and of its listeners. They only grow, but for MPCurrEstab. Each is a number of events or segments, unless its
// name says Octets or Bytes, or its comment something else.
type Counters struct {
	TCP    TCPCounters
	Listen ListenCounters
	MPTCP  MPTCPCounters
	Link   LinkCounters
}

// TCPCounters are those of our own TCP. Where RFC 4898 has a counter, its name is the one here without tcpEStats and
// the table, so that
// SegsRetrans is tcpEStatsPerfSegsRetrans.
type TCPCounters struct {
	TCPPerfCounters
	TCPStackCounters
	TCPEventCounters
}

// TCPPerfCounters are of tcpEStatsPerfTable and tcpEStatsAppTable.
type TCPPerfCounters struct {
	SegsOut              uint64 // a super-segment counts as what it is split into
	DataSegsOut          uint64
	HCDataOctetsOut      uint64 // payload bytes, those sent again too
	SegsRetrans          uint64
	OctetsRetrans        uint64
	SegsIn               uint64
	DataSegsIn           uint64
	HCDataOctetsIn       uint64
	HCThruOctetsAcked    uint64
	HCThruOctetsReceived uint64
	Timeouts             uint64 // retransmission timeouts, of SYNs too
	CongSignals          uint64 // reductions of the congestion window: fast retransmits, ECN, timeouts
	ZeroRwinSent         uint64
	ZeroRwinRcvd         uint64
}

// TCPStackCounters are of tcpEStatsPathTable and tcpEStatsStackTable.
type TCPStackCounters struct {
	DupAcksOut         uint64 // ACKs without data that repeat the number and window of the one before
	DupAcksIn          uint64
	CERcvd             uint64
	ECESent            uint64
	ECNsignals         uint64 // ACKs that brought a mark of ours back
	SpuriousFrDetected uint64 // retransmissions found to have been unnecessary, after timeouts too
	SoftErrors         uint64 // of ICMP
	FastRetran         uint64
	AbruptTimeouts     uint64 // connections given up without an answer
	SACKsRcvd          uint64 // segments with SACK blocks
	SACKBlocksRcvd     uint64
	DSACKDups          uint64
}

// TCPEventCounters have no names in RFC 4898.
type TCPEventCounters struct {
	SimultaneousOpens uint64
	DupSYNs           uint64 // SYNs again, before the handshake was done
	InSYNs            uint64 // SYNs after it: challenged
	InRSTs            uint64 // RSTs that counted
	InAckErrs         uint64 // acknowledgments of what was never sent, or far too old
	InNoTS            uint64 // dropped for the lack of a timestamp
	PAWSDrops         uint64
	ChallengeAcks     uint64
	DupSegsIn         uint64 // with payload that had been received before
	OutOfOrderSegs    uint64
	ReassemblyDrops   uint64 // out of order, and no room to keep them
	BeyondWindow      uint64 // with payload beyond the window, which was cut off
	DSACKsSent        uint64
	SACKBlocksSent    uint64
	LossProbes        uint64
	WindowProbes      uint64
	KeepAlives        uint64
	ICMPIgnored       uint64 // quoting nothing that is in flight
	MTUReductions     uint64
	MTUProbes         uint64
	Supers            uint64 // super-segments sent
}

// ListenCounters are those of listeners of our own TCP. Linux counts the same in TcpExt and Tcp.
type ListenCounters struct {
	Admitted        uint64 // SYNs that a handshake was begun for
	CookiesSent     uint64
	CookiesRecv     uint64 // valid ones
	CookiesFailed   uint64
	ListenOverflows uint64 // SYNs and cookies dropped, since too many connections wait for Accept
	ListenDrops     uint64 // SYNs dropped, since too many handshakes are under way
	Resets          uint64 // RSTs in answer
}

// MPTCPCounters are those of Multipath TCP, under the names that Linux gives its own (net/mptcp/mib.h): MPJoinSynRx is what
// nstat shows as MPTcpExtMPJoinSynRx. Each is a number of events. Linux counts some of them at other moments of the
// same event, and has more, which mean nothing here: of sockets (MPJoinSynTxCreatSkErr, MD5SigFallback, MPCapableEndpAttempt), of
// how its queues and windows are kept (OFOQueueTail, OFOMerge, SndWndShared and the RcvWnd...), and of joins at ports
// that it did not announce (MismatchPort...), for here every listener takes them.
type MPTCPCounters struct {
	MPCapableCounters
	MPJoinCounters
	DSSCounters
	AddAddrCounters
	SubflowCounters
}

// MPCapableCounters are about the first subflow of a connection.
type MPCapableCounters struct {
	MPCapableSYNRX          uint64 // SYNs with MP_CAPABLE received
	MPCapableSYNTX          uint64 // connections begun with MP_CAPABLE
	MPCapableSYNACKRX       uint64 // answered with MP_CAPABLE
	MPCapableACKRX          uint64 // accepted with MP_CAPABLE
	MPCapableFallbackACK    uint64 // third message without MP_CAPABLE
	MPCapableFallbackSYNACK uint64 // SYN/ACK without MP_CAPABLE
	MPCapableSYNTXDrop      uint64 // SYNs with MP_CAPABLE that got no answer, so that one without it left
	MPCapableSYNTXDisabled  uint64 // connections begun without MP_CAPABLE, since it had got lost on the way there before
	MPCapableDataFallback   uint64 // fallbacks since no option came after the handshake
	MPFallbackTokenInit     uint64 // no token was free
	SimultConnectFallback   uint64 // both sides' SYNs crossed
	Blackhole               uint64 // destinations found to lose SYNs with MP_CAPABLE
	MPCurrEstab             uint64 // connections that there are now, those that have fallen back among them: it falls too
}

// MPJoinCounters are about further ones.
type MPJoinCounters struct {
	MPJoinNoTokenFound      uint64 // SYNs with MP_JOIN whose token no connection has
	MPJoinSynRx             uint64 // SYNs with MP_JOIN received
	MPJoinSynBackupRx       uint64 // of these, with the backup flag
	MPJoinSynAckRx          uint64 // joins of ours answered with a right HMAC
	MPJoinSynAckBackupRx    uint64 // of these, with the backup flag
	MPJoinSynAckHMacFailure uint64
	MPJoinAckRx             uint64 // joins of the peer's with a right HMAC
	MPJoinAckHMacFailure    uint64
	MPJoinRejected          uint64 // joins that the connection did not want
	MPJoinSynTx             uint64 // joins begun
	MPJoinSynTxBindErr      uint64 // joins for which no local port could be had
	MPJoinSynTxConnectErr   uint64 // joins to where no route leads
	MPJoinPortSynRx         uint64 // of MPJoinSynRx, to another port than the first subflow's
	MPJoinPortSynAckRx      uint64 // of MPJoinSynAckRx, from another port than the first subflow's
	MPJoinPortAckRx         uint64 // of MPJoinAckRx, to another port than the first subflow's
}

// DSSCounters are about data.
type DSSCounters struct {
	MPTCPRetrans          uint64 // mappings sent once more
	DSSNotMatching        uint64 // mappings that contradict earlier ones, or the protocol
	DSSNoMatchTCP         uint64 // mappings of subflow sequence numbers that can't be
	DSSCorruptionFallback uint64 // wrong DSS checksums after which the connection fell back
	DSSCorruptionReset    uint64 // wrong DSS checksums after which the subflow was reset
	DataCsumErr           uint64 // wrong DSS checksums
	DssFallback           uint64 // fallbacks since DSS options were missing that had come before
	FallbackFailed        uint64 // subflows reset, since what broke them allowed a fallback to the only subflow alone
	InfiniteMapTx         uint64
	InfiniteMapRx         uint64
	OFOQueue              uint64 // pieces of data that waited for others
	NoDSSInWindow         uint64 // pieces of data beyond the window
	DuplicateData         uint64 // pieces of data, some of which had come before
	WinProbe              uint64 // probes of the connection's window
}

// AddAddrCounters are about addresses.
type AddAddrCounters struct {
	AddAddr       uint64 // ADD_ADDR received with a right HMAC
	AddAddrTx     uint64
	AddAddrTxDrop uint64 // that no segment had room for, or too many others waited before
	AddAddrDrop   uint64 // received and not taken: too many
	EchoAdd       uint64 // ADD_ADDR of ours that came back
	EchoAddTx     uint64
	EchoAddTxDrop uint64 // as AddAddrTxDrop
	PortAdd       uint64 // ADD_ADDR received with a port
	RmAddr        uint64 // addresses that the peer took back
	RmAddrDrop    uint64 // of which nothing was known
	RmAddrTx      uint64 // REMOVE_ADDR sent, on each subflow
	RmAddrTxDrop  uint64 // as AddAddrTxDrop
	RmSubflow     uint64 // subflows closed, since an address of ours was taken back
}

// SubflowCounters are about what else is said of subflows, and their state.
type SubflowCounters struct {
	MPPrioTx       uint64
	MPPrioRx       uint64
	MPFailTx       uint64
	MPFailRx       uint64
	MPFastcloseTx  uint64
	MPFastcloseRx  uint64
	MPRstTx        uint64
	MPRstRx        uint64
	SubflowStale   uint64 // subflows that went stale
	SubflowRecover uint64 // and came back
}

// LinkCounters are those of the raw sockets, in segments if not said otherwise.
type LinkCounters struct {
	Received       uint64 // that were taken
	ReceivedBytes  uint64 // their payload
	Batches        uint64 // receive calls that brought something
	GuestBatches   uint64 // of these, how many a caller of Read or Write made, who waited for what they brought
	BadSegments    uint64 // did not parse: wrong checksum, impossible length
	NotOurs        uint64 // for a port or address that is not held
	ICMP           uint64 // ICMP errors taken
	ReceiveErrors  uint64 // receive calls that failed
	Sent           uint64 // through the raw socket
	SentSuper      uint64 // super-segments through the packet socket
	SentBytes      uint64 // payload, both ways
	Split          uint64 // super-segments that were split here, since their way had gone
	Full           uint64 // sends that found a socket's buffer full, and ended there (EAGAIN)
	NoBuffers      uint64 // lost to ENOBUFS or ENOMEM: a queue on this host was full
	NotPermitted   uint64 // lost to EPERM: a filter of this host refuses them
	Unreachable    uint64 // lost to ENETDOWN, ENETUNREACH, EHOSTUNREACH and the like
	TooLong        uint64 // lost to EMSGSIZE: longer than the interface's MTU
	SendErrors     uint64 // lost to any other error
	NotHeld        uint64 // refused: their source port is not held
	WeakShields    uint64 // ports shielded without MD5 signatures: only the TTL guards them
	SuperProven    uint64 // subflows whose first super-segment was acknowledged
	SuperAbandoned uint64 // subflows that gave super-segments up
}
