package compose

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

const (
	tab   = "    "
	width = 100 // of a line, where it can be broken
)

// quote writes a text as a string of .ctst. lead is what its first line is
// indented with; text of several lines stands between """ where that says the
// same.
func (l *loader) quote(s, lead string) string {
	if text, ok := l.raw(s, lead+tab); ok {
		return text
	}
	var b strings.Builder
	l.references(s, func(text string) { b.WriteString(escape(text)) }, func(v *variable) {
		// $ in front of ${ would make it text.
		if before := b.String(); strings.HasSuffix(before, "$") {
			b.Reset()
			b.WriteString(strings.TrimSuffix(before, "$") + `\$`)
		}
		b.WriteString(v.reference(escape(v.fallback)))
	})
	return `"` + b.String() + `"`
}

func (v variable) reference(fallback string) string {
	switch {
	case v.secret:
		return "${secret." + v.name + "}"
	case v.optional:
		return "${env." + v.name + ":-" + fallback + "}"
	}
	return "${env." + v.name + "}"
}

// escape writes text for inside of quotes.
func escape(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '$' && strings.HasPrefix(s[i+1:], "{"):
			b.WriteString("$$")
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// raw writes text of several lines between """, if it comes back the same.
func (l *loader) raw(s, lead string) (string, bool) {
	if strings.Count(s, "\n") < 2 || !strings.HasSuffix(s, "\n") {
		return "", false
	}
	var b strings.Builder
	ok := true
	l.references(s, func(text string) {
		ok = ok && plain(text, "\n\t")
		b.WriteString(strings.ReplaceAll(text, "${", "$${"))
	}, func(v *variable) {
		ok = ok && plain(v.fallback, "") && !strings.HasSuffix(b.String(), "$")
		b.WriteString(v.reference(v.fallback))
	})
	body := b.String()
	if !ok || strings.Contains(body, `"""`) {
		return "", false
	}
	var out strings.Builder
	out.WriteString(`"""` + "\n")
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\n"), "\n") {
		if line != "" {
			out.WriteString(lead + line)
		}
		out.WriteByte('\n')
	}
	return out.String() + lead + `"""`, true
}

// plain tells whether a text needs no escapes, but for the given characters.
func plain(s, but string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) && !strings.ContainsRune(but, r) {
			return false
		}
	}
	return true
}

// list writes a list; one item a line when it is too long.
func (l *loader) list(items []string, lead string, used int) string {
	quoted := make([]string, 0, len(items))
	total, broken := used+2, false
	for _, item := range items {
		text := l.quote(item, lead+tab)
		total += len(text) + 2
		broken = broken || strings.Contains(text, "\n")
		quoted = append(quoted, text)
	}
	if total <= width && !broken {
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return "[\n" + lead + tab + strings.Join(quoted, ",\n"+lead+tab) + ",\n" + lead + "]"
}

// entry is a key with its value as it is written.
type entry struct{ key, value string }

// mapping writes the map of a property, one entry a line.
func mapping(entries []entry) string {
	return "{\n" + lines(entries, nil, tab+tab) + tab + "}"
}

// inline writes a map on one line.
func inline(entries ...entry) string {
	var parts []string
	for _, e := range entries {
		parts = append(parts, key(e.key)+" = "+e.value)
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}

// key writes the key of a map: a name as it is, anything else as a string.
func key(s string) string {
	if token.IsName(s) {
		return s
	}
	return `"` + escape(s) + `"`
}

// lines writes entries one a line, with the = of adjacent lines below each
// other. comments stand above the entries that have one.
func lines(entries []entry, comments map[string]string, lead string) string {
	var b strings.Builder
	for start := 0; start < len(entries); {
		end, longest := start, 0
		for end < len(entries) {
			longest = max(longest, len([]rune(key(entries[end].key))))
			end++
			if strings.Contains(entries[end-1].value, "\n") || end < len(entries) && comments[entries[end].key] != "" {
				break
			}
		}
		if c := comments[entries[start].key]; c != "" {
			b.WriteString(comment(c, lead))
		}
		for _, e := range entries[start:end] {
			k := key(e.key)
			fmt.Fprintf(&b, "%s%s%s = %s\n", lead, k, strings.Repeat(" ", longest-len([]rune(k))), e.value)
		}
		start = end
	}
	return b.String()
}

// comment writes text as comment lines.
func comment(text, lead string) string {
	var b strings.Builder
	for paragraph := range strings.SplitSeq(text, "\n") {
		line := lead + "//"
		for _, word := range strings.Fields(diag.Escape(paragraph)) {
			if len([]rune(line))+len([]rune(word)) >= width && line != lead+"//" {
				b.WriteString(line + "\n")
				line = lead + "//"
			}
			line += " " + word
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}
