package render

import (
	"bytes"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/diag"
)

// Logs writes what components say, line by line. It is safe for concurrent use.
type Logs struct {
	mu     sync.Mutex
	w      io.Writer
	style  Style
	raw    bool
	prefix map[string]string
	line   bytes.Buffer
}

// prefixColors are what tells one component's lines from another's. Red is left
// out: it means trouble.
var prefixColors = []string{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}

// NewLogs returns a writer of log lines. Each line starts with the component's
// name, in the colour that the name's place in names gives; without names the
// lines have no prefix. raw writes the text byte for byte; otherwise its control
// characters are escaped.
func NewLogs(w io.Writer, names []string, style Style, raw bool) *Logs {
	l := &Logs{w: w, style: style, raw: raw, prefix: map[string]string{}}
	width := 0
	for _, name := range names {
		width = max(width, utf8.RuneCountInString(name))
	}
	for i, name := range names {
		l.prefix[name] = style.paint(prefixColors[i%len(prefixColors)], pad(name, width)+" |") + " "
	}
	return l
}

// Line writes one line. What the component wrote to its standard error is shown
// like the rest: which stream a program logs to says nothing about trouble.
func (l *Logs) Line(component string, text []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line.Reset()
	l.line.WriteString(l.prefix[component])
	if l.raw {
		l.line.Write(text)
	} else {
		l.line.WriteString(LogText(text))
	}
	l.line.WriteByte('\n')
	_, err := l.w.Write(l.line.Bytes())
	return err
}

// LogText returns a log line as it may be shown on a terminal: tabs as blanks,
// no carriage return at the end, everything else that is not plain text escaped.
func LogText(text []byte) string {
	text = bytes.TrimSuffix(text, []byte("\r"))
	return diag.Escape(string(bytes.ReplaceAll(text, []byte("\t"), []byte("    "))))
}
