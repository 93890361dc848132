// Package render writes what the command has to say: plans, tables, progress
// and log lines, for people at a terminal and for pipes.
//
//	talk := render.NewTalk(os.Stderr, render.Style{Color: true}, nil)
//	deploy := render.NewDeploy(talk, deployment)
//	err := eng.Apply(ctx, deployment, sdk.ApplyOptions{OnEvent: deploy.Event})
//	deploy.Summary()
//
// It is portable and needs no privileges. Text that came from elsewhere is
// shown with its control characters escaped, so that no image, file or log can
// command the terminal.
package render

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Style says how text may look. The zero value is plain.
type Style struct {
	Color bool
}

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Green is for what is done.
func (s Style) Green(text string) string { return s.paint("32", text) }

// Yellow is for what waits or deserves a look.
func (s Style) Yellow(text string) string { return s.paint("33", text) }

// Red is for what failed.
func (s Style) Red(text string) string { return s.paint("31", text) }

// Bold is for what the eye should find first.
func (s Style) Bold(text string) string { return s.paint("1", text) }

// Dim is for detail.
func (s Style) Dim(text string) string { return s.paint("2", text) }

// Talk writes lines for a person, and on a terminal one more below them that
// says what is being waited for. It is safe for concurrent use. Errors of
// writing are dropped: a terminal that has gone must not end what it watched.
type Talk struct {
	Style Style

	mu     sync.Mutex
	w      io.Writer
	width  func() int
	status string
}

// NewTalk returns a Talk that writes to w. width tells how many columns the
// terminal has; nil means that w is none.
func NewTalk(w io.Writer, style Style, width func() int) *Talk {
	return &Talk{Style: style, w: w, width: width}
}

// Line writes a line, above the status line if there is one.
func (t *Talk) Line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimRight(fmt.Sprintf(format, args...), " ") + "\n"
	if t.status != "" {
		text = clearLine + text + t.status
	}
	_, _ = io.WriteString(t.w, text)
}

// Status replaces the status line; an empty text removes it. Away from a
// terminal it does nothing.
func (t *Talk) Status(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.width == nil || text == "" && t.status == "" {
		return
	}
	t.status = Crop(text, t.width()-1)
	_, _ = io.WriteString(t.w, clearLine+t.status)
}

const clearLine = "\r\x1b[K"

// Crop shortens a text to so many characters, the last of which is then an
// ellipsis.
func Crop(text string, width int) string {
	if width < 1 || utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

// pad fills a text up to so many characters.
func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

// Table writes rows in columns as wide as their widest cell, two blanks apart.
// style, if not nil, colours a cell after it was padded.
func Table(w io.Writer, rows [][]string, style func(row, column int, text string) string) error {
	widths := columnWidths(rows)
	var out strings.Builder
	for r, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			text := cell
			if i < len(row)-1 {
				text = pad(cell, widths[i]) + "  "
			}
			if style != nil {
				text = style(r, i, text)
			}
			line.WriteString(text)
		}
		out.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func columnWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// tableWidth is how wide Table makes these rows.
func tableWidth(rows [][]string) int {
	width := -2
	for _, column := range columnWidths(rows) {
		width += column + 2
	}
	return width
}
