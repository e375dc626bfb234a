package driver

import (
	"errors"
	"net"
	"os"
	"time"
)

// Patience is how much longer a peer may keep silent before that counts. It is spent in pieces, each half of what is left.
//
// A deadline that has passed wins over bytes that are there, in package net as well, and a timer fires before anybody looks at
// the sockets. A process that did not run for a while, for want of a processor, would take its own sleep for the peer's silence.
// This way such a sleep costs one piece, and the next one begins with a look at what has come.
type Patience time.Duration

// lastPiece is so short that it is not cut any more.
const lastPiece = 2 * time.Millisecond

// Next takes a piece; 0: there is none left.
func (p *Patience) Next() time.Duration {
	d := time.Duration(*p)
	if d > lastPiece {
		d = (d + 1) / 2
	}
	*p -= Patience(d)
	return d
}

// limit is by when something must have been read; the zero value: no limit.
type limit struct {
	at   time.Duration // the end of a piece
	left Patience
}

func (l *limit) set(now, d time.Duration) {
	l.left = Patience(d)
	l.at = now + l.left.Next()
}

// passed goes on to the next piece when the end of one has come.
func (l *limit) passed(now time.Duration) bool {
	if l.at == 0 || l.at > now {
		return false
	}
	d := l.left.Next()
	l.at = now + d
	return d == 0
}

// PatientReader reads what may never come. That nothing has come in time it says after a look.
type PatientReader struct {
	Conn net.Conn
	Over func() bool // somebody has ended the wait, and sets a deadline in the past; nil: nobody does
	left Patience
}

// Wait bounds all that is read from here on; 0 or less lifts the bound.
func (r *PatientReader) Wait(d time.Duration) {
	r.left = Patience(max(d, 0))
	r.next()
}

func (r *PatientReader) next() { _ = r.Conn.SetReadDeadline(Deadline(r.left.Next())) }

func (r *PatientReader) Read(b []byte) (int, error) {
	for {
		n, err := r.Conn.Read(b)
		if r.left == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		r.next()
		if r.Over != nil && r.Over() { // the deadline that ends the wait may have come before ours
			r.left = 0
			return n, err
		}
		if n > 0 {
			return n, nil
		}
	}
}
