package stream

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Version is the version of the stream carrier that this package speaks.
const Version = 1

// PrefaceLen is the length in bytes of a preface and of its answer, the same in every version.
const PrefaceLen = 30

const (
	// questionMagic begins a preface. No UTF-8 text begins with 0x9E; as the first bytes of a length
	// it is absurdly large in either byte order; no TLS, SSH, HTTP/1 or HTTP/2 connection begins with it.
	questionMagic = "\x9eMPTCP/"
	// answerMagic begins an answer. It differs from the question even where case is lost: see proof.
	answerMagic = "\x9emptcp/"
	// prefaceEnd makes a server that reads lines answer at once.
	prefaceEnd = "\r\n\r\n"

	versionAt = len(questionMagic)
	spaceAt   = versionAt + 2
	nonceAt   = spaceAt + 1
	endAt     = nonceAt + 16

	lowerHex = "0123456789abcdef"
)

// Preface is what a client's first bytes say.
type Preface struct {
	Version uint8 // the highest version that the client speaks
	Nonce   uint64
}

// Append appends the encoding, PrefaceLen bytes.
func (p Preface) Append(dst []byte) []byte {
	return appendPreface(dst, questionMagic, p.Version, p.Nonce)
}

// AppendAnswer appends the answer to p, PrefaceLen bytes: it names the version that both sides use
// from here on and proves that it was made for p's nonce.
func (p Preface) AppendAnswer(dst []byte, version uint8) []byte {
	return appendPreface(dst, answerMagic, version, p.proof(version))
}

// proof is what only somebody who has read this preface, and speaks this protocol, answers.
func (p Preface) proof(version uint8) uint64 {
	var b [64]byte
	in := append(b[:0], "mptcp stream answer"...)
	in = append(in, p.Version, version)
	in = binary.BigEndian.AppendUint64(in, p.Nonce)
	sum := sha256.Sum256(in)
	return binary.BigEndian.Uint64(sum[:8])
}

func appendPreface(dst []byte, magic string, version uint8, value uint64) []byte {
	var v [8]byte
	binary.BigEndian.PutUint64(v[:], value)
	dst = append(dst, magic...)
	dst = append(dst, lowerHex[version>>4], lowerHex[version&15], ' ')
	dst = hex.AppendEncode(dst, v[:])
	return append(dst, prefaceEnd...)
}

// Verdict is what is known of a connection's first bytes.
type Verdict uint8

const (
	// NeedMore: everything so far fits.
	NeedMore Verdict = iota
	// NotPreface: something else is spoken here. What was consumed belongs to it.
	NotPreface
	// IsPreface: a whole preface was read.
	IsPreface
)

// Sniffer tells a preface from everything else, byte by byte. The zero value is ready.
type Sniffer struct {
	buf     [PrefaceLen]byte
	n       int
	verdict Verdict
}

// Feed looks at b, the next bytes from the connection, in any cut, and says how many of them it
// consumed. On IsPreface the rest of b is the first option; on NotPreface the connection's bytes are
// Bytes followed by the rest of b.
func (s *Sniffer) Feed(b []byte) (v Verdict, consumed int) {
	for consumed < len(b) && s.verdict == NeedMore {
		if !fits(questionMagic, s.n, b[consumed]) {
			s.verdict = NotPreface
			break
		}
		s.buf[s.n] = b[consumed]
		s.n++
		consumed++
		if s.n == PrefaceLen {
			s.verdict = IsPreface
		}
	}
	return s.verdict, consumed
}

// Begun says that at least one byte has been read and that it may be a preface's.
func (s *Sniffer) Begun() bool { return s.n > 0 && s.verdict != NotPreface }

// Bytes is everything consumed: what a plain TCP connection delivers first after NotPreface.
func (s *Sniffer) Bytes() []byte { return s.buf[:s.n] }

// Preface is what was read, valid after IsPreface.
func (s *Sniffer) Preface() Preface {
	return Preface{Version: hexByte(s.buf[versionAt:]), Nonce: hexUint64(s.buf[nonceAt:])}
}

// fits says whether c may be byte i of a preface that begins with magic.
func fits(magic string, i int, c byte) bool {
	switch {
	case i < versionAt:
		return c == magic[i]
	case i == spaceAt:
		return c == ' '
	case i < endAt:
		return bytes.IndexByte([]byte(lowerHex), c) >= 0
	default:
		return c == prefaceEnd[i-endAt]
	}
}

func hexByte(b []byte) uint8 { return unhex(b[0])<<4 | unhex(b[1]) }

func hexUint64(b []byte) (v uint64) {
	for _, c := range b[:16] {
		v = v<<4 | uint64(unhex(c))
	}
	return v
}

// unhex is the value of a digit that fits has let through.
func unhex(c byte) uint8 {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}

// Answer is what is known of a server's first bytes.
type Answer uint8

const (
	// AnswerNeedMore: everything so far fits.
	AnswerNeedMore Answer = iota
	// AnswerRight: the peer speaks the stream carrier and answers this very question.
	AnswerRight
	// AnswerEcho: the peer sends our own bytes back.
	AnswerEcho
	// AnswerWrong: the peer speaks something else, or answers another question.
	AnswerWrong
)

// answerReader checks the answer to one question, byte by byte.
type answerReader struct {
	asked   Preface
	buf     [PrefaceLen]byte
	n       int
	verdict Answer
}

func (a *answerReader) feed(b []byte) (v Answer, consumed int) {
	for consumed < len(b) && a.verdict == AnswerNeedMore {
		c := b[consumed]
		switch {
		case a.n == 1 && c == questionMagic[1]:
			a.verdict = AnswerEcho
		case !fits(answerMagic, a.n, c):
			a.verdict = AnswerWrong
		default:
			a.buf[a.n] = c
			a.n++
			consumed++
		}
		if a.n == PrefaceLen {
			a.verdict = a.judge()
		}
	}
	return a.verdict, consumed
}

// judge looks at a whole answer. A version above the one asked for is nobody's right answer.
func (a *answerReader) judge() Answer {
	v := a.version()
	if v == 0 || v > a.asked.Version || hexUint64(a.buf[nonceAt:]) != a.asked.proof(v) {
		return AnswerWrong
	}
	return AnswerRight
}

func (a *answerReader) version() uint8 { return hexByte(a.buf[versionAt:]) }
