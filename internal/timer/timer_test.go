package timer

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
)

// owner is larger than what the allocator puts together with others.
type owner struct {
	fired atomic.Int32
	_     [64]byte
}

func (o *owner) fire() { o.fired.Add(1) }

func TestTimerFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o owner
		x := After(time.Minute, &o, (*owner).fire)
		wait := func(d time.Duration, fired int) {
			time.Sleep(d)
			synctest.Wait()
			require.EqualValues(t, fired, o.fired.Load())
		}
		wait(time.Minute-1, 0)
		wait(1, 1)
		wait(time.Hour, 1)
		x.Reset(time.Minute)
		wait(time.Second, 1)
		x.Reset(time.Minute)
		wait(time.Minute, 2)
		x.Reset(time.Minute)
		x.End()
		wait(time.Hour, 2)
		x.Reset(time.Minute)
		wait(time.Hour, 2)
		(*Timer[owner])(nil).End()
	})
}

// The bubble's heap keeps a stopped timer as that of an idle processor does.
func TestEndedTimerLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := func() weak.Pointer[owner] {
			o := new(owner)
			After(time.Minute, o, (*owner).fire).End()
			return weak.Make(o)
		}()
		runtime.GC()
		require.Nil(t, w.Value())
	})
}

// And that of package time is kept, else this package is not needed any more.
func TestStoppedTimerOfPackageTimeDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := func() weak.Pointer[owner] {
			o := new(owner)
			time.AfterFunc(time.Minute, o.fire).Stop()
			return weak.Make(o)
		}()
		runtime.GC()
		require.NotNil(t, w.Value())
	})
}
