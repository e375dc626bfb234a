package stream

import (
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

// TestNetConn holds the driver to what programs expect of a net.Conn.
func TestNetConn(t *testing.T) {
	for _, flows := range []int{1, 2} {
		eachWorld(t, func(t *testing.T, w *world) {
			nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
				a, b := w.connect(t, false)
				for range flows - 1 {
					w.join(t, a, b)
				}
				return a, b, func() {
					finish(t, a, b)
				}, nil
			})
		})
	}
}
