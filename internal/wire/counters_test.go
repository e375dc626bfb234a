package wire

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/mptcp-go/mptcp/extapi"
	"github.com/mptcp-go/mptcp/internal/mib"
	"github.com/mptcp-go/mptcp/internal/wire/tcp"
)

// Each of TCP's counters is shown, under its own name: what is a number of events, is of type uint64 and is no gauge.
func TestEveryCounterIsShown(t *testing.T) {
	gauges := map[string]bool{"CurRwinSent": true, "SndNxt": true, "SndUna": true, "RcvNxt": true}
	known := map[string]bool{}
	shown := reflect.TypeFor[extapi.TCPCounters]()
	for table := range reflect.TypeFor[tcp.Stats]().Fields() {
		for _, f := range reflect.VisibleFields(table.Type) {
			if f.Type.Kind() != reflect.Uint64 || gauges[f.Name] {
				continue
			}
			known[f.Name] = true
			var s tcp.Stats
			reflect.ValueOf(&s).Elem().FieldByName(table.Name).FieldByName(f.Name).SetUint(9)
			want := reflect.New(shown).Elem()
			if _, ok := shown.FieldByName(f.Name); !ok {
				require.Contains(t, []string{"ExtensionDrops", "SYNData"}, f.Name, "of no use to a program")
				continue
			}
			want.FieldByName(f.Name).SetUint(9)
			require.Equal(t, want.Interface(), countersOf(&s), f.Name)
		}
	}
	mib.Named(extapi.TCPCounters{}, func(name string, _ uint64) { require.True(t, known[name], name) })
}
