package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One of two paths dies at any moment while both ends close, with a DATA_FIN, a DATA_ACK or a FIN on it: what is lost with it
// leaves on the other. Both learn soon that all has arrived.
func TestPathDiesDuringTheClose(t *testing.T) {
	const delay = 10 * time.Millisecond
	for at := time.Duration(0); at < 12*delay; at += time.Millisecond {
		for _, apart := range []time.Duration{0, delay, 3 * delay} {
			for how := range 4 {
				t.Run(fmt.Sprint(at, apart, how), func(t *testing.T) {
					l := newLab(t, 1)
					links := []*labLink{{delay: delay, queue: 1 << 20}, {delay: delay * 3 / 2, queue: 1 << 20}}
					l.first(links[0])
					l.connect(links[1], FlowParams{Local: labAddr("10.0.2.1:5000"), Remote: labAddr("10.0.1.2:80"), LocalID: 1})
					l.client.out, l.server.out = labBytes(100<<10), labBytes(100<<10)
					l.run(time.Second, func() bool { return false })
					first, second := l.client, l.server
					if how&1 != 0 {
						first, second = second, first
					}
					first.c.Close(l.now)
					l.after(apart, func() { second.c.Close(l.now) })
					l.after(at, func() { links[how>>1].dead = true })
					l.run(l.now+2*lingerFIN, func() bool { return first.c.Done() && second.c.Done() })
					require.True(t, first.c.Done() && second.c.Done())
					require.NoError(t, first.c.Err())
					require.NoError(t, second.c.Err())
				})
			}
		}
	}
}
