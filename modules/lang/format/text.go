package format

import (
	"strings"

	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/token"
)

// comment is a comment without the blanks at the ends of its lines.
func comment(text string) string {
	if !strings.Contains(text, "\n") {
		return strings.TrimRight(text, " \t\r")
	}
	lines := strings.Split(text, "\n")
	for i := range lines[:len(lines)-1] {
		lines[i] = strings.TrimRight(lines[i], " \t\r")
	}
	return strings.Join(lines, "\n")
}

// moved is a comment of several lines after its first went to another column:
// the others go with it, if all of them can.
func (n note) moved(column int) string {
	if column == n.column || !strings.Contains(n.text, "\n") {
		return n.text
	}
	lines := strings.Split(n.text, "\n")
	if column > n.column {
		return indented(lines, strings.Repeat(" ", column-n.column))
	}
	away := strings.Repeat(" ", n.column-column)
	for i, line := range lines[1:] {
		if line != "" && !strings.HasPrefix(line, away) {
			return n.text
		}
		lines[i+1] = strings.TrimPrefix(line, away)
	}
	return strings.Join(lines, "\n")
}

// indented joins lines with blanks before all but the first and the empty ones.
func indented(lines []string, blanks string) string {
	var text strings.Builder
	for i, line := range lines {
		if i > 0 {
			text.WriteByte('\n')
			if line != "" {
				text.WriteString(blanks)
			}
		}
		text.WriteString(line)
		if text.Len() > parser.MaxBytes {
			break // the rest is not needed to know that it is too long
		}
	}
	return text.String()
}

// literal returns the text of a word as it stands on a line with the given
// indentation.
func (p *printer) literal(w *word, indent int) string {
	text := string(p.src[w.start.Offset:w.end.Offset])
	if w.kind != token.String || w.start.Line == w.end.Line {
		return text
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines[:len(lines)-1] {
		// The language reads CRLF as LF. What had two returns would become
		// such a CRLF.
		if strings.HasSuffix(line, "\r") && !strings.HasSuffix(line, "\r\r") {
			lines[i] = line[:len(line)-1]
		}
	}
	common := ""
	if lines[0] == rawQuotes {
		common = commonBlanks(lines[1:])
	}
	if common == "" || w.fixed {
		return strings.Join(lines, "\n")
	}
	for i, line := range lines[1:] {
		lines[i+1] = line[shared(line, common):] // a line of blanks alone may have fewer
	}
	return indented(lines, strings.Repeat(" ", indent+indentWidth))
}

const rawQuotes = `"""`

// commonBlanks returns the blanks that the language takes away from the lines
// of a raw string, the last of which ends in the closing quotes: the longest
// run that all of them start with, apart from those that are blank.
func commonBlanks(lines []string) string {
	common := lines[len(lines)-1]
	common = common[:len(common)-len(strings.TrimLeft(common, " \t"))]
	for _, line := range lines[:len(lines)-1] {
		if strings.TrimLeft(line, " \t") != "" {
			common = common[:shared(common, line)]
		}
	}
	return common
}

// shared returns how many bytes two texts have in common at their start.
func shared(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}
