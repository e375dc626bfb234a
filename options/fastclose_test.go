package options

import "testing"

func TestFastcloseForms(t *testing.T) {
	checkExamples(t, []example{
		{"capture 10", "1e0c7000 ad592d481344efbe", Fastclose{ReceiverKey: 0xad592d481344efbe}, "MP_FASTCLOSE"},
	})
}

func TestFastcloseLengths(t *testing.T) {
	checkLengths(t, []byte{Kind, 0, 0x70, 0}, 12)
}
