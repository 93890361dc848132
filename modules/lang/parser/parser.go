// Package parser makes a syntax tree of a .ctst file.
//
//	text, err := parser.ReadFile("app.ctst")
//	…
//	file, found := parser.Parse("app.ctst", text)
//
// It reports every error of the file at once, goes on behind each at the next
// property or statement, and returns what it could read. Habits from other
// languages (a colon for =, words without quotes, lower-case keywords) are
// reported with their mend and then read as they were meant, so that nothing
// is reported that only follows from them.
//
// It takes linear time and never panics. It runs on every platform, needs no
// privileges, and may be called from any number of goroutines.
package parser

import (
	"fmt"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/internal/wholefile"
	"github.com/containust/containust/modules/lang/scanner"
	"github.com/containust/containust/modules/lang/token"
)

// The limits of a file.
const (
	MaxBytes = 4 << 20
	MaxDepth = 64 // of brackets inside each other
)

// ReadFile reads the text of a file for Parse. It stops one byte behind
// MaxBytes, which Parse then reports. What is no regular file, be it behind a
// link, is an error: a pipe would wait, and a device need not end.
func ReadFile(name string) ([]byte, error) { return wholefile.Head(name, MaxBytes+1) }

// Parse reads src, which diagnostics call by the given name. The tree is never
// nil; it is partial when there are errors.
func Parse(name string, src []byte) (*ast.File, diag.List) {
	file := &ast.File{Name: name}
	if len(src) > MaxBytes {
		file.Incomplete = true
		return file, diag.List{{
			Code: diag.FileTooLarge, Summary: "the file has more than 4 MiB",
			Detail: "Put large texts into files of their own: files = { \"/path\" = { source = \"./text\" } }.",
			Range:  token.Range{File: name, Start: token.Pos{Line: 1, Column: 1}, End: token.Pos{Line: 1, Column: 1}},
		}}
	}
	p := &parser{name: name, file: file, scanner: scanner.New(name, src)}
	p.next()
	for p.tok.Kind != token.EOF {
		if s := p.statement(); s != nil {
			file.Statements = append(file.Statements, s)
		}
	}
	file.Comments = p.scanner.Comments()
	return file, p.diagnostics()
}

type parser struct {
	name    string
	file    *ast.File
	scanner *scanner.Scanner
	tok     token.Token
	prevEnd token.Pos // where the token before tok ended
	found   diag.List
	open    []bracket // the brackets around tok
	unread  bool      // an unclosed bracket was reported at the end of these
}

// bracket is an opening bracket that has not been closed yet.
type bracket struct {
	token     token.Token
	swallowed int // of the scanner, when it was opened
}

// next takes the current token.
func (p *parser) next() {
	p.prevEnd = p.tok.End
	p.tok = p.scanner.Next()
	if len(p.found) >= scanner.MaxErrors {
		p.tok = token.Token{Kind: token.EOF, Start: p.tok.Start, End: p.tok.Start}
	}
}

// diagnostics joins what scanner and parser found. What the parser says about
// a line that the scanner could not read only follows from that.
func (p *parser) diagnostics() diag.List {
	list := append(diag.List(nil), p.scanner.Diagnostics()...)
	var dropped diag.List
	for _, d := range p.found {
		if p.scanner.Broken(d.Range.Start.Line) || p.scanner.GaveUp() {
			dropped = append(dropped, d)
			continue
		}
		list = append(list, d)
	}
	if len(list) == 0 {
		list = dropped
	}
	list.Sort()
	return list
}

func (p *parser) report(code diag.Code, r token.Range, summary, suggestion, detail string, related ...diag.Related) {
	if len(p.found) == scanner.MaxErrors-1 {
		code, suggestion, detail, related = diag.TooManyErrors, "", "", nil
		summary = "too many errors; the rest of the file was not read"
	}
	if len(p.found) >= scanner.MaxErrors {
		return
	}
	p.found = append(p.found, diag.Diagnostic{
		Code: code, Summary: summary, Suggestion: suggestion, Detail: detail, Range: r, Related: related,
	})
}

// expected reports that the current token is not what the grammar asks for. An
// Invalid token has been reported already.
func (p *parser) expected(what, detail string) {
	if p.tok.Kind == token.Invalid {
		return
	}
	// What is missing at the end of a statement is missing there, not before
	// the next one.
	if p.prevEnd.Line > 0 && !p.sameLine() && (p.tok.Kind == token.EOF || p.atStatement()) {
		p.report(diag.UnexpectedToken, p.span(p.prevEnd, p.prevEnd), "expected "+what, "it is missing here", detail)
		return
	}
	p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("expected %s, found %s", what, p.describe()), "", detail)
}

// describe names the current token for people.
func (p *parser) describe() string {
	switch p.tok.Kind {
	case token.EOF, token.String:
		return p.tok.Kind.String()
	case token.Ident, token.Number:
		return fmt.Sprintf("%q", p.tok.Text)
	default:
		return fmt.Sprintf("%q", p.tok.Kind.String())
	}
}

// here is the range of the current token.
func (p *parser) here() token.Range { return p.span(p.tok.Start, p.tok.End) }

// from is the range from start to the end of the token before the current one.
func (p *parser) from(start token.Pos) token.Range {
	if p.prevEnd.Offset < start.Offset {
		return p.span(start, start)
	}
	return p.span(start, p.prevEnd)
}

func (p *parser) span(start, end token.Pos) token.Range {
	return token.Range{File: p.name, Start: start, End: end}
}

// sameLine tells whether the current token stands on the line where the one
// before it ended.
func (p *parser) sameLine() bool { return p.tok.Start.Line == p.prevEnd.Line }
