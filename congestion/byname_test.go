package congestion

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestByName(t *testing.T) {
	require.Equal(t, []string{"cubic", "reno", "lia", "olia", "balia"}, Names())
	for _, name := range Names() {
		f, err := ByName(name)
		require.NoError(t, err)
		require.Equal(t, name, f.Name())
	}
	_, err := ByName("bbr")
	require.EqualError(t, err, `congestion: no "bbr"; there are cubic, reno, lia, olia, balia`)
}
