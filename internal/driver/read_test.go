package driver

import (
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/engine"
	"github.com/mptcp-go/mptcp/options"
)

// piped is a socket that takes everything, and from which comes what the peer writes to a pipe.
type piped struct{ sink }

func (s *piped) Readv(t Target, wait bool) (int, error) {
	if !wait {
		return 0, ErrAgain
	}
	n, err := s.end.Read(t.Buffers()[0])
	if err != nil {
		t.Drop()
	}
	return n, err
}

// conversation is a connection over such a socket, and its peer.
type conversation struct {
	t      *testing.T
	c      *Conn
	w      *wire
	theirs net.Conn
	peer   stream
}

func converse(t *testing.T) *conversation {
	ours, theirs := net.Pipe()
	x := &conversation{t: t, w: new(wire), theirs: theirs}
	x.c = NewConn(Params{Engine: testEngine(), Key: ourKey}, func(now time.Duration, e *engine.Conn) { e.SetRemote(now, theirKey) })
	_, err := x.c.Attach(Subflow{
		Flow: x.w, Bind: x.w.bind, Net: ours, Raw: &piped{sink{end: ours}},
		Params: engine.FlowParams{Initial: true}, Established: true,
	})
	require.NoError(t, err)
	x.c.Update(func(now time.Duration, e *engine.Conn) { e.HandleWindow(now, x.w.id, ourKey.IDSN()+1, 1<<30) })
	return x
}

// say is what the peer says, and has its consequences. Somebody must read the socket.
func (x *conversation) say(b []byte) {
	x.t.Helper()
	require.NoError(x.t, x.theirs.SetWriteDeadline(time.Now().Add(time.Second)))
	_, err := x.theirs.Write(b)
	require.NoError(x.t, err, "nobody reads the socket")
	synctest.Wait()
}

func (x *conversation) data(s string) {
	x.t.Helper()
	x.peer.record([]byte(s))
	x.say(x.peer.Next(x.peer.Len()))
}

// ack acknowledges all that has been sent.
func (x *conversation) ack() {
	x.t.Helper()
	var sent int
	x.c.Update(func(time.Duration, *engine.Conn) { sent = len(x.w.sent) })
	x.say(options.DSS{HasAck: true, Ack64: true, DataAck: ourKey.IDSN() + 1 + uint64(sent)}.Append(nil))
}

// stuck is a Writer that takes nothing until it is let go.
type stuck chan struct{}

func (w stuck) Write(b []byte) (int, error) {
	<-w
	return len(b), nil
}

// A Writer that takes its time holds up nobody who waits for the peer: else a program that copies both ways between two
// connections could stand still, each copy in a Write whose DATA_ACK the other one leaves unread.
func TestWriteToLetsOthersReadWhileTheWriterIsStuck(t *testing.T) {
	for name, act := range map[string]func(*testing.T, *Conn) error{
		"Write": func(_ *testing.T, c *Conn) error {
			_, err := c.Write(make([]byte, 2*testEngine().SendBuffer))
			return err
		},
		"Flush": func(t *testing.T, c *Conn) error {
			write(t, c, 1)
			return c.Flush(t.Context())
		},
	} {
		for _, first := range []bool{false, true} { // it waits before the Writer gets stuck
			t.Run(fmt.Sprintf("%s %t", name, first), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					x := converse(t)
					defer end(t, x.c, x.theirs)
					w, copied, acted := make(stuck), make(chan int64, 1), make(chan error, 1)
					go func() {
						n, _ := x.c.WriteTo(w)
						copied <- n
					}()
					start := func() {
						go func() { acted <- act(t, x.c) }()
						synctest.Wait()
					}
					if first {
						start()
					}
					x.data("hello")
					if !first {
						start()
					}
					require.Empty(t, acted)
					for range 3 {
						x.ack()
					}
					require.Len(t, acted, 1, "all is acknowledged")
					require.NoError(t, <-acted)

					close(w)
					synctest.Wait()
					x.data(" again")
					require.NoError(t, x.c.CloseRead())
					require.EqualValues(t, len("hello again"), <-copied)
				})
			})
		}
	}
}
