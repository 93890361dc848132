package diag

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/containust/containust/modules/lang/token"
)

// Sources returns the text of a file that a range names, for the excerpts.
// [os.ReadFile] is one. An error only leaves the excerpt out.
type Sources func(file string) ([]byte, error)

// PrintOptions says how Print writes. The zero value is plain text.
type PrintOptions struct {
	Color bool // mark severity and excerpt with ANSI colours
}

// printLimit is how many errors, and how many warnings, Print shows.
const printLimit = 20

// Print writes the list for people, in order of file and place. It shows the
// first 20 errors and the first 20 warnings and then says how many there are
// more. Control characters of foreign text are shown escaped.
func Print(w io.Writer, l List, sources Sources, opts PrintOptions) error {
	sorted := append(List(nil), l...)
	sorted.Sort()
	p := printer{sources: sources, color: opts.Color, texts: map[string][]byte{}}
	shown := map[Severity]int{}
	for _, d := range sorted {
		if shown[d.Severity]++; shown[d.Severity] > printLimit {
			continue
		}
		p.diagnostic(d)
		p.out.WriteByte('\n')
	}
	p.more(shown)
	// The blank line separates; it does not end.
	_, err := w.Write(append(bytes.TrimRight(p.out.Bytes(), "\n"), newline(p.out.Len())...))
	return err
}

func newline(length int) []byte {
	if length == 0 {
		return nil
	}
	return []byte{'\n'}
}

type printer struct {
	out     bytes.Buffer
	sources Sources
	color   bool
	texts   map[string][]byte
}

const (
	red    = "\x1b[1;31m"
	yellow = "\x1b[1;33m"
	blue   = "\x1b[34m"
	bold   = "\x1b[1m"
	reset  = "\x1b[0m"
)

func (p *printer) paint(color, text string) string {
	if !p.color || text == "" {
		return text
	}
	return color + text + reset
}

func (p *printer) diagnostic(d Diagnostic) {
	color := red
	if d.Severity == Warning {
		color = yellow
	}
	fmt.Fprintf(&p.out, "%s: %s\n",
		p.paint(color, fmt.Sprintf("%s[%s]", d.Severity, d.Code)), p.paint(bold, Escape(d.Summary)))

	width := len(strconv.Itoa(d.Range.Start.Line))
	for _, r := range d.Related {
		width = max(width, len(strconv.Itoa(r.Range.Start.Line)))
	}
	margin := strings.Repeat(" ", width)
	placed := false
	if d.Range.File != "" {
		placed = p.excerpt(d.Range, "-->", '^', color, d.Suggestion, width)
	}
	for _, r := range d.Related {
		if r.Range.File != "" {
			fmt.Fprintf(&p.out, "%s %s\n", margin, p.paint(blue, "|"))
			p.excerpt(r.Range, ":::", '-', blue, r.Label, width)
		}
	}
	if !placed && d.Suggestion != "" {
		fmt.Fprintf(&p.out, "%s %s %s\n", margin, p.paint(blue, "="), Escape(d.Suggestion))
	}
	if d.Detail != "" {
		for line := range strings.SplitSeq(d.Detail, "\n") {
			fmt.Fprintf(&p.out, "%s %s %s\n", margin, p.paint(blue, "="), Escape(line))
		}
	}
}

// excerpt writes a place and its line with the range marked, and tells whether
// the line could be shown.
func (p *printer) excerpt(r token.Range, arrow string, mark rune, color, label string, width int) bool {
	margin := strings.Repeat(" ", width)
	fmt.Fprintf(&p.out, "%s%s %s:%d:%d\n", margin, p.paint(blue, arrow), Escape(r.File), r.Start.Line, r.Start.Column)
	text, ok := p.text(r.File)
	if !ok || r.Start.Offset > len(text) {
		return false
	}
	first := bytes.LastIndexByte(text[:r.Start.Offset], '\n') + 1
	last := len(text)
	if i := bytes.IndexByte(text[r.Start.Offset:], '\n'); i >= 0 {
		last = r.Start.Offset + i
	}
	if last > first && text[last-1] == '\r' {
		last--
	}
	start, end := min(r.Start.Offset, last), min(r.End.Offset, last)
	before, marked, after := crop(text[first:start], text[start:max(start, end)], text[max(start, end):last])

	bar := p.paint(blue, "|")
	number := p.paint(blue, fmt.Sprintf("%*d", width, r.Start.Line))
	fmt.Fprintf(&p.out, "%s %s\n", margin, bar)
	fmt.Fprintf(&p.out, "%s %s %s\n", number, bar, strings.TrimRight(before+marked+after, " "))
	pointer := strings.Repeat(string(mark), max(1, columns(marked)))
	if label != "" {
		pointer += " " + Escape(label)
	}
	fmt.Fprintf(&p.out, "%s %s %s%s\n", margin, bar, strings.Repeat(" ", columns(before)), p.paint(color, pointer))
	return true
}

func (p *printer) text(file string) ([]byte, bool) {
	if text, ok := p.texts[file]; ok {
		return text, text != nil
	}
	var text []byte
	if p.sources != nil {
		if read, err := p.sources(file); err == nil {
			text = append([]byte{}, read...) // not nil, also when the file is empty
		}
	}
	p.texts[file] = text
	return text, text != nil
}

func (p *printer) more(shown map[Severity]int) {
	var rest []string
	if n := shown[Error] - printLimit; n > 0 {
		rest = append(rest, plural(n, "more error"))
	}
	if n := shown[Warning] - printLimit; n > 0 {
		rest = append(rest, plural(n, "more warning"))
	}
	if rest != nil {
		fmt.Fprintf(&p.out, "… and %s\n", strings.Join(rest, " and "))
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
