package options

import "testing"

func TestMPPrioForms(t *testing.T) {
	checkExamples(t, []example{
		{"backup", "1e0351", MPPrio{Backup: true}, "MP_PRIO backup=true"},
		{"regular", "1e0350", MPPrio{}, "MP_PRIO backup=false"},
	})
}

func TestMPPrioLengths(t *testing.T) {
	checkLengths(t, []byte{Kind, 0, 0x51}, 3)
}
