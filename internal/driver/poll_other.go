//go:build !linux || mptcp_portable

package driver

import (
	"errors"
	"os"

	"github.com/mptcp-go/mptcp/engine"
)

// pollSet has nothing to offer here: every flow has a reader goroutine of its own.
type pollSet struct {
	file *os.File
	n    int
}

func newPollSet() (*pollSet, error) { return nil, errors.ErrUnsupported }

func (s *pollSet) add(*flow) error { return errors.ErrUnsupported }

func (s *pollSet) remove(*flow) {}

func (s *pollSet) wait(bool) {}

func (s *pollSet) id(int) engine.PathID { return 0 }

func (s *pollSet) take(int) {}

func (s *pollSet) close() {}
