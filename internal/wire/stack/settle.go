package stack

import (
	"context"
	"time"

	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

const (
	// settleMost is how long a peer may take to answer a FIN: two retransmissions of it on an ordinary path.
	settleMost = time.Second
	settleLook = 5 * time.Millisecond
)

// Settle waits until the FINs under way have been exchanged, so that Close resets none of these subflows, but no longer
// than settleMost.
func (s *Stack) Settle(ctx context.Context) error {
	end := time.NewTimer(settleMost)
	defer end.Stop()
	look := time.NewTicker(settleLook)
	defer look.Stop()
	for s.closing() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-look.C:
		}
	}
	return nil
}

// closing says whether a subflow has sent a FIN and waits for what follows.
func (s *Stack) closing() bool {
	for _, p := range s.allPorts() {
		if p.closing() {
			return true
		}
	}
	return false
}

func (p *port) closing() bool {
	d, _ := p.enter(0)
	closing := false
	if p.flow != nil && !p.over {
		switch p.flow.Conn().State() {
		case tcp.FinWait1, tcp.FinWait2, tcp.Closing, tcp.LastAck:
			closing = true
		}
	}
	if d != nil {
		d.Pause()
	} else {
		p.mu.Unlock()
	}
	return closing
}
