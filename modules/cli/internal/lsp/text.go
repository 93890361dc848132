package lsp

import (
	"bytes"
	"net/url"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"
)

// encoding is how a client counts the characters of a line.
type encoding string

const (
	utf8Encoding  encoding = "utf-8"
	utf16Encoding encoding = "utf-16"
)

// lineStarts returns the offset of each line. A lone \r ends a line for the
// protocol, though not for the language.
func lineStarts(text []byte) []int {
	starts := []int{0}
	for i := 0; ; {
		n := bytes.IndexAny(text[i:], "\r\n")
		if n < 0 {
			return starts
		}
		i += n + 1
		if text[i-1] == '\r' && i < len(text) && text[i] == '\n' {
			i++
		}
		starts = append(starts, i)
	}
}

// units is how many code units a character has.
func (e encoding) units(r rune, size int) int {
	switch {
	case e == utf8Encoding:
		return size
	case r > 0xffff:
		return 2
	}
	return 1
}

// wideChar is a character with fewer code units than bytes.
type wideChar struct {
	end   int // its offset
	saved int // bytes less units of all such characters up to it
}

// saved is how many units the text before an offset has less than bytes. A file
// may be one line of 4 MiB, so that nothing counts through a line.
func (d *document) saved(e encoding, offset int) int {
	if e == utf8Encoding {
		return 0
	}
	d.wideOnce.Do(func() {
		saved := 0
		for at := 0; at < len(d.text); {
			if d.text[at] < utf8.RuneSelf {
				at++
				continue
			}
			r, size := utf8.DecodeRune(d.text[at:])
			at += size
			saved += size - e.units(r, size)
			d.wide = append(d.wide, wideChar{at, saved})
		}
	})
	i, _ := slices.BinarySearchFunc(d.wide, offset+1, func(w wideChar, offset int) int { return w.end - offset })
	if i == 0 {
		return 0
	}
	return d.wide[i-1].saved
}

// position converts an offset at the start of a character. One outside of the
// text is its nearest end.
func (d *document) position(e encoding, offset int) position {
	starts := d.lines()
	offset = max(0, min(offset, len(d.text)))
	line, found := slices.BinarySearch(starts, offset)
	if !found {
		line--
	}
	start := starts[line]
	units := offset - start - (d.saved(e, offset) - d.saved(e, start))
	return position{Line: uint32(line), Character: uint32(units)}
}

// offset converts a position. One behind the end of its line is that end, one
// inside of a character its start.
func (d *document) offset(e encoding, p position) int {
	starts := d.lines()
	if uint64(p.Line) >= uint64(len(starts)) {
		return len(d.text)
	}
	at, left := starts[p.Line], uint64(p.Character)
	for at < len(d.text) && d.text[at] != '\n' && d.text[at] != '\r' {
		r, size := utf8.DecodeRune(d.text[at:])
		n := uint64(e.units(r, size))
		if n > left {
			break
		}
		left -= n
		at += size
	}
	return at
}

// changed is the text after the changes, each of which counts in what the one
// before it made.
func (d *document) changed(e encoding, changes []contentChange) []byte {
	for _, c := range changes {
		if c.Range == nil {
			d = &document{text: []byte(c.Text)}
			continue
		}
		start, end := d.offset(e, c.Range.Start), d.offset(e, c.Range.End)
		if start > end {
			start, end = end, start
		}
		text := make([]byte, 0, len(d.text)-(end-start)+len(c.Text))
		text = append(append(append(text, d.text[:start]...), c.Text...), d.text[end:]...)
		d = &document{text: text}
	}
	return d.text
}

// pathOf returns the path of a document. What is not a file, such as a new one
// without a name, keeps its URI as its name.
func pathOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" || u.Path == "" {
		return uri
	}
	path := u.Path
	if runtime.GOOS == "windows" {
		switch {
		case u.Host != "" && u.Host != "localhost":
			path = "//" + u.Host + path
		case len(path) > 2 && path[0] == '/' && path[2] == ':':
			path = strings.ToUpper(path[1:2]) + path[2:]
		}
	}
	return filepath.Clean(filepath.FromSlash(path))
}

// uriOf returns the URI of a path.
func uriOf(path string) string {
	if strings.Contains(path, "://") {
		return path // a fetched file
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		absolute = path
	}
	slashed := filepath.ToSlash(absolute)
	u := url.URL{Scheme: "file", Path: slashed}
	switch {
	case strings.HasPrefix(slashed, "//"):
		u.Host, u.Path, _ = strings.Cut(slashed[2:], "/")
		u.Path = "/" + u.Path
	case slashed[0] != '/':
		u.Path = "/" + slashed
	}
	return u.String()
}
