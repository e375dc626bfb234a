package options

import "testing"

func TestTCPRstForms(t *testing.T) {
	checkExamples(t, []example{
		{"permanent", "1e048003", TCPRst{Reason: 3}, "MP_TCPRST reason=3 transient=false"},
		{"transient", "1e048106", TCPRst{Transient: true, Reason: 6}, "MP_TCPRST reason=6 transient=true"},
		{"U", "1e048800", TCPRst{U: true}, "MP_TCPRST reason=0 transient=false"},
		{"V", "1e048400", TCPRst{V: true}, "MP_TCPRST reason=0 transient=false"},
		{"W", "1e0482ff", TCPRst{W: true, Reason: 255}, "MP_TCPRST reason=255 transient=false"},
	})
}

func TestTCPRstLengths(t *testing.T) {
	checkLengths(t, []byte{Kind, 0, 0x80, 0}, 4)
}
