//go:build !linux || mptcp_portable

package netmon

import (
	"errors"
	"fmt"
	"runtime"
)

// openEvents says that address changes are found by polling here.
func openEvents(Options) (source, error) {
	return nil, fmt.Errorf("netmon: no address events on %s in this build: %w", runtime.GOOS, errors.ErrUnsupported)
}
