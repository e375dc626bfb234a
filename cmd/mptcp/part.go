package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
)

// part is FILE.part, what has been downloaded of FILE so far. Beside it, FILE.part.json says of which
// version of which file it is a part: bytes of two versions must never be mixed.
type part struct {
	file *os.File
	n    int64
	of   origin
}

type origin struct {
	URL       string `json:"url"`
	Validator string `json:"validator"` // a strong ETag or a Last-Modified date; what If-Range takes
}

// openPart opens the part of name, and empties it unless it is known to be of the same URL.
func openPart(name, url string) (*part, error) {
	f, err := os.OpenFile(name+".part", os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	p := &part{file: f}
	if text, err := os.ReadFile(p.note()); err == nil {
		_ = json.Unmarshal(text, &p.of) // what cannot be read is worth nothing: the download starts over
	}
	if p.n, err = f.Seek(0, io.SeekEnd); err != nil {
		f.Close()
		return nil, err
	}
	if p.of.URL != url || p.of.Validator == "" {
		p.of = origin{URL: url}
		if err := p.restart(""); err != nil {
			f.Close()
			return nil, err
		}
	}
	return p, nil
}

func (p *part) name() string      { return p.file.Name() }
func (p *part) note() string      { return p.file.Name() + ".json" }
func (p *part) have() int64       { return p.n }
func (p *part) validator() string { return p.of.Validator }

func (p *part) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.n += int64(n)
	return n, err
}

// restart throws away what there is and notes which version of the file comes now.
func (p *part) restart(validator string) error {
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	p.n, p.of.Validator = 0, validator
	if validator == "" {
		if err := os.Remove(p.note()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	text, err := json.Marshal(p.of)
	if err != nil {
		return err
	}
	return os.WriteFile(p.note(), text, 0o666)
}

// digest reads the file back, since earlier runs wrote some of it.
func (p *part) digest() (string, error) {
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	h := sha256.New()
	if _, err := io.Copy(h, p.file); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// finish gives the file its name.
func (p *part) finish(name string) error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := p.file.Close(); err != nil {
		return err
	}
	if err := os.Rename(p.name(), name); err != nil {
		return fmt.Errorf("everything is in %s: %w", p.name(), err)
	}
	_ = os.Remove(p.note())
	return nil
}

// discard removes the part.
func (p *part) discard() {
	p.file.Close()
	_ = os.Remove(p.name())
	_ = os.Remove(p.note())
}

// close keeps the part for another run. After finish and discard it does nothing.
func (p *part) close() { p.file.Close() }

// validatorOf is what If-Range takes to ask for the same version again. RFC 9110 section 13.1.5: "A client MUST NOT
// generate an If-Range header field containing an entity tag that is marked as weak."
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		return tag
	}
	return h.Get("Last-Modified")
}
