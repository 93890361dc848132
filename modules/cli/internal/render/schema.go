package render

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/containust/containust/modules/lang/schema"
)

// Schema writes the whole language for a person: the forms of statements,
// values and references, and a line for each property.
func Schema(w io.Writer, style Style) error {
	var out strings.Builder
	for _, section := range []struct {
		title string
		forms []schema.Form
	}{{"Statements", schema.Statements()}, {"Values", schema.Literals()}, {"References", schema.References()}} {
		out.WriteString(style.Bold(section.title) + "\n")
		for _, f := range section.forms {
			fmt.Fprintf(&out, "  %s\n%s\n      %s %s\n", f.Form, wrap(f.Doc, 6), style.Dim("for example:"), strings.ReplaceAll(f.Example, "\n", "\n      "))
		}
		out.WriteString("\n")
	}
	out.WriteString(style.Bold("Properties of a component") + "\n")
	properties := schema.Properties()
	for i := range properties {
		p := &properties[i]
		fmt.Fprintf(&out, "  %s  %s%s\n%s\n", p.Name, p.Type, byDefault(p), wrap(p.Doc, 6))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func byDefault(p *schema.Property) string {
	if p.Default == "" {
		return ""
	}
	return ", default " + p.Default
}

// Property writes all that the table says about one property.
func Property(w io.Writer, p *schema.Property, style Style) error {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s\n\n%s\n\n", style.Bold(p.Name), p.Type, wrap(p.Doc, 2))
	if p.Default != "" {
		fmt.Fprintf(&out, "  default     %s\n", p.Default)
	}
	if p.Alternative != "" {
		fmt.Fprintf(&out, "  or          %s, which says the same: set one of the two\n", p.Alternative)
	}
	fmt.Fprintf(&out, "  may use     %s\n", strings.Join(schema.ReferencesIn(p), ", "))
	if values := namedValues(p.Type); len(values) > 0 {
		fmt.Fprintf(&out, "  values      %s\n", strings.TrimLeft(wrap(strings.Join(values, " "), 14), " "))
	}
	keys(&out, p.Type, style)
	_, err := io.WriteString(w, out.String())
	return err
}

// namedValues are those of a type or of a list's entries.
func namedValues(t *schema.Type) []string {
	if t.Elem != nil && len(t.Values) == 0 {
		return t.Elem.Values
	}
	return t.Values
}

// keys lists the keys of a map, also where it is one of several types or what
// the entries are.
func keys(out *strings.Builder, t *schema.Type, style Style) {
	if len(t.Fields) > 0 {
		out.WriteString("\n" + style.Bold("Keys") + "\n")
		for i := range t.Fields {
			f := &t.Fields[i]
			fmt.Fprintf(out, "  %s  %s%s\n%s\n", f.Name, f.Type, byDefault(f), wrap(f.Doc, 6))
		}
	}
	if t.Elem != nil {
		keys(out, t.Elem, style)
	}
	for _, option := range t.Any {
		keys(out, option, style)
	}
}

// wrap breaks a text into lines of at most 88 characters, each indented.
func wrap(text string, indent int) string {
	const width = 88
	var out strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case column == 0:
			out.WriteString(strings.Repeat(" ", indent))
			column = indent
		case column+1+n > width:
			out.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			out.WriteString(" ")
			column++
		}
		out.WriteString(word)
		column += n
	}
	return out.String()
}
