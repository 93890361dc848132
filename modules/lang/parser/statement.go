package parser

import (
	"fmt"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

// statement reads one statement, or reports why there is none and goes to the
// next. It always takes a token.
func (p *parser) statement() ast.Statement {
	start := p.tok.Start
	switch p.statementKind() {
	case token.IMPORT:
		return p.importStatement(start)
	case token.LET:
		return p.let(start)
	case token.COMPONENT:
		return p.component(start)
	case token.CONNECT:
		return p.connect(start)
	case token.EXPOSE:
		return p.expose(start)
	}
	p.skipToStatement()
	return nil
}

// habits are the words for a statement in other languages.
var habits = map[string]token.Kind{
	"service": token.COMPONENT, "container": token.COMPONENT, "resource": token.COMPONENT, "app": token.COMPONENT, "template": token.COMPONENT,
	"link": token.CONNECT, "depends_on": token.CONNECT, "publish": token.EXPOSE, "include": token.IMPORT, "use": token.IMPORT,
	"var": token.LET, "variable": token.LET, "const": token.LET, "locals": token.LET,
}

// statementKind returns which statement starts here, after reporting a word
// that only means it. EOF stands for none, which is reported.
func (p *parser) statementKind() token.Kind {
	if p.tok.Kind.Statement() {
		return p.tok.Kind
	}
	switch p.tok.Kind {
	case token.Ident:
	case token.RightBrace, token.RightBracket, token.RightParen:
		p.report(diag.StrayBracket, p.here(), fmt.Sprintf("unexpected %q", p.tok.Kind.String()), "nothing is open here",
			"Remove it, or look above for one that closes too early.")
		p.next()
		return p.lost()
	default:
		p.expected("a statement", statementsDetail)
		return p.lost()
	}
	word := p.tok.Text
	upper := strings.ToUpper(word)
	if kind := token.Lookup(upper); kind.Statement() && !p.assignAhead() {
		p.report(diag.LowerCaseKeyword, p.here(), "keywords are written in upper case", fmt.Sprintf("write %q", upper), "")
		return kind
	}
	if p.assignAhead() || strings.HasPrefix(p.scanner.Ahead(), ":") {
		p.report(diag.PropertyOutside, p.here(), fmt.Sprintf("%q stands outside of a component", word), "",
			"Properties belong between the { and } of a component, COMPONENT name { property = value }; maybe a } above closes it too early.")
		return p.lost()
	}
	kind := habits[strings.ToLower(word)]
	if kind == token.EOF {
		kind = token.Lookup(diag.Nearest(upper, statementKeywords()))
	}
	if kind.Statement() {
		p.report(diag.UnknownStatement, p.here(), fmt.Sprintf("unknown statement %q", word), fmt.Sprintf("did you mean %q?", kind.String()), "")
		return kind
	}
	p.report(diag.UnknownStatement, p.here(), fmt.Sprintf("unknown statement %q", word), "", statementsDetail)
	return p.lost()
}

const statementsDetail = "The statements are IMPORT, LET, COMPONENT, CONNECT and EXPOSE."

func statementKeywords() []string {
	return []string{"IMPORT", "LET", "COMPONENT", "CONNECT", "EXPOSE"}
}

// lost notes that a statement could not be read.
func (p *parser) lost() token.Kind {
	p.file.Incomplete = true
	return token.EOF
}

// skipToStatement goes to the next keyword that starts a statement.
func (p *parser) skipToStatement() {
	for p.tok.Kind != token.EOF && !p.atStatement() {
		p.next()
	}
}

// atStatement tells whether a statement starts here: a key may be a keyword.
func (p *parser) atStatement() bool { return p.tok.Kind.Statement() && !p.assignAhead() }

// assignAhead tells whether the token behind the current one is = or +=.
func (p *parser) assignAhead() bool {
	ahead := p.scanner.Ahead()
	return strings.HasPrefix(ahead, "=") && !strings.HasPrefix(ahead, "=>") || strings.HasPrefix(ahead, "+=")
}

func (p *parser) importStatement(start token.Pos) ast.Statement {
	p.next()
	s := &ast.Import{}
	switch {
	case p.tok.Kind == token.String:
		s.Path = p.stringValue()
	case p.tok.Kind == token.Ident || p.tok.Kind == token.Dot || p.tok.Kind == token.Slash:
		s.Path = p.bareText()
	default:
		p.expected("the path of a file in quotes", `An import is IMPORT "templates/postgres.ctst", with AS and a name if it needs another.`)
		p.lost()
		p.skipToStatement()
		return nil
	}
	if p.keyword(token.AS) {
		name, ok := p.ident("a name for the import")
		if !ok {
			p.lost() // what it is called is not known
			return nil
		}
		s.Alias = &name
	}
	s.Range = p.from(start)
	return s
}

func (p *parser) let(start token.Pos) ast.Statement {
	p.next()
	s := &ast.Let{}
	name, ok := p.ident("a name")
	if !ok {
		p.lost()
		p.skipToStatement()
		return nil
	}
	s.Name = name
	if p.tok.Kind == token.LeftBrace {
		brace := p.tok.Start
		p.report(diag.UnexpectedToken, p.here(), "expected \"=\", found \"{\"", fmt.Sprintf("write LET %s = and the value", name.Name), "")
		p.skipBrackets()
		s.Value = &ast.Bad{Range: p.from(brace)}
		s.Range = p.from(start)
		return s
	}
	p.assign(false)
	s.Value = p.value("LET " + name.Name)
	s.Range = p.from(start)
	return s
}

func (p *parser) component(start token.Pos) ast.Statement {
	p.next()
	c := &ast.Component{}
	name, ok := p.componentName()
	if !ok {
		p.lost()
		if p.tok.Kind != token.LeftBrace {
			p.skipToStatement()
			return nil
		}
	}
	c.Names = append(c.Names, name)
	for p.tok.Kind == token.Comma {
		p.next()
		if p.tok.Kind != token.Ident && p.tok.Kind != token.String {
			p.expected("another component's name", "")
			break
		}
		if name, ok := p.ident("another component's name"); ok {
			c.Names = append(c.Names, name)
		}
	}
	if p.tok.Kind == token.LeftParen {
		if len(c.Names) > 1 {
			p.report(diag.UnexpectedToken, p.here(), "several components with one parameter list", "", "Define one template, and copy it: COMPONENT a, b FROM template(…).")
		}
		c.Params = p.params()
	}
	if p.keyword(token.FROM) {
		c.From = p.fromClause()
	}
	c.Body = p.componentBody(c)
	c.Range = p.from(start)
	return c
}

// componentName reads the name, the last one where there are labels before it as
// in resource "container" "web" { … }.
func (p *parser) componentName() (ast.Ident, bool) {
	before, label := len(p.found), p.tok
	name, ok := p.ident("the component's name")
	for ok && label.Kind == token.String && p.sameLine() && (p.tok.Kind == token.Ident || p.tok.Kind == token.String) {
		p.found = p.found[:before]
		if name, ok = p.ident("the component's name"); ok {
			p.found = p.found[:before]
			p.report(diag.UnexpectedToken, p.from(label.Start), "a component has one name, without quotes", fmt.Sprintf("write %s", name.Name), "")
		}
	}
	return name, ok
}

// componentBody reads the body. Without one, only a component that is a copy
// is complete.
func (p *parser) componentBody(c *ast.Component) *ast.Body {
	if p.tok.Kind == token.LeftBrace {
		return p.body()
	}
	if p.tok.Kind == token.Ident && p.assignAhead() {
		p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("expected \"{\", found %s", p.describe()), "put { before it", "")
		return p.bodyFrom(p.tok)
	}
	if c.From != nil && (p.tok.Kind == token.EOF || p.tok.Kind.Statement() || !p.sameLine()) {
		return nil
	}
	at := p.here()
	if p.tok.Kind == token.EOF || p.tok.Kind.Statement() {
		at = c.Names[0].Range
	}
	detail := "A component is COMPONENT name { … } or COMPONENT name FROM template."
	if p.tok.Kind == token.Dot {
		detail = nameDetail
	}
	if p.tok.Kind != token.Invalid {
		p.report(diag.MissingBody, at, fmt.Sprintf("expected the component's body, found %s", p.describe()), "", detail)
	}
	for p.tok.Kind != token.EOF && !p.atStatement() && p.tok.Kind != token.LeftBrace {
		p.next()
	}
	if p.tok.Kind == token.LeftBrace {
		return p.body()
	}
	return &ast.Body{Range: p.span(p.prevEnd, p.prevEnd), Incomplete: true}
}

