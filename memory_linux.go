package mptcp

import "golang.org/x/sys/unix"

func machineMemory() int64 {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return unknownMemory
	}
	return int64(uint64(si.Totalram) * uint64(si.Unit))
}
