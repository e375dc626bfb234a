package congestion

import (
	"fmt"
	"strings"
)

// builtin are the factories of this package, ModeWire's default first.
var builtin = []Factory{Cubic, Reno, LIA, OLIA, BALIA}

// Names returns the names that ByName accepts, the default of ModeWire first.
func Names() []string {
	names := make([]string, len(builtin))
	for i, f := range builtin {
		names[i] = f.Name()
	}
	return names
}

// ByName finds a controller of this package for a command line or a configuration file. The error
// lists the names that there are.
func ByName(name string) (Factory, error) {
	for _, f := range builtin {
		if f.Name() == name {
			return f, nil
		}
	}
	return nil, fmt.Errorf("congestion: no %q; there are %s", name, strings.Join(Names(), ", "))
}
