package parser

import (
	"fmt"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// body reads { … } of a component.
func (p *parser) body() *ast.Body {
	p.push()
	return p.properties(p.open[len(p.open)-1])
}

// bodyFrom reads a body whose { is missing.
func (p *parser) bodyFrom(first token.Token) *ast.Body {
	opened := bracket{token: first, swallowed: p.scanner.Swallowed()}
	opened.token.Kind = token.LeftBrace
	p.open = append(p.open, opened)
	return p.properties(opened)
}

func (p *parser) properties(opened bracket) *ast.Body {
	b := &ast.Body{}
	for {
		switch {
		case p.tok.Kind == token.RightBrace:
			p.pop()
			p.next()
			b.Range = p.from(opened.token.Start)
			return b
		case p.tok.Kind == token.EOF || p.atStatement():
			b.Incomplete = true
			p.unclosedBody(opened, b)
			p.pop()
			b.Range = p.from(opened.token.Start)
			return b
		case p.tok.Kind == token.Ident:
			p.property(b)
		default:
			p.notAProperty(b)
		}
	}
}

func (p *parser) property(b *ast.Body) {
	prop := &ast.Property{Name: ast.Ident{Name: p.tok.Text, Range: p.here()}}
	p.next()
	switch p.tok.Kind {
	case token.Assign, token.PlusAssign, token.Colon, token.String, token.Number, token.LeftBracket, token.LeftBrace, token.Invalid:
		prop.Append = p.assign(true)
		prop.Value = p.value(prop.Name.Name)
	case token.Ident:
		if p.sameLine() && !p.assignAhead() {
			prop.Append = p.assign(true)
			prop.Value = p.value(prop.Name.Name)
			break
		}
		fallthrough
	default:
		p.report(diag.MissingValue, prop.Name.Range, fmt.Sprintf("property %q has no value", prop.Name.Name), "", "Properties are name = value.")
		prop.Value = &ast.Bad{Range: prop.Name.Range}
	}
	b.Properties = append(b.Properties, prop)
	if p.tok.Kind == token.Comma {
		p.next()
	}
}

// notAProperty reports a token that starts no property, and goes to the next
// that does.
func (p *parser) notAProperty(b *ast.Body) {
	b.Incomplete = true
	switch {
	case p.tok.Kind == token.RightBracket || p.tok.Kind == token.RightParen:
		p.report(diag.StrayBracket, p.here(), fmt.Sprintf("unexpected %q", p.tok.Kind.String()), "nothing is open that it closes", "")
		p.next()
	case p.tok.Kind.Keyword() && p.assignAhead():
		p.report(diag.KeywordAsName, p.here(), fmt.Sprintf("%s is a keyword, not a property", p.tok.Text), "", "Properties are in lower case; statements stand outside of components.")
	case p.tok.Kind == token.String && p.assignAhead() || p.tok.Kind == token.String && strings.HasPrefix(p.scanner.Ahead(), ":"):
		// A quoted name as in JSON: mended, and read on as a property.
		if name, ok := p.ident("a property"); ok {
			p.tokenAsProperty(b, name)
			return
		}
	default:
		p.expected("a property", "Properties are name = value.")
	}
	p.skipToProperty()
}

func (p *parser) tokenAsProperty(b *ast.Body, name ast.Ident) {
	prop := &ast.Property{Name: name}
	prop.Append = p.assign(true)
	prop.Value = p.value(name.Name)
	b.Properties = append(b.Properties, prop)
	if p.tok.Kind == token.Comma {
		p.next()
	}
}

// skipToProperty goes to where a body can go on: a property, its end, or a
// statement.
func (p *parser) skipToProperty() {
	depth := 0
	for {
		switch p.tok.Kind {
		case token.EOF:
			return
		case token.LeftBrace, token.LeftBracket, token.LeftParen:
			depth++
		case token.RightBrace, token.RightBracket, token.RightParen:
			if depth == 0 && p.tok.Kind == token.RightBrace {
				return
			}
			depth = max(0, depth-1)
		case token.Ident, token.String:
			if depth == 0 && p.assignAhead() {
				return
			}
		default:
			if p.atStatement() {
				return
			}
		}
		p.next()
	}
}

// value reads a value; what names what it belongs to.
func (p *parser) value(what string) ast.Value {
	r := p.here()
	switch p.tok.Kind {
	case token.String:
		return p.stringValue()
	case token.Number:
		n := &ast.Number{Range: r, Text: p.tok.Text}
		p.next()
		return n
	case token.LeftBracket, token.LeftBrace:
		if len(p.open) >= MaxDepth {
			p.report(diag.NestedTooDeep, r, fmt.Sprintf("brackets nested deeper than %d", MaxDepth), "take it apart with LET", "")
			p.skipBrackets()
			return &ast.Bad{Range: p.from(r.Start)}
		}
		if p.tok.Kind == token.LeftBracket {
			return p.list()
		}
		return p.mapValue()
	case token.Invalid:
		p.next()
		return &ast.Bad{Range: r}
	case token.UNSET:
		p.next()
		return &ast.Unset{Range: r}
	case token.Ident:
		if p.tok.Text == "true" || p.tok.Text == "false" {
			b := &ast.Bool{Range: r, Value: p.tok.Text == "true"}
			p.next()
			return b
		}
		if !p.assignAhead() {
			return p.bareWord()
		}
	case token.Dot, token.Slash:
		if p.sameLine() {
			return p.bareText()
		}
	case token.LeftParen:
		p.expected("a value", "The language has no expressions: write the value itself.")
		p.skipBrackets()
		return &ast.Bad{Range: p.from(r.Start)}
	}
	if p.tok.Kind.Keyword() && p.sameLine() && !p.assignAhead() {
		return p.bareWord()
	}
	at := p.span(p.prevEnd, p.prevEnd)
	p.report(diag.MissingValue, at, fmt.Sprintf("%s has no value", what), "a value is missing here", "")
	return &ast.Bad{Range: at}
}

func (p *parser) list() ast.Value {
	l := &ast.List{}
	start := p.tok.Start
	keyed := -1 // where the report about a key stands
	p.push()
	for p.tok.Kind != token.RightBracket {
		if p.tok.Kind == token.EOF || p.atStatement() || p.tok.Kind == token.RightBrace || p.tok.Kind == token.RightParen ||
			p.tok.Kind == token.Ident && p.assignAhead() && !p.sameLine() {
			break
		}
		if p.tok.Kind == token.Ident && p.assignAhead() {
			if keyed < 0 {
				keyed = len(p.found)
				p.report(diag.UnexpectedToken, p.here(), "a key in a list", "remove it, or write a map: { key = value }", "")
			}
			p.next()
			p.next()
		}
		if p.tok.Kind == token.Comma || p.tok.Kind == token.Assign || p.tok.Kind == token.PlusAssign || p.tok.Kind == token.Colon || p.tok.Kind == token.Arrow {
			p.expected("a value", "Lists are [\"a\", \"b\"].")
			l.Items = append(l.Items, &ast.Bad{Range: p.here()})
			p.next()
			continue
		}
		before := p.tok.Start.Offset
		l.Items = append(l.Items, p.value("the list's entry"))
		if p.tok.Start.Offset == before {
			p.next() // reported as a missing value
		}
		if p.tok.Kind == token.Comma {
			p.next()
		}
	}
	if keyed >= 0 && p.tok.Kind != token.RightBracket && keyed < len(p.found) {
		// The list should have ended before the key.
		p.found = append(p.found[:keyed], p.found[keyed+1:]...)
	}
	p.close(token.RightBracket)
	l.Range = p.from(start)
	if keyed >= 0 {
		return &ast.Bad{Range: l.Range}
	}
	return l
}

func (p *parser) mapValue() ast.Value {
	m := &ast.Map{}
	start := p.tok.Start
	p.push()
	for p.tok.Kind != token.RightBrace {
		if p.tok.Kind == token.EOF || p.atStatement() || p.tok.Kind == token.RightBracket && p.isOpen(token.LeftBracket) ||
			p.tok.Kind == token.RightParen && p.isOpen(token.LeftParen) {
			m.Incomplete = true
			break
		}
		key, quoted, ok := p.key()
		if !ok {
			m.Incomplete = true
			p.skipToProperty()
			continue
		}
		e := &ast.Entry{Key: key, Quoted: quoted}
		switch {
		case p.tok.Kind == token.RightBrace, p.tok.Kind == token.Comma, (p.tok.Kind == token.Ident || p.tok.Kind == token.String) && p.assignAhead():
			p.report(diag.MissingValue, key.Range, fmt.Sprintf("key %q has no value", key.Name), "", "Entries are key = value; several values without keys are a list: [ … ].")
			e.Value = &ast.Bad{Range: key.Range}
		default:
			p.assign(false)
			e.Value = p.value(key.Name)
		}
		m.Entries = append(m.Entries, e)
		if p.tok.Kind == token.Comma {
			p.next()
		}
	}
	p.close(token.RightBrace)
	m.Range = p.from(start)
	return m
}

// key reads a map's key, which may be a keyword.
func (p *parser) key() (key ast.Ident, quoted, ok bool) {
	key = ast.Ident{Name: p.tok.Text, Range: p.here()}
	switch {
	case p.tok.Kind == token.Ident || p.tok.Kind.Keyword():
		p.next()
		return key, false, true
	case p.tok.Kind == token.String:
		s := p.stringValue()
		text, plain := s.Plain()
		if !plain {
			for _, part := range s.Parts {
				if part.Reference != nil {
					p.report(diag.ReferenceNotAllowed, part.Range, "a reference cannot stand in a key", "write the key out", "")
				}
			}
			key.Name = "" // reported, and no key
			return key, false, true
		}
		key.Name = text
		return key, true, true
	case p.tok.Kind == token.Number:
		p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("the key %s needs quotes", p.tok.Text), fmt.Sprintf("write %q", p.tok.Text), "")
		p.next()
		return key, true, true
	}
	if p.tok.Kind == token.RightBracket || p.tok.Kind == token.RightParen {
		p.report(diag.StrayBracket, p.here(), fmt.Sprintf("unexpected %q", p.tok.Kind.String()), "nothing is open that it closes", "")
	} else {
		p.expected("a key", "Maps are { key = value }.")
	}
	return key, false, false
}