func (p *parser) fromClause() *ast.From {
	start := p.tok.Start
	name, ok := p.ident("the name of a component or template")
	f := &ast.From{Name: name}
	if ok && p.tok.Kind == token.Dot {
		p.next()
		alias := name
		f.Alias = &alias
		f.Name, ok = p.ident("the name of a template")
	}
	f.Range = p.from(start)
	if ok && p.tok.Kind == token.LeftParen {
		f.Args, f.Incomplete = p.args()
	}
	return f
}

// names reads a list of names; on a failure what it has so far.
func (p *parser) names(what string) ([]ast.Ident, bool) {
	var names []ast.Ident
	for {
		name, ok := p.ident(what)
		if !ok {
			return names, false
		}
		names = append(names, name)
		if p.tok.Kind == token.Ident && p.sameLine() && token.Lookup(strings.ToUpper(p.tok.Text)) == token.Ident {
			p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("expected \",\" before %q", p.tok.Text), "names are separated by commas", "")
			continue
		}
		if p.tok.Kind != token.Comma {
			return names, true
		}
		p.next()
	}
}

func (p *parser) connect(start token.Pos) ast.Statement {
	p.next()
	s := &ast.Connect{}
	var ok bool
	before := len(p.found)
	if s.From, ok = p.names("a component's name"); !ok {
		p.skipLine()
		return nil
	}
	switch {
	case p.tok.Kind == token.Arrow:
		p.next()
	case p.tok.Kind == token.TO, p.tok.Kind == token.Assign, p.tok.Kind == token.Ident && strings.EqualFold(p.tok.Text, "to"):
		p.report(diag.UnexpectedToken, p.here(), fmt.Sprintf("expected \"->\", found %s", p.describe()), `write "->"`, "")
		p.next()
	default:
		p.noArrow(s.From, before)
		return nil
	}
	if s.To, ok = p.names("a component's name"); !ok {
		p.skipLine()
		return nil
	}
	if p.tok.Kind == token.Arrow {
		p.report(diag.UnexpectedToken, p.here(), "a second arrow in one CONNECT", "", fmt.Sprintf("Write a statement for each: CONNECT %s -> ….", s.To[len(s.To)-1].Name))
		p.skipLine()
	}
	if p.keyword(token.AS) {
		if alias, ok := p.ident("a name for the variables"); ok {
			s.Alias = &alias
		}
	}
	s.NoWait = p.keyword(token.NOWAIT)
	s.Range = p.from(start)
	return s
}

