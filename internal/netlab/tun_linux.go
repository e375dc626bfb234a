package netlab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// queueLength is how many packets the kernel keeps for a reader that is busy: more than a window, so that
// nothing is lost that no element has lost.
const queueLength = 10_000

// tun is a TUN interface. The file belongs to it wherever it was made: no thread stays in its namespace.
type tun struct {
	*os.File
	iface string
}

func (t *tun) name() string { return t.iface }

// open makes an end.
func open(e End, mtu int) (device, error) {
	t, err := inNamespace(e.Namespace, func() (*tun, error) { return newTUN(e.Name) })
	if err != nil {
		return nil, err
	}
	if err := t.configure(e, mtu); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// inNamespace runs f on a thread in the namespace, which ends with it.
func inNamespace(ns string, f func() (*tun, error)) (t *tun, err error) {
	if ns == "" {
		return f()
	}
	file, err := os.Open(filepath.Join("/run/netns", ns))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no network namespace %q: \"ip netns add\" makes one", ns)
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread is not fit for anything else
		if err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
			err = fmt.Errorf("entering %s: %w", ns, err)
			return
		}
		t, err = f()
	}()
	<-done
	return t, err
}

func newTUN(name string) (*tun, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: "/dev/net/tun", Err: err}
	}
	if name == "" {
		name = "lab%d"
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("making interface %q: %w", name, err)
	}
	return &tun{os.NewFile(uintptr(fd), "/dev/net/tun"), req.Name()}, nil
}

// configure gives the interface its addresses and takes it up, with ip(8).
func (t *tun) configure(e End, mtu int) error {
	lines := []string{fmt.Sprintf("link set dev %s mtu %d txqueuelen %d up", t.iface, mtu, queueLength)}
	for _, a := range e.Addrs {
		flag := ""
		if a.Addr().Is6() {
			flag = " nodad"
		}
		lines = append(lines, fmt.Sprintf("addr add %v dev %s%s", a, t.iface, flag))
	}
	for _, r := range e.Routes {
		lines = append(lines, fmt.Sprintf("route add %v dev %s", r.Masked(), t.iface))
	}
	for _, line := range lines {
		args := strings.Fields(line)
		if e.Namespace != "" {
			args = append([]string{"-n", e.Namespace}, args...)
		}
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strconv.Quote(strings.TrimSpace(string(out))))
		}
	}
	return nil
}
