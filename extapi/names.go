package extapi

import (
	"fmt"
	"strconv"
)

// nameOf looks v up in a table of stable names. A value that the table does not know prints as
// "Type(7)", so that a log from a newer version still tells something.
func nameOf[E ~uint8](typ string, table []string, v E) string {
	if int(v) < len(table) && table[v] != "" {
		return table[v]
	}
	return typ + "(" + strconv.Itoa(int(v)) + ")"
}

// parseName is the inverse of nameOf for the names in the table.
func parseName[E ~uint8](typ string, table []string, text []byte) (E, error) {
	for i, n := range table {
		if n != "" && n == string(text) {
			return E(i), nil
		}
	}
	return 0, fmt.Errorf("extapi: no %s is called %q", typ, text)
}
