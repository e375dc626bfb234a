package pool

// Loan is memory of somebody else's that payload may arrive in: the buffer of an application that waits in Read, so that
// nothing need be copied there. What has arrived in it passes through as any other Ref does, but for a moment only: who
// keeps it calls Retain or Own, which copy it, and who knows that it is the next the application is to read calls Take.
// The zero Loan is ready.
type Loan struct {
	chunk Chunk
	to    any
	taken int
	more  bool
}

// Begin lends b, which belongs to a Read of to's, until End.
func (l *Loan) Begin(b []byte, to any) {
	l.chunk.b, l.chunk.loan = b, l
	l.to, l.taken, l.more = to, 0, false
}

// Ref is a Ref to b, a part of what is lent.
func (l *Loan) Ref(b []byte) Ref { return Ref{C: &l.chunk, B: b} }

// To says whose Read it is.
func (l *Loan) To() any { return l.to }

// Follow says that more waits behind what has arrived: the owner is likely to come back for it at once.
func (l *Loan) Follow() { l.more = true }

// More says whether more waits. Nothing does behind what is not lent, as far as is known.
func (l *Loan) More() bool { return l != nil && l.more }

// Take says that b, a part of what is lent that does not lie before what was taken so far, comes next.
func (l *Loan) Take(b []byte) {
	if to := l.chunk.b[l.taken:]; len(b) > 0 && &to[0] != &b[0] {
		copy(to, b)
	}
	l.taken += len(b)
}

// End ends the loan, and says how many bytes the application has: the first ones. The rest of its buffer may have been
// written to, as by any Read.
func (l *Loan) End() (taken int) {
	poison(l.chunk.b[l.taken:])
	l.chunk.b, l.to = nil, nil
	return l.taken
}

// Loan is what r lies in, if it is lent, and else nil.
func (r Ref) Loan() *Loan {
	if r.C == nil {
		return nil
	}
	return r.C.loan
}

// Own is r for who keeps it: a copy of what is lent, and else r itself with its reference.
func (r Ref) Own() Ref {
	if r.Loan() != nil {
		return Copy(r.B)
	}
	return r
}

// Pass is r for who passes it on before he returns: it has a reference of its own, and what is lent stays so.
func (r Ref) Pass() Ref {
	if r.Loan() != nil {
		return r
	}
	return r.Retain()
}
