// Package lock reads and writes ctst.lock, the file beside the root file that
// holds the digests of what a project got from elsewhere.
//
//	locked, err := lock.Read(filepath.Join(dir, lock.Name))
//	digest := locked.Imports["https://example.org/postgres.ctst"]
//
// It is JSON with one entry a line, sorted, so that two branches that each add
// one merge:
//
//	{
//	  "version": 1,
//	  "imports": {
//	    "https://example.org/postgres.ctst": "sha256:9f86…"
//	  }
//	}
//
// It runs on every platform, and needs no privileges. A [File] is inert data;
// [Read] and [Update] may be called from any number of goroutines and
// processes.
package lock

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/internal/wholefile"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// Name is what the file is called.
const Name = "ctst.lock"

// Version is the format that this package writes.
const Version = 1

// maxBytes bounds the file.
const maxBytes = 16 << 20

// digestPrefix is how a digest is written in the file.
const digestPrefix = "sha256:"

// File is the content of a lock. The zero value is an empty one.
type File struct {
	// Imports are the files that were fetched: URL -> 64 hex digits of the
	// SHA-256.
	Imports map[string]string

	other map[string]json.RawMessage // parts that this package does not know; they are kept
}

// Error says why a lock cannot be used. It matches ErrDamaged, ErrNewer, or
// what the system said.
type Error struct {
	Path string
	Pos  token.Pos // of what is damaged; zero: it is not
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("read %s: %v", e.Path, e.Err) }

func (e *Error) Unwrap() error { return e.Err }

// Diagnostic returns the error as it is shown.
func (e *Error) Diagnostic() diag.Diagnostic {
	d := diag.Diagnostic{
		Code: diag.LockUnusable, Summary: fmt.Sprintf("%s cannot be used: %v", e.Path, e.Err),
		Detail: "Make it a regular file that can be read, or remove it.",
	}
	switch {
	case errors.Is(e.Err, ErrNewer):
		d.Detail = "Run a newer ctst."
	case errors.Is(e.Err, ErrDamaged):
		d.Range = token.Range{File: e.Path, Start: e.Pos, End: e.Pos}
		d.Detail = "Mend it: a merge may have left it so. Or remove it: what is imported is then fetched and recorded anew, whatever it is now."
	}
	return d
}

// ErrDamaged is matched when the text is not that of a lock.
var ErrDamaged = errors.New("it is damaged")

// ErrNewer is matched when the lock has a version that this package does not
// know.
var ErrNewer = errors.New("it was written by a newer version")

// Read reads a lock. A lock that does not exist is an empty one. The error is
// an *Error.
func Read(path string) (*File, error) {
	text, err := wholefile.Read(path, maxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return &File{}, nil
	}
	if err != nil {
		return nil, &Error{Path: path, Err: cause(err)}
	}
	f, err := Parse(text)
	var damaged *Error
	if errors.As(err, &damaged) {
		damaged.Path = path
	}
	return f, err
}

// cause is an error without the operation and path that *Error says already.
func cause(err error) error {
	var pathError *fs.PathError
	switch {
	case errors.As(err, &pathError):
		return pathError.Err
	case errors.Is(err, wholefile.ErrNotRegular):
		return wholefile.ErrNotRegular
	case errors.Is(err, wholefile.ErrTooLarge):
		return wholefile.ErrTooLarge
	}
	return err
}

