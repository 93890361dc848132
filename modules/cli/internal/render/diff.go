package render

import (
	"io"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
)

// Diff writes a unified diff. For a terminal the lines' control characters are
// escaped; elsewhere it is written as it is, so that it can be applied.
func Diff(w io.Writer, text string, style Style, terminal bool) error {
	if !terminal {
		_, err := io.WriteString(w, text)
		return err
	}
	var out strings.Builder
	for line := range strings.Lines(text) {
		line = escapeLine(strings.TrimSuffix(line, "\n"))
		switch {
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
			line = style.Bold(line)
		case strings.HasPrefix(line, "@@"):
			line = style.Dim(line)
		case strings.HasPrefix(line, "+"):
			line = style.Green(line)
		case strings.HasPrefix(line, "-"):
			line = style.Red(line)
		}
		out.WriteString(line + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// escapeLine escapes a line's control characters other than tabs.
func escapeLine(line string) string {
	parts := strings.Split(line, "\t")
	for i, part := range parts {
		parts[i] = diag.Escape(part)
	}
	return strings.Join(parts, "\t")
}