// noArrow reports a CONNECT without its arrow. Names without commas between
// them were names around a missing arrow.
func (p *parser) noArrow(names []ast.Ident, before int) {
	const detail = "CONNECT a -> b lets a reach b, and starts b before a."
	if len(p.found) > before && len(names) > 1 {
		p.found = p.found[:before]
		p.report(diag.UnexpectedToken, names[1].Range, fmt.Sprintf("expected \"->\" before %q", names[1].Name), "", detail)
	} else {
		p.expected(`"->"`, detail)
	}
	p.skipLine()
}

// skipLine skips what is left of a statement that stands on one line.
func (p *parser) skipLine() {
	for p.sameLine() && p.tok.Kind != token.EOF && !p.atStatement() {
		p.next()
	}
}

func (p *parser) expose(start token.Pos) ast.Statement {
	p.next()
	s := &ast.Expose{}
	switch p.tok.Kind {
	case token.String:
		s.Text = p.stringValue()
	case token.Number:
		s.Host = ast.Number{Range: p.here(), Text: p.tok.Text}
		s.Container = s.Host
		p.next()
		if p.tok.Kind == token.Colon {
			p.next()
			if p.tok.Kind != token.Number {
				p.expected("the component's port", exposeDetail)
				p.skipLine()
				return nil
			}
			s.Container = ast.Number{Range: p.here(), Text: p.tok.Text}
			p.next()
			if p.tok.Kind == token.Colon {
				p.report(diag.UnexpectedToken, p.from(s.Host.Range.Start), "an address needs quotes", "", exposeDetail)
				p.skipLine()
				return nil
			}
		}
		if p.tok.Kind == token.Slash {
			p.next()
			protocol, ok := p.ident("tcp or udp")
			if !ok {
				p.skipLine()
				return nil
			}
			s.Protocol = &protocol
		}
	default:
		p.expected("a port", exposeDetail)
		p.next()
		p.skipLine()
		return nil
	}
	if p.tok.Kind == token.Arrow {
		p.report(diag.UnexpectedToken, p.here(), `expected "TO", found "->"`, `write "TO"`, "")
		p.next()
		p.target(s)
	} else if p.keyword(token.TO) {
		p.target(s)
	}
	s.Range = p.from(start)
	return s
}

func (p *parser) target(s *ast.Expose) {
	// Without its target an exposure would be reported as ambiguous; an empty
	// name says that this was reported.
	target, _ := p.ident("a component's name")
	s.Target = &target
}

const exposeDetail = `An exposure is EXPOSE 8080 TO name, EXPOSE 8443:8080 TO name, or with an address EXPOSE "0.0.0.0:8443:8080" TO name.`
