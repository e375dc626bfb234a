package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/mptcp-go/mptcp"
)

// usageError is a command line that makes no sense.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// advice says what to do about err; empty when err says it all.
func advice(err error) string {
	var dns *net.DNSError
	switch {
	case errors.Is(err, mptcp.ErrNotPermitted):
		return "-mode wire needs the capability CAP_NET_RAW. -mode stream needs none, if the other side runs this program too; " +
			"-mode kernel has the operating system do it."
	case errors.Is(err, errors.ErrUnsupported):
		return "-mode wire needs Linux. Choose another mode: \"mptcp info\" lists what can be used here."
	case errors.Is(err, mptcp.ErrPolicy):
		return "The path policy leaves no path to that address. \"mptcp info\" lists the interfaces and their names."
	case errors.Is(err, mptcp.ErrNotMultipath):
		return "The other side does not speak Multipath TCP, or something between strips it. Leave out -peer, -require and " +
			"-secret-file to go on with plain TCP."
	case errors.Is(err, mptcp.ErrNoPath):
		return "Every path is gone. Check the links (\"mptcp info\") and try again."
	case errors.As(err, &dns):
		return "Check the spelling of the host name and the DNS server."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "Nothing listens at that address. Is the server running, and is the port right?"
	case errors.Is(err, syscall.EADDRINUSE):
		return "Another program has that port. Choose another address to listen on."
	case errors.Is(err, syscall.EACCES) && !isFileError(err):
		return "Ports below 1024 need privileges. Choose a higher one."
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "The other side did not answer in time. Check the address and any firewall between."
	}
	return ""
}

// settled says that the same command would fail in the same way again: the reason lies in its flags, in this machine or
// in the name and the certificate of the other.
func settled(err error) bool {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	return errors.Is(err, mptcp.ErrPolicy) || errors.Is(err, mptcp.ErrNotPermitted) || errors.Is(err, errors.ErrUnsupported) ||
		errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &cert)
}

func isFileError(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p)
}
