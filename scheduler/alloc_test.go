package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func busy(paths int) View {
	v := View{Unsent: 1 << 30, PeerWindow: 1 << 30}
	for i := range paths {
		v.Paths = append(v.Paths, Path{
			ID: PathID(i + 1), Room: 1 << 20, SRTT: time.Duration(i+1) * ms, RTTVar: ms / 4, Rate: int64(i+1) * 1e6,
		})
	}
	return v
}

func TestNextDoesNotAllocate(t *testing.T) {
	for _, f := range builtin {
		s, v := f.New(), busy(8)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			v.Paths[0].SRTT = -v.Paths[0].SRTT
			s.Next(&v)
		}), f.Name())
	}
}

func BenchmarkNext(b *testing.B) {
	for _, f := range builtin {
		for _, n := range []int{2, 8} {
			b.Run(fmt.Sprintf("%s/%d", f.Name(), n), func(b *testing.B) {
				s, v := f.New(), busy(n)
				b.ReportAllocs()
				for b.Loop() {
					if s.Next(&v).Path == 0 {
						b.Fatal("no path")
					}
				}
			})
		}
	}
}
