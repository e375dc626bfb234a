package recovery

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// hostility is how bad a link is.
type hostility struct{ loss, ackLoss, reorder, copies, stretch int } // per mille

// badLink draws what happens to packets and ACKs.
func badLink(t *rapid.T, w *world, h hostility, rtt time.Duration) {
	chance := func(perMille int) bool { return perMille > 0 && w.rnd.Intn(1000) < perMille }
	w.rnd.Seed(rapid.Int64().Draw(t, "seed"))
	w.lose = func(*world, packet) bool { return chance(h.loss) }
	w.loseACK = func(*world) bool { return chance(h.ackLoss) }
	w.copies = func(*world, packet) int {
		if chance(h.copies) {
			return 2
		}
		return 1
	}
	late := func(*world) time.Duration {
		d := rtt / 2
		if chance(h.reorder) {
			d += time.Duration(w.rnd.Int63n(int64(rtt)))
		}
		if chance(h.stretch) {
			d += time.Duration(w.rnd.Int63n(int64(5 * rtt)))
		}
		return d
	}
	w.delay, w.back = late, late
}

// TestAnyTransfer: whatever a link does, every byte arrives, the Sender's sums are those of a naive
// recomputation after every step, and what is retransmitted without need is bounded by what the link
// did.
func TestAnyTransfer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rtt := time.Duration(rapid.IntRange(1, 300).Draw(t, "rtt ms")) * time.Millisecond
		n := rapid.IntRange(1, 4000).Draw(t, "bytes")
		w := newWorld(n, rtt, func(c *Config) {
			c.MSS = 100
			c.SACK, c.Timestamps = true, rapid.Bool().Draw(t, "timestamps")
			c.Pacing = rapid.Bool().Draw(t, "pacing")
		})
		w.super = int64(rapid.SampledFrom([]int{100, 100, 700}).Draw(t, "super"))
		w.window = uint64(rapid.SampledFrom([]int{1 << 30, 1000, 300}).Draw(t, "window"))
		w.rcv.every = rapid.IntRange(1, 4).Draw(t, "ack every")
		w.rcv.delayed = time.Duration(rapid.IntRange(0, 200).Draw(t, "delayed ms")) * time.Millisecond
		if rapid.Bool().Draw(t, "slow") {
			w.rate, w.queue = int64(rapid.IntRange(2000, 100_000).Draw(t, "rate")), 2000
		}
		h := hostility{
			loss:    rapid.SampledFrom([]int{0, 10, 100, 300}).Draw(t, "loss"),
			ackLoss: rapid.SampledFrom([]int{0, 10, 300}).Draw(t, "ack loss"),
			reorder: rapid.SampledFrom([]int{0, 50, 500}).Draw(t, "reorder"),
			copies:  rapid.SampledFrom([]int{0, 50}).Draw(t, "copies"),
			stretch: rapid.SampledFrom([]int{0, 20}).Draw(t, "stretch"),
		}
		badLink(t, w, h, rtt)
		m := newModel(w.s)
		w.hooks = hooks{onSend: m.onSend, onAck: m.onAck, onTimer: m.onTimer}
		w.step = func(w *world, what string, o Outcome) {
			if b := w.s.broken(); b != "" {
				t.Fatalf("at %v after %s: %s", w.now, what, b)
			}
			if d := m.differs(); d != "" {
				t.Fatalf("at %v after %s %+v: %s", w.now, what, o, d)
			}
		}
		require.True(t, w.run(10*time.Hour), "not all was acknowledged: %d of %d at %v", w.s.Una(), w.total, w.now)
		require.Equal(t, w.total, w.rcv.next)
	})
}

// TestQuietTransfer: without loss and reordering nothing is sent twice, whatever the receiver's way of
// acknowledging.
func TestQuietTransfer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rtt := time.Duration(rapid.IntRange(1, 300).Draw(t, "rtt ms")) * time.Millisecond
		w := newWorld(rapid.IntRange(1, 300_000).Draw(t, "bytes"), rtt, func(c *Config) {
			c.SACK, c.Timestamps = rapid.Bool().Draw(t, "sack"), rapid.Bool().Draw(t, "timestamps")
			c.Pacing = rapid.Bool().Draw(t, "pacing")
		})
		w.super = int64(rapid.SampledFrom([]int{simMSS, 5 * simMSS, 64 * simMSS}).Draw(t, "super"))
		w.rcv.every = rapid.IntRange(1, 2).Draw(t, "ack every")
		w.rcv.delayed = time.Duration(rapid.IntRange(0, 40).Draw(t, "delayed ms")) * time.Millisecond
		slow := rapid.Bool().Draw(t, "slow")
		if slow {
			w.rate = int64(rapid.IntRange(1e6, 1e8).Draw(t, "rate"))
		}
		require.True(t, w.run(time.Hour))
		require.Zero(t, w.timeouts)
		if slow {
			// The queue makes the round trip longer than the estimate, for which one probe is the right thing.
			require.LessOrEqual(t, w.again, 1)
			return
		}
		require.Zero(t, w.again)
		require.Zero(t, w.probes)
	})
}

// TestAnyTransferWithoutSACK: every byte arrives without SACK too, whatever the link does.
func TestAnyTransferWithoutSACK(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rtt := time.Duration(rapid.IntRange(1, 300).Draw(t, "rtt ms")) * time.Millisecond
		w := newWorld(rapid.IntRange(1, 50_000).Draw(t, "bytes"), rtt, func(c *Config) {
			c.SACK, c.Timestamps = false, rapid.Bool().Draw(t, "timestamps")
		})
		w.super = int64(rapid.SampledFrom([]int{simMSS, 7 * simMSS}).Draw(t, "super"))
		badLink(t, w, hostility{
			loss:    rapid.SampledFrom([]int{0, 10, 200}).Draw(t, "loss"),
			ackLoss: rapid.SampledFrom([]int{0, 300}).Draw(t, "ack loss"),
			reorder: rapid.SampledFrom([]int{0, 300}).Draw(t, "reorder"),
			copies:  rapid.SampledFrom([]int{0, 50}).Draw(t, "copies"),
		}, rtt)
		w.step = func(w *world, what string, _ Outcome) {
			if b := w.s.broken(); b != "" {
				t.Fatalf("at %v after %s: %s", w.now, what, b)
			}
		}
		require.True(t, w.run(10*time.Hour))
		require.Equal(t, w.total, w.rcv.next)
	})
}
