package options

// Decode decodes any option and boxes it. Options that this package does not know, by kind or by
// MPTCP subtype, come back as Unknown; known ones that are malformed give a *ParseError.
func Decode(r Raw) (Option, error) {
	if len(r) == 0 {
		return nil, &ParseError{Problem: "no option", Truncated: true}
	}
	if r[0] != Kind {
		return decodeTCP(r)
	}
	s, ok := r.Subtype()
	if !ok {
		return nil, r.bad(2, "no subtype", len(r))
	}
	switch s {
	case SubMPCapable:
		return box(ParseMPCapable(r))
	case SubMPJoin:
		return box(ParseMPJoin(r))
	case SubDSS:
		return box(ParseDSS(r))
	case SubAddAddr:
		return box(ParseAddAddr(r))
	case SubRemoveAddr:
		return box(ParseRemoveAddr(r))
	case SubMPPrio:
		return box(ParseMPPrio(r))
	case SubMPFail:
		return box(ParseMPFail(r))
	case SubFastclose:
		return box(ParseFastclose(r))
	case SubTCPRst:
		return box(ParseTCPRst(r))
	case SubPrivate:
		return box(ParsePrivate(r))
	}
	return box(ParseUnknown(r))
}

// box keeps a failed parse from coming back as a non-nil Option with zero content.
func box[T Option](o T, err error) (Option, error) {
	if err != nil {
		return nil, err
	}
	return o, nil
}
