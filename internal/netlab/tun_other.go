//go:build !linux

package netlab

import (
	"errors"
	"fmt"
)

func open(End, int) (device, error) {
	return nil, fmt.Errorf("network namespaces are Linux's: %w", errors.ErrUnsupported)
}
