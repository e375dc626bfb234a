package scheduler

import (
	"fmt"
	"strings"
)

// builtin lists the schedulers of this package, the default first.
var builtin = []Factory{MinRTT, RoundRobin, Redundant, Weighted}

// Names returns the names that ByName accepts, the default first.
func Names() []string {
	names := make([]string, len(builtin))
	for i, f := range builtin {
		names[i] = f.Name()
	}
	return names
}

// ByName finds a scheduler of this package for a command line or a configuration file. The error
// lists the names there are.
func ByName(name string) (Factory, error) {
	for _, f := range builtin {
		if f.Name() == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("scheduler: no %q; there are %s", name, strings.Join(Names(), ", "))
}
