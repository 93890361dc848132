package diag

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns s as it may be shown on a terminal: control characters,
// invisible and bidirectional ones, and bytes that are no UTF-8, as \x1b or
// \u202e.
func Escape(s string) string {
	for i, r := range s {
		if !plain(r) {
			var b strings.Builder
			b.WriteString(s[:i])
			escapeTo(&b, s[i:])
			return b.String()
		}
	}
	return s
}

// plain tells whether a rune may be shown as it is. An undecodable byte comes
// as RuneError, which escapeTo looks at again.
func plain(r rune) bool {
	return r >= ' ' && r < 0x7f || r > 0x9f && r != utf8.RuneError && (unicode.IsPrint(r) || r == '\u00a0' || r == '\u3000')
}

func escapeTo(b *strings.Builder, s string) {
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(b, `\x%02x`, s[i])
		case plain(r) || r == utf8.RuneError:
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x100:
			fmt.Fprintf(b, `\x%02x`, r)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
		i += size
	}
}

// excerptWidth is how much of a long line an excerpt shows on each side of the
// marked text, and of the marked text itself.
const excerptWidth = 80

// crop returns the three pieces of a line as they are shown: tabs as blanks,
// the rest escaped, and too much of it replaced by an ellipsis.
func crop(before, marked, after []byte) (string, string, string) {
	cut := func(b []byte) string {
		return Escape(strings.ReplaceAll(strings.TrimPrefix(string(b), "\uFEFF"), "\t", "    "))
	}
	b, m, a := before, marked, after
	prefix, middle, suffix := "", "", ""
	if len(b) > 4*excerptWidth {
		b, prefix = b[runeStart(b, len(b)-excerptWidth):], "…"
	}
	if len(m) > 4*excerptWidth {
		m, middle = m[:runeStart(m, excerptWidth)], "…"
		a = nil
	}
	if len(a) > 4*excerptWidth {
		a, suffix = a[:runeStart(a, excerptWidth)], "…"
	}
	return prefix + cut(b), cut(m) + middle, cut(a) + suffix
}

// runeStart returns the start of the rune that the byte at i belongs to.
func runeStart(b []byte, i int) int {
	for i > 0 && !utf8.RuneStart(b[i]) {
		i--
	}
	return i
}

// columns returns how many cells of a terminal s takes.
func columns(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
		case wide(r):
			n += 2
		default:
			n++
		}
	}
	return n
}

// wide tells whether terminals give r two cells (Unicode UAX #11, the blocks
// that are wide or full width as a whole).
func wide(r rune) bool {
	return r >= 0x1100 && (r <= 0x115f || r >= 0x2e80 && r <= 0xa4cf || r >= 0xac00 && r <= 0xd7a3 ||
		r >= 0xf900 && r <= 0xfaff || r >= 0xfe30 && r <= 0xfe6f || r >= 0xff00 && r <= 0xff60 ||
		r >= 0xffe0 && r <= 0xffe6 || r >= 0x1f300 && r <= 0x1f64f || r >= 0x1f900 && r <= 0x1f9ff ||
		r >= 0x20000 && r <= 0x3fffd)
}
