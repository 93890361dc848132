package format

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/parser"
)

// What is wider is not aligned with its neighbours, so that one long line does
// not push away all others.
const (
	maxName = 60  // columns of a name before =
	maxLine = 120 // columns of a line before its comment
)

const indentWidth = 4

// lines is the text while it is written. Alignment is left to the end, when
// the neighbours of each line are known.
type lines struct {
	text []byte
	list []line
	full bool // more than a file may have
}

// line is a piece of the text: name, operator, value and comment follow each
// other. A line that has nothing to align is all value.
type line struct {
	indent                          int
	blank                           bool // after a blank line
	start, operator, value, comment int  // offsets; start == value: no name
	end                             int
}

// start begins a line.
func (l *lines) start(indent int, blank bool) {
	l.finish()
	if l.full {
		return
	}
	at := len(l.text)
	l.list = append(l.list, line{indent: indent, blank: blank, start: at, operator: at, value: at, comment: -1})
}

// finish ends the current line.
func (l *lines) finish() {
	if len(l.list) == 0 {
		return
	}
	last := l.last()
	last.end = len(l.text)
	if last.comment < 0 {
		last.comment = last.end
	}
}

func (l *lines) last() *line { return &l.list[len(l.list)-1] }

// indent is that of the current line.
func (l *lines) indent() int { return l.last().indent }

// empty tells whether nothing stands on the current line.
func (l *lines) empty() bool { return len(l.text) == l.last().start }

// write goes on with the current line.
func (l *lines) write(parts ...string) {
	for _, part := range parts {
		if len(l.text)+len(part) > parser.MaxBytes {
			l.full = true
		}
		if l.full {
			return
		}
		l.text = append(l.text, part...)
	}
}

// assign writes the operator behind the name that is all of the line so far.
// With a comment before the name there is nothing to align.
func (l *lines) assign(operator string) {
	last := l.last()
	if bytes.HasPrefix(l.text[last.start:], []byte("/*")) {
		l.write(" ", operator)
		return
	}
	last.operator = len(l.text)
	l.write(operator)
	last.value = len(l.text)
}

// trail writes a comment at the end of the line.
func (l *lines) trail(text string) {
	if l.empty() {
		l.write(text)
		return
	}
	if last := l.last(); last.comment < 0 {
		last.comment = len(l.text)
		l.write(text)
		return
	}
	l.write(" ", text)
}

// render returns the text with everything in its column, or false when there
// is too much of it.
func (l *lines) render() ([]byte, bool) {
	l.finish()
	out := make([]byte, 0, len(l.text)+len(l.text)/4)
	for from := 0; from < len(l.list) && !l.full; {
		to := from + 1
		for to < len(l.list) && l.adjacent(to) {
			to++
		}
		out = l.renderBlock(out, l.list[from:to])
		from = to
	}
	return out, !l.full
}

// adjacent tells whether a line and the one before it are neighbours.
func (l *lines) adjacent(i int) bool {
	before, at := &l.list[i-1], &l.list[i]
	return at.indent == before.indent && !at.blank && bytes.IndexByte(l.text[before.start:before.end], '\n') < 0
}

// renderBlock writes lines that are neighbours.
func (l *lines) renderBlock(out []byte, block []line) []byte {
	names, widths := make([]int, len(block)), make([]int, len(block))
	for i := range block {
		names[i] = l.nameEnd(&block[i])
	}
	columns(names)
	for i := range block {
		widths[i] = l.commentStart(&block[i], names[i])
	}
	columns(widths)
	for i := range block {
		at := &block[i]
		if at.blank {
			out = append(out, '\n')
		}
		start := len(out)
		if at.start < at.end {
			out = blanks(out, at.indent)
		}
		if at.start < at.value {
			out = append(out, l.text[at.start:at.operator]...)
			out = blanks(out, names[i]-width(l.text[at.start:at.value]))
			out = append(out, l.text[at.operator:at.value]...)
		}
		out = append(out, l.text[at.value:at.comment]...)
		if at.comment < at.end {
			out = blanks(out, max(1, widths[i]-width(out[start:])))
			out = append(out, l.text[at.comment:at.end]...)
		}
		out = append(out, '\n')
		if len(out) > parser.MaxBytes {
			l.full = true
			break
		}
	}
	return out
}

// nameEnd is the column where the line's operator ends if nothing pushes it
// away, counted from the indentation; 0: there is none.
func (l *lines) nameEnd(at *line) int {
	if at.start == at.value {
		return 0
	}
	n := width(l.text[at.start:at.value]) + 1
	if n > maxName {
		return -n
	}
	return n
}

// commentStart is the same for the line's comment.
func (l *lines) commentStart(at *line, nameEnd int) int {
	if at.comment == at.end {
		return 0
	}
	text := l.text[at.start:at.comment]
	if bytes.IndexByte(text, '\n') >= 0 {
		return -1
	}
	n := at.indent + width(text) + 1
	if at.start < at.value {
		n += nameEnd - width(l.text[at.start:at.value])
	}
	if n > maxLine {
		return -n
	}
	return n
}

// columns widens each run of positive columns to its widest. A zero ends a
// run; so does a negative one, which stands for itself.
func columns(list []int) {
	for from := 0; from < len(list); {
		to, widest := from, 0
		for to < len(list) && list[to] > 0 {
			widest = max(widest, list[to])
			to++
		}
		for i := from; i < to; i++ {
			list[i] = widest
		}
		if to < len(list) {
			list[to] = -list[to]
			to++
		}
		from = to
	}
}

func width(text []byte) int { return utf8.RuneCount(text) }

func blanks(out []byte, n int) []byte {
	return append(out, strings.Repeat(" ", n)...)
}