// Update changes a lock on disk: change gets what is there now. The file is
// written, as a whole, only when that makes a difference. An error of change
// is returned as it is, and nothing is written.
func Update(path string, change func(*File) error) error {
	f, err := Read(path)
	if err != nil {
		return err
	}
	before := f.Format()
	if err := change(f); err != nil {
		return err
	}
	after := f.Format()
	if bytes.Equal(before, after) {
		return nil
	}
	if err := wholefile.Write(path, after, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	return nil
}

// Parse reads the text of a lock. The error is an *Error without a path.
func Parse(text []byte) (*File, error) {
	p := parser{text: text, json: json.NewDecoder(bytes.NewReader(text))}
	if !utf8.Valid(text) {
		return nil, p.damaged("it is not UTF-8")
	}
	f := &File{Imports: map[string]string{}, other: map[string]json.RawMessage{}}
	version := 0
	err := p.object("the lock", func(key string) error {
		switch key {
		case "version":
			if err := p.json.Decode(&version); err != nil || version < 1 {
				return p.damaged("its version is not a number from 1 on")
			}
			return nil
		case "imports":
			return p.imports(f)
		}
		var raw json.RawMessage
		if err := p.json.Decode(&raw); err != nil {
			return p.syntax(err)
		}
		f.other[key] = raw
		return nil
	})
	switch {
	case version > Version:
		return nil, &Error{Err: fmt.Errorf("%w: it has format %d, and this one knows up to %d", ErrNewer, version, Version)}
	case err != nil:
		return nil, err
	case version == 0:
		return nil, p.damaged("it has no version")
	}
	if _, err := p.json.Token(); !errors.Is(err, io.EOF) {
		return nil, p.damaged("something follows its end")
	}
	return f, nil
}

type parser struct {
	text []byte
	json *json.Decoder
}

// damaged reports what follows the last thing that could be read.
func (p *parser) damaged(format string, args ...any) error {
	offset := min(int(p.json.InputOffset()), len(p.text))
	offset += len(p.text[offset:]) - len(bytes.TrimLeft(p.text[offset:], " \t\r\n,:"))
	line := p.text[bytes.LastIndexByte(p.text[:offset], '\n')+1 : offset]
	return &Error{
		Pos: token.Pos{Offset: offset, Line: 1 + bytes.Count(p.text[:offset], []byte("\n")), Column: 1 + utf8.RuneCount(line)},
		Err: fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...)),
	}
}

// syntax is damaged for what encoding/json says.
func (p *parser) syntax(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return p.damaged("it ends too early")
	}
	return p.damaged("%v", err)
}

// object reads { "key": value … } and calls value behind each key. encoding/json
// would take the last of two equal keys, which is what a bad merge leaves.
func (p *parser) object(name string, value func(key string) error) error {
	open, err := p.json.Token()
	if err != nil {
		return p.syntax(err)
	}
	if open != json.Delim('{') {
		return p.damaged("%s is not an object", name)
	}
	seen := map[string]bool{}
	for p.json.More() {
		next, err := p.json.Token()
		if err != nil {
			return p.syntax(err)
		}
		key, _ := next.(string) // encoding/json lets nothing else be a key
		if seen[key] {
			return p.damaged("%q stands in it twice", key)
		}
		seen[key] = true
		if err := value(key); err != nil {
			return err
		}
	}
	if _, err := p.json.Token(); err != nil {
		return p.syntax(err)
	}
	return nil
}

func (p *parser) imports(f *File) error {
	return p.object("imports", func(url string) error {
		var text string
		if err := p.json.Decode(&text); err != nil {
			return p.damaged("the digest of %q is not a text", url)
		}
		digest, found := strings.CutPrefix(text, digestPrefix)
		if !found || !schema.IsDigest(digest) {
			return p.damaged("the digest of %q is not sha256: and 64 hex digits", url)
		}
		f.Imports[url] = digest
		return nil
	})
}

// Format returns the text of the lock. Equal locks have equal texts.
func (f *File) Format() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{\n  \"version\": %d", Version)
	parts := maps.Clone(f.other)
	if parts == nil {
		parts = map[string]json.RawMessage{}
	}
	if len(f.Imports) > 0 {
		parts["imports"] = formatImports(f.Imports)
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		fmt.Fprintf(&b, ",\n  %s: ", quote(name))
		_ = json.Indent(&b, parts[name], "  ", "  ") // encoding/json has read or written it
	}
	b.WriteString("\n}\n")
	return b.Bytes()
}

func formatImports(imports map[string]string) json.RawMessage {
	var b bytes.Buffer
	for i, url := range slices.Sorted(maps.Keys(imports)) {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		b.WriteByte(separator)
		fmt.Fprintf(&b, "%s:%s", quote(url), quote(digestPrefix+imports[url]))
	}
	b.WriteByte('}')
	return b.Bytes()
}

// quote writes a JSON string that keeps & and < as they are: URLs have them.
func quote(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // there is no string that it refuses
	return bytes.TrimSpace(b.Bytes())
}
