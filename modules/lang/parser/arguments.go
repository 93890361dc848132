package parser

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

var typeNames = []string{"string", "int", "number", "bool", "list", "map"}

func (p *parser) params() *ast.Params {
	list := &ast.Params{}
	start := p.tok
	p.push()
	for p.tok.Kind != token.RightParen {
		if p.tok.Kind != token.Ident && p.tok.Kind != token.String && !p.tok.Kind.Keyword() || p.atStatement() {
			if !p.outOfList(token.RightParen, "a parameter") {
				break
			}
			continue
		}
		param := &ast.Param{}
		name, ok := p.ident("a parameter")
		if !ok {
			break
		}
		param.Name = name
		if p.tok.Kind == token.Colon {
			p.next()
			param.Type = p.paramType()
		}
		if p.tok.Kind == token.Assign {
			p.next()
			param.Default = p.value(name.Name)
		}
		list.List = append(list.List, param)
		p.separator()
	}
	p.close(token.RightParen)
	list.Range = p.from(start.Start)
	return list
}

// paramType reads a type. A mistaken one is read as what it means; one that
// means nothing is as if there were none.
func (p *parser) paramType() *ast.Ident {
	name, ok := p.ident("a type")
	if !ok {
		return nil
	}
	if slices.Contains(typeNames, name.Name) {
		return &name
	}
	meant := map[string]string{
		"integer": "int", "boolean": "bool", "array": "list", "object": "map", "dict": "map", "float": "number", "double": "number", "text": "string", "str": "string",
	}[strings.ToLower(name.Name)]
	if meant == "" {
		meant = diag.Nearest(name.Name, typeNames)
	}
	suggestion := ""
	if meant != "" {
		suggestion = fmt.Sprintf("did you mean %q?", meant)
	}
	p.report(diag.BadParameter, name.Range, fmt.Sprintf("unknown type %q", name.Name), suggestion, "The types are string, int, number, bool, list and map.")
	if meant == "" {
		return nil
	}
	name.Name = meant
	return &name
}

const anArgument = "an argument, such as port = 80"

// args reads the arguments; incomplete when some could not be read.
func (p *parser) args() (args []*ast.Arg, incomplete bool) {
	before := len(p.found)
	p.push()
	for p.tok.Kind != token.RightParen {
		if p.tok.Kind != token.Ident && p.tok.Kind != token.String && !p.tok.Kind.Keyword() || p.atStatement() {
			if !p.outOfList(token.RightParen, anArgument) {
				break
			}
			continue
		}
		name, ok := p.ident(anArgument)
		if !ok {
			break
		}
		if p.tok.Kind != token.Assign && p.tok.Kind != token.Colon {
			p.expected(`"=" and a value`, "Arguments are named: FROM template(port = 80).")
			if p.tok.Kind != token.Comma && p.tok.Kind != token.RightParen {
				break
			}
			p.separator()
			continue
		}
		p.assign(false)
		args = append(args, &ast.Arg{Name: name, Value: p.value(name.Name)})
		p.separator()
	}
	p.close(token.RightParen)
	return args, len(p.found) > before
}

// outOfList handles a token that starts no parameter or argument. It returns
// false when the list is at its end.
func (p *parser) outOfList(closing token.Kind, what string) bool {
	switch {
	case p.tok.Kind == token.Comma:
		p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("expected %s, found \",\"", what), "remove it", "")
		p.next()
		return true
	case p.tok.Kind == token.EOF, p.atStatement(), p.tok.Kind == closing,
		p.tok.Kind == token.LeftBrace, p.tok.Kind == token.RightBrace, p.tok.Kind == token.RightBracket:
		return false
	}
	detail := ""
	if what == anArgument {
		detail = "Arguments are named: FROM template(port = 80)."
	}
	p.expected(what, detail)
	p.next()
	return true
}

// separator takes the comma between two entries that need one.
func (p *parser) separator() {
	switch p.tok.Kind {
	case token.Comma:
		p.next()
	case token.Ident:
		p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("expected \",\" before %q", p.tok.Text), "separate them by commas", "")
	}
}
