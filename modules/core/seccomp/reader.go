package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ParseError is what is wrong with a profile, and where.
type ParseError struct {
	Line, Column int    // from 1; a column is a byte
	Path         string // "syscalls[3].action"; empty for the text as a whole
	Text         string // what is wrong
}

func (e *ParseError) Error() string {
	where := fmt.Sprintf("line %d, column %d: ", e.Line, e.Column)
	if e.Path != "" {
		where += e.Path + ": "
	}
	return "seccomp profile: " + where + e.Text
}

// reader reads a JSON text whose form it is told, token by token, so that each
// error has a place. After the first error it reads nothing more. null is as
// good as nothing everywhere.
type reader struct {
	text  []byte
	json  *json.Decoder
	start int      // where the last token starts
	path  []string // to what is read: "syscalls", "[3]", "action"
	err   error
}

// newReader checks that the text is JSON.
func newReader(text []byte) *reader {
	r := &reader{text: text, json: json.NewDecoder(bytes.NewReader(text))}
	r.json.UseNumber()
	var all json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		at := len(text)
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			at = max(0, int(syntax.Offset)-1)
		}
		r.fail(at, "this is not JSON: %v", err)
	}
	return r
}

// place is a token that an error can be about later.
type place struct {
	at   int
	path string
}

func (r *reader) place() place {
	return place{r.start, strings.ReplaceAll(strings.Join(r.path, "."), ".[", "[")}
}

// fail says what is wrong at an offset of the text.
func (r *reader) fail(at int, format string, args ...any) {
	p := r.place()
	p.at = at
	r.failAt(p, format, args...)
}

func (r *reader) failAt(p place, format string, args ...any) {
	if r.err != nil {
		return
	}
	before := r.text[:min(p.at, len(r.text))]
	r.err = &ParseError{
		Line: 1 + bytes.Count(before, []byte("\n")), Column: len(before) - bytes.LastIndexByte(before, '\n'),
		Path: p.path, Text: fmt.Sprintf(format, args...),
	}
}

// token returns the next token, nil after an error.
func (r *reader) token() json.Token {
	if r.err != nil {
		return nil
	}
	at := int(r.json.InputOffset())
	for at < len(r.text) && strings.IndexByte(" \t\r\n,:", r.text[at]) >= 0 {
		at++
	}
	r.start = at
	token, err := r.json.Token()
	if err != nil {
		r.fail(at, "this is not JSON: %v", err)
		return nil
	}
	return token
}

// object reads an object; member reads the value of each key. Keys come once,
// and must be among those known.
func (r *reader) object(known []string, member func(key string)) {
	if !r.open('{') {
		return
	}
	seen := map[string]bool{}
	for r.err == nil && r.json.More() {
		key, ok := r.token().(string)
		if !ok {
			return
		}
		if !slices.Contains(known, key) {
			r.fail(r.start, "nothing here is called %q; known are %s", key, strings.Join(known, ", "))
			return
		}
		r.path = append(r.path, key)
		if seen[key] {
			r.fail(r.start, "this is here twice")
		}
		seen[key] = true
		member(key)
		r.path = r.path[:len(r.path)-1]
	}
	r.token()
}

// array reads an array; element reads each of its values.
func (r *reader) array(element func()) {
	if !r.open('[') {
		return
	}
	for i := 0; r.err == nil && r.json.More(); i++ {
		r.path = append(r.path, "["+strconv.Itoa(i)+"]")
		element()
		r.path = r.path[:len(r.path)-1]
	}
	r.token()
}

var delimNames = map[json.Delim]string{'{': "an object", '[': "an array"}

// open reads the beginning of an object or array. It returns false for null.
func (r *reader) open(delim json.Delim) bool {
	token := r.token()
	if token == nil {
		return false
	}
	if token != delim {
		r.fail(r.start, "this must be %s", delimNames[delim])
	}
	return r.err == nil
}

// word reads a string.
func (r *reader) word() string {
	token := r.token()
	s, ok := token.(string)
	if !ok && token != nil {
		r.fail(r.start, "this must be a string")
	}
	return s
}

// words reads an array of strings.
func (r *reader) words() (words []string) {
	r.array(func() { words = append(words, r.word()) })
	return words
}

// number reads a whole number from 0 to most. It returns nil for null.
func (r *reader) number(most uint64) *uint64 {
	token := r.token()
	if token == nil {
		return nil
	}
	literal, ok := token.(json.Number)
	n, err := strconv.ParseUint(literal.String(), 10, 64)
	if !ok || err != nil || n > most {
		r.fail(r.start, "this must be a whole number from 0 to %d", most)
	}
	return &n
}