// push opens the bracket that is the current token.
func (p *parser) push() {
	p.open = append(p.open, bracket{token: p.tok, swallowed: p.scanner.Swallowed()})
	p.next()
}

func (p *parser) pop() {
	p.open = p.open[:len(p.open)-1]
	if len(p.open) == 0 {
		p.unread = false
	}
}

func (p *parser) isOpen(kind token.Kind) bool {
	for _, b := range p.open {
		if b.token.Kind == kind {
			return true
		}
	}
	return false
}

// close takes the closing bracket of the innermost open one, or reports that
// it is missing.
func (p *parser) close(kind token.Kind) {
	opened := p.open[len(p.open)-1]
	if p.tok.Kind == kind {
		p.pop()
		p.next()
		return
	}
	p.unclosed(opened)
	p.pop()
}

// unclosed reports a bracket that is never closed: once for all that are open
// at one place, and not when the text of an unclosed string may hide the end.
func (p *parser) unclosed(opened bracket) {
	if p.unread || opened.swallowed != p.scanner.Swallowed() {
		return
	}
	var related []diag.Related
	if p.tok.Kind == token.EOF || p.atStatement() {
		p.unread = true
	} else {
		related = append(related, diag.Related{Label: "it should be closed before this", Range: p.here()})
	}
	p.report(diag.UnclosedBracket, p.span(opened.token.Start, opened.token.End),
		fmt.Sprintf("this %q is never closed", opened.token.Kind.String()), fmt.Sprintf("add %q where it ends", closing(opened.token.Kind).String()), "", related...)
}

