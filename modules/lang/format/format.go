// Package format writes a .ctst file in its canonical form.
//
//	text, found := format.Source("app.ctst", src)
//	if err := found.Err(); err != nil {
//		return err // the file has syntax errors; there is no text
//	}
//
// The form is: four blanks for each level; one property a line, except for a
// body's only one, which may stay beside its braces; = and the comments behind
// values aligned in adjacent lines; at most one blank line; LF at the end of
// each line and no byte order mark. A list, map or parenthesis whose first
// entry stands on a line of its own is spread, one entry a line, and any other
// is written on one line. Entries of spread lists and parentheses end in a
// comma, entries of spread maps and bodies do not.
//
// Nothing is lost or changed in meaning: values are written as they are, in
// their order, and every comment stays between the two entries or words that
// it stood between. In a raw string only the blanks move that the language
// takes away from all of its lines. Formatting what was formatted changes
// nothing.
//
// It takes linear time and never panics. It runs on every platform, needs no
// privileges, and may be called from any number of goroutines.
package format

import (
	"fmt"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/token"
)

// Source returns src in canonical form; diagnostics call it by the given name.
// When there are errors, the text is nil: a file that cannot be read whole
// cannot be written whole. Only the syntax is checked.
func Source(name string, src []byte) ([]byte, diag.List) {
	if _, found := parser.Parse(name, src); found.HasErrors() {
		return nil, found
	}
	p := printer{src: src, tokens: scan(name, src)}
	p.file()
	if text, ok := p.out.render(); ok {
		return text, nil
	}
	start := token.Pos{Line: 1, Column: 1}
	return nil, diag.List{{
		Code: diag.FileTooLarge, Summary: "the file would have more than 4 MiB when it is formatted",
		Detail: fmt.Sprintf("It has %d bytes now. Put large texts into files of their own: files = { \"/path\" = { source = \"./text\" } }.", len(src)),
		Range:  token.Range{File: name, Start: start, End: start},
	}}
}
