package stream

import (
	"errors"

	"github.com/mptcp-go/mptcp/options"
)

// optionReader cuts a byte stream into options. It keeps a copy only of an option that the cut of the
// input has split.
type optionReader struct {
	buf [options.MaxLen]byte
	n   int
}

// next takes the first option off b. A nil option without an error means that all of b was consumed
// and more is needed. The option is a view into b or into r, valid until the next call.
func (r *optionReader) next(b []byte) (o options.Raw, consumed int, err error) {
	if r.n == 0 {
		if size := options.Size(b); size > 0 && size <= len(b) {
			return options.Raw(b[:size]), size, checkFrame(b)
		}
	}
	for consumed < len(b) {
		r.buf[r.n] = b[consumed]
		r.n++
		consumed++
		if err := checkFrame(r.buf[:r.n]); err != nil {
			return nil, consumed, err
		}
		if r.n >= 2 && r.n == int(r.buf[1]) {
			o, r.n = options.Raw(r.buf[:r.n]), 0
			return o, consumed, nil
		}
	}
	return nil, consumed, nil
}

// between says that no option has been begun.
func (r *optionReader) between() bool { return r.n == 0 }

// checkFrame looks at an option's first bytes. In a stream nothing needs padding, so that there is
// one kind only, and the shortest option is the one that has a subtype.
func checkFrame(b []byte) error {
	if b[0] != options.Kind {
		return violation("5", "not an option of kind 30")
	}
	if len(b) > 1 && (b[1] < 3 || b[1] > options.MaxLen) {
		return violation("5", "option length outside 3 to 40")
	}
	return nil
}

// malformed turns a codec's error into ours.
func malformed(err error) error {
	var p *options.ParseError
	if errors.As(err, &p) {
		return violation("5", p.Error())
	}
	return violation("5", err.Error())
}