func closing(opening token.Kind) token.Kind {
	switch opening {
	case token.LeftBracket:
		return token.RightBracket
	case token.LeftParen:
		return token.RightParen
	default:
		return token.RightBrace
	}
}

// unclosedBody reports a body that is never closed. When a key of its env or
// labels is a property's name, that map is what was not closed, and the key
// and what follows are taken as the properties that they are.
func (p *parser) unclosedBody(opened bracket, b *ast.Body) {
	if p.unread || opened.swallowed != p.scanner.Swallowed() {
		return
	}
	for _, prop := range b.Properties {
		m, ok := prop.Value.(*ast.Map)
		if !ok || prop.Name.Name != "env" && prop.Name.Name != "labels" {
			continue
		}
		for i, e := range m.Entries {
			if e.Quoted || schema.Lookup(e.Key.Name) == nil || e.Key.Range.Start.Line == m.Range.Start.Line {
				continue
			}
			brace := p.span(m.Range.Start, m.Range.Start)
			brace.End.Offset++
			brace.End.Column++
			p.report(diag.UnclosedBracket, brace, `this "{" is never closed`, fmt.Sprintf("add \"}\" before %q", e.Key.Name), "",
				diag.Related{Label: "this is a property: the } is probably missing before it", Range: e.Key.Range})
			for _, moved := range m.Entries[i:] {
				b.Properties = append(b.Properties, &ast.Property{Name: moved.Key, Value: moved.Value})
			}
			m.Entries = m.Entries[:i]
			p.unread = true
			return
		}
	}
	p.unclosed(opened)
}

// skipBrackets skips the bracket that is the current token, and all inside.
func (p *parser) skipBrackets() {
	depth := 0
	for p.tok.Kind != token.EOF && !p.atStatement() {
		switch p.tok.Kind {
		case token.LeftBrace, token.LeftBracket, token.LeftParen:
			depth++
		case token.RightBrace, token.RightBracket, token.RightParen:
			depth--
		}
		p.next()
		if depth <= 0 {
			return
		}
	}
}

// stringValue reads a string token.
func (p *parser) stringValue() *ast.String {
	s := &ast.String{Range: p.here(), Raw: p.tok.Raw}
	for _, part := range p.tok.Parts {
		r := p.span(part.Start, part.End)
		if !part.Interpolation {
			s.Parts = append(s.Parts, ast.Part{Range: r, Text: part.Text})
			continue
		}
		s.Parts = append(s.Parts, ast.Part{Range: r, Reference: reference(r, part.Text)})
	}
	p.next()
	return s
}

// reference splits root.name:-default.
func reference(r token.Range, text string) *ast.Reference {
	ref := &ast.Reference{Range: r, Name: text}
	path, rest, found := strings.Cut(text, ":-")
	root, name, dotted := strings.Cut(path, ".")
	if !dotted || !token.IsName(root) || !token.IsName(name) {
		return ref
	}
	ref.Root, ref.Name = root, name
	ref.HasDefault, ref.Default = found, rest
	return ref
}
