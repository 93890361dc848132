package render

import (
	"bufio"
	"bytes"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
)

// Logs writes what components say, line by line. It is safe for concurrent use.
type Logs struct {
	mu     sync.Mutex
	w      *bufio.Writer
	opts   LogOptions
	style  Style
	prefix map[string]string

	component string // of the line that has been written in part
	stderr    bool
	open      bool // there is one
}

// LogOptions say how Logs looks.
type LogOptions struct {
	// Names are those whose lines start with the component's name, in the colour
	// that the name's place gives.
	Names      []string
	Timestamps bool // each line has the time when it began, of UTC
	Raw        bool // the text byte for byte; otherwise its control characters are escaped
}

// prefixColors are what tells one component's lines from another's. Red is left
// out: it means trouble.
var prefixColors = []string{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}

// timestamp is how the time of a line is written. Logs know it to 10 ms.
const timestamp = "2006-01-02T15:04:05.000Z07:00"

// NewLogs returns a writer of log lines.
func NewLogs(w io.Writer, style Style, opts LogOptions) *Logs {
	l := &Logs{w: bufio.NewWriterSize(w, 64<<10), opts: opts, style: style, prefix: map[string]string{}}
	width := 0
	for _, name := range opts.Names {
		width = max(width, utf8.RuneCountInString(name))
	}
	for i, name := range opts.Names {
		l.prefix[name] = style.paint(prefixColors[i%len(prefixColors)], pad(name, width)+" |") + " "
	}
	return l
}

// Line writes one line, and what waits, unless another line is at hand. What the
// component wrote to its standard error is shown like the rest: which stream a
// program logs to says nothing about trouble.
func (l *Logs) Line(line sdk.LogLine) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	goesOn := l.open && l.component == line.Component && l.stderr == line.Stderr && line.Skipped == 0
	if l.open && !goesOn {
		l.endLine()
	}
	if !goesOn {
		l.begin(line)
	}
	var err error // the writer keeps its first one
	if l.opts.Raw {
		_, err = l.w.Write(line.Text)
	} else {
		_, err = l.w.WriteString(LogText(line.Text))
	}
	l.component, l.stderr, l.open = line.Component, line.Stderr, line.Open
	if !line.Open {
		err = l.w.WriteByte('\n')
	}
	if line.More {
		return err
	}
	return l.w.Flush()
}

func (l *Logs) begin(line sdk.LogLine) {
	_, _ = l.w.WriteString(l.prefix[line.Component])
	if l.opts.Timestamps {
		_, _ = l.w.WriteString(l.style.Dim(line.Time.UTC().Format(timestamp)) + " ")
	}
}

// endLine ends a line that was written in part, unless that would be one byte
// more than the component wrote.
func (l *Logs) endLine() {
	if l.open && !(l.opts.Raw && len(l.opts.Names) == 0 && !l.opts.Timestamps) {
		_ = l.w.WriteByte('\n')
	}
	l.open = false
}

// Close ends the last line, and writes what waits.
func (l *Logs) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLine()
	return l.w.Flush()
}

// LogText returns a log line as it may be shown on a terminal: tabs as blanks,
// no carriage return at the end, everything else that is not plain text escaped.
func LogText(text []byte) string {
	text = bytes.TrimSuffix(text, []byte("\r"))
	return diag.Escape(string(bytes.ReplaceAll(text, []byte("\t"), []byte("    "))))
}
