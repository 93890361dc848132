package parser

import (
	"fmt"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

// keyword takes an optional keyword, also one in lower case, which is
// reported.
func (p *parser) keyword(kind token.Kind) bool {
	if p.tok.Kind == kind {
		p.next()
		return true
	}
	if p.tok.Kind != token.Ident || !strings.EqualFold(p.tok.Text, kind.String()) || p.assignAhead() {
		return false
	}
	p.report(diag.LowerCaseKeyword, p.here(), "keywords are written in upper case", fmt.Sprintf("write %q", kind.String()), "")
	p.next()
	return true
}

// ident reads a name. On a failure it reports, and takes the token unless it
// may belong to what follows. The name is then empty.
func (p *parser) ident(what string) (ast.Ident, bool) {
	id := ast.Ident{Range: p.here()}
	switch p.tok.Kind {
	case token.Ident:
		id.Name = p.tok.Text
		p.next()
		return id, true
	case token.String:
		s := p.stringValue()
		if text, ok := s.Plain(); ok && token.IsName(text) {
			p.report(diag.UnexpectedToken, s.Range, "names have no quotes", fmt.Sprintf("write %s", text), "")
			return ast.Ident{Name: text, Range: s.Range}, true
		}
		p.report(diag.UnexpectedToken, s.Range, fmt.Sprintf("expected %s, found a string", what), "", nameDetail)
		return id, false
	case token.Invalid:
		p.next()
		return id, false
	case token.Number:
		p.expected(what, nameDetail)
		p.next()
		return id, false
	}
	if p.tok.Kind.Keyword() && !p.tok.Kind.Statement() && p.sameLine() {
		p.report(diag.KeywordAsName, p.here(), fmt.Sprintf("%s is a keyword and cannot be a name", p.tok.Text), "", "Lower case is free: "+strings.ToLower(p.tok.Text)+".")
		p.next()
		return id, false
	}
	p.expected(what, nameDetail)
	return id, false
}

const nameDetail = "A name starts with a letter or _, and has letters, digits, _ and, inside, -."

// assign takes the = between a name and its value, after reporting what people
// write in its place. It returns true for +=, which only some names may have.
func (p *parser) assign(appends bool) bool {
	switch p.tok.Kind {
	case token.Assign:
		p.next()
		if p.tok.Kind == token.Assign {
			p.report(diag.UnexpectedToken, p.here(), `"==" is not in the language`, `write "="`, "")
			p.next()
		}
		return false
	case token.PlusAssign:
		if !appends {
			p.report(diag.UnexpectedToken, p.here(), `expected "=", found "+="`, `write "="`, "Only properties can be appended to.")
		}
		p.next()
		return true
	case token.Colon:
		p.report(diag.ColonForEquals, p.here(), `a value follows "=", not ":"`, `write "="`, "")
		p.next()
		if p.tok.Kind == token.Assign {
			p.next()
		}
		return false
	}
	if p.tok.Kind != token.Invalid {
		p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("expected \"=\", found %s", p.describe()), `put "=" before it`, "")
	}
	return false
}

// bareText reads a word without quotes as the string that it is meant to be.
func (p *parser) bareText() *ast.String {
	start := p.tok.Start
	text, end := p.scanner.Word(start)
	r := p.span(start, end)
	p.report(diag.BareWord, r, "text needs quotes", fmt.Sprintf("write %q", text), "")
	p.tok.End = end
	p.next()
	return &ast.String{Range: r, Parts: []ast.Part{{Range: r, Text: text}}}
}

// bareWord reads a value that is a word without quotes.
func (p *parser) bareWord() ast.Value {
	word := strings.ToLower(p.tok.Text)
	start := p.tok.Start
	ahead := p.scanner.Ahead()
	if strings.HasPrefix(ahead, "(") {
		r := p.here()
		p.report(diag.BareWord, r, "the language has no functions", "", "Values are written out, or come from ${env.…}, ${param.…} and ${let.…}.")
		p.next()
		p.skipBrackets()
		return &ast.Bad{Range: r}
	}
	switch word {
	case "true", "yes", "on", "enabled":
		return p.meantBool(true)
	case "false", "no", "off", "disabled":
		return p.meantBool(false)
	case "unset", "null", "nil", "undefined":
		r := p.here()
		detail := ""
		if word != "unset" {
			detail = "UNSET takes away what a base or the image has set; otherwise leave the property out."
		}
		p.report(diag.BareWord, r, fmt.Sprintf("%s is not a value", p.tok.Text), `write UNSET`, detail)
		p.next()
		return &ast.Bad{Range: r}
	}
	text, end := p.scanner.Word(start)
	r := p.span(start, end)
	p.tok.End = end
	if root, name, ok := strings.Cut(text, "."); ok && token.IsName(root) && token.IsName(name) && referenceLike(root, name) {
		if root == "var" || root == "local" {
			text = "let." + name
		}
		p.report(diag.BareWord, r, "a reference stands in a string", fmt.Sprintf("write \"${%s}\"", text), "")
		p.next()
		return &ast.Bad{Range: r}
	}
	p.report(diag.BareWord, r, "text needs quotes", fmt.Sprintf("write %q", text), "")
	p.next()
	return &ast.String{Range: r, Parts: []ast.Part{{Range: r, Text: text}}}
}

func referenceLike(root, name string) bool {
	switch root {
	case "env", "param", "let", "self", "secret", "var", "local":
		return true
	}
	return name == "host" || name == "port" || name == "connection_string"
}

func (p *parser) meantBool(value bool) ast.Value {
	b := &ast.Bool{Range: p.here(), Value: value}
	p.report(diag.WrongBool, b.Range, fmt.Sprintf("%s is neither true nor false", p.tok.Text), fmt.Sprintf("write %t", value), "")
	p.next()
	return b
}
