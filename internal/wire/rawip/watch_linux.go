package rawip

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// netChanges are the changes to hear of: links, addresses, routes, rules, neighbours.
const netChanges = unix.RTMGRP_LINK | unix.RTMGRP_NEIGH | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR |
	unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE | unix.RTMGRP_IPV4_RULE | 1<<(unix.RTNLGRP_IPV6_RULE-1)

// settleTime is how long changes are gathered before the stack hears of them: they come in bursts.
const settleTime = 20 * time.Millisecond

func subscribe() (*netlink.Conn, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE, &netlink.Config{Groups: netChanges})
	if err != nil {
		return nil, fmt.Errorf("rawip: no news of the network: %w", err)
	}
	return c, nil
}

// watch follows the kernel until the link is closed. A message says that something has changed, and no more
// is read from it. c is subscribed already when the link is opened: no change is missed.
func (l *Link) watch(c *netlink.Conn) {
	defer l.running.Done()
	for {
		l.followUntilClosed(c)
		for {
			l.pause()
			if l.closed.Load() {
				return
			}
			var err error
			if c, err = subscribe(); err == nil {
				break
			}
			l.counters.receiveErrors.Add(1)
		}
		l.generation.Add(1)
		l.routes.version.Add(1)
		l.stack.Changed(l.cfg.Clock()) // something may have, since the old socket failed
	}
}

// followUntilClosed reads messages until the socket fails, or the link is closed.
func (l *Link) followUntilClosed(c *netlink.Conn) {
	failed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-l.done:
		case <-failed:
		}
		c.Close() // ends a Receive that waits
	}()
	l.follow(c)
	close(failed)
	<-ended
}

// follow reads messages until the socket fails.
func (l *Link) follow(c *netlink.Conn) {
	for {
		msgs, err := c.Receive()
		switch {
		case l.closed.Load() || errors.Is(err, os.ErrClosed):
			return
		case err != nil && !errors.Is(err, unix.ENOBUFS): // after ENOBUFS something was lost: something changed
			l.counters.receiveErrors.Add(1)
			return
		}
		l.generation.Add(1)
		if err != nil || concernsRoutes(msgs) {
			l.routes.version.Add(1)
			t := time.NewTimer(settleTime)
			select {
			case <-t.C:
				l.stack.Changed(l.cfg.Clock())
			case <-l.done:
				t.Stop()
				return
			}
		}
	}
}

// concernsRoutes reports whether one of the messages is about more than a neighbour.
func concernsRoutes(msgs []netlink.Message) bool {
	for _, m := range msgs {
		if t := m.Header.Type; t != unix.RTM_NEWNEIGH && t != unix.RTM_DELNEIGH {
			return true
		}
	}
	return false
}
