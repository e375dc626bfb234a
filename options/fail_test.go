package options

import "testing"

func TestMPFailForms(t *testing.T) {
	checkExamples(t, []example{
		{"capture 32", "1e0c6000 490c0044c7246cd4", MPFail{DSN: 0x490c0044c7246cd4}, "MP_FAIL dsn=0x490c0044c7246cd4"},
	})
}

func TestMPFailLengths(t *testing.T) {
	checkLengths(t, []byte{Kind, 0, 0x60, 0}, 12)
}
