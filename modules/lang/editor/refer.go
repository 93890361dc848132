package editor

import (
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/token"
)

// inReference tells whether the cursor is inside of a ${…}, and narrows the
// spot to what is typed of it.
func (c *completer) inReference() bool {
	s := &c.spot
	open := -1
	for i := 0; i < len(s.text); i++ {
		rest := s.text[i:]
		switch {
		case rest[0] == '\\' && !s.raw:
			i++
		case strings.HasPrefix(rest, "$${"):
			i += 2
		case open < 0 && strings.HasPrefix(rest, "${"):
			open = i + 2
			i++
		case rest[0] == '}':
			open = -1
		}
	}
	if open < 0 {
		return false
	}
	s.text = s.text[open:]
	s.start = c.offset - len(s.text)
	s.end = wordEnd(c.File.Text, c.offset)
	for s.end < len(c.File.Text) && c.File.Text[s.end] == '.' {
		s.end = wordEnd(c.File.Text, s.end+1)
	}
	return true
}

// references offers what may stand between ${ and }.
func (c *completer) references() {
	s := &c.spot
	root, _, dotted := strings.Cut(s.text, ".")
	for i := range len(s.text) {
		if b := s.text[i]; !isWordByte(b) && b != '-' && b != '.' {
			s.start, s.end = c.offset, c.offset
			return // a default, which is free text, or nothing that refers
		}
	}
	if dotted {
		s.start += len(root) + 1
		c.referenceNames(root)
		return
	}
	scope := c.scope()
	offer := func(root, doc string) {
		c.offer(Completion{Label: root, Kind: ReferenceCompletion, Doc: doc, Text: root + "."})
	}
	offer("env", "a variable of the caller's environment: ${env.NAME}, ${env.NAME:-default}")
	for _, l := range c.lets() {
		c.offer(Completion{Label: "let." + l.Name.Name, Kind: LetCompletion, Detail: c.File.source(l.Value.Span()), Text: c.closed("let." + l.Name.Name)})
	}
	for _, p := range scope.params {
		c.offer(Completion{Label: "param." + p.Name.Name, Kind: ParameterCompletion, Detail: p.Kind(), Doc: paramDoc(p), Text: c.closed("param." + p.Name.Name)})
	}
	if scope.secrets {
		offer("secret", "a secret, from .containust/secrets or the variable CONTAINUST_SECRET_NAME")
	}
	if len(scope.self) > 0 {
		offer("self", "the component itself")
	}
	if scope.components {
		for _, comp := range c.File.defined().order {
			if !comp.template() {
				c.offer(Completion{Label: comp.name.Name, Kind: ComponentCompletion, Detail: componentDetail(comp), Text: comp.name.Name + "."})
			}
		}
	}
}

// referenceNames offers what may stand behind the dot.
func (c *completer) referenceNames(root string) {
	scope, x := c.scope(), c.File.defined()
	name := func(name string, kind CompletionKind, detail, doc string) {
		c.offer(Completion{Label: name, Kind: kind, Detail: detail, Doc: doc, Text: c.closed(name)})
	}
	switch root {
	case "env", "secret":
		// Those that the file names itself: what the environment holds is
		// nobody's business.
		for _, n := range c.written(root) {
			name(n, ReferenceCompletion, "", "")
		}
	case "let":
		for _, l := range c.lets() {
			name(l.Name.Name, LetCompletion, c.File.source(l.Value.Span()), "")
		}
	case "param":
		for _, p := range scope.params {
			name(p.Name.Name, ParameterCompletion, p.Kind(), paramDoc(p))
		}
	case "self":
		for _, a := range scope.self {
			name(a, ReferenceCompletion, "", attributeDocs[a])
		}
	default:
		if comp := x.components[root]; comp != nil && !comp.template() && scope.components {
			for _, a := range []string{"host", "port", "connection_string"} {
				name(a, ReferenceCompletion, "", attributeDocs[a])
			}
		}
	}
}

var attributeDocs = map[string]string{
	"name":              "the component's name",
	"host":              "the name under which it is reached",
	"port":              "its first port",
	"connection_string": "its connection_string, or protocol://host:port",
}

// closed is a name with the } that ends the reference, unless that or a default
// stands behind the cursor already.
func (c *completer) closed(name string) string {
	if rest := c.File.Text[c.spot.end:]; len(rest) > 0 && (rest[0] == '}' || rest[0] == ':') {
		return name
	}
	return name + "}"
}

// referenceScope is what a reference at the cursor may name, besides env and
// let.
type referenceScope struct {
	params              []*ast.Param
	self                []string // attributes
	components, secrets bool
}

func (c *completer) scope() referenceScope {
	s := &c.spot
	all := []string{"name", "host", "port", "connection_string"}
	if len(s.head) == 0 || s.head[0].Kind == token.EXPOSE || s.head[0].Kind == token.IMPORT {
		return referenceScope{}
	}
	if s.head[0].Kind == token.LET {
		return referenceScope{components: true, secrets: true}
	}
	var scope referenceScope
	if comp, ok := c.File.statementAt(c.offset).(*ast.Component); ok && comp.Params != nil {
		scope.params = comp.Params.List
	}
	p := s.property()
	switch {
	case len(s.frames) > 0 && s.frames[0].kind == paramsFrame:
		return referenceScope{components: true, secrets: true}
	case len(s.frames) > 0 && s.frames[0].kind == argsFrame:
		// It depends on where the template puts it.
		scope.self, scope.components, scope.secrets = all, true, true
	case p == nil:
	default:
		scope.self, scope.components, scope.secrets = all[:1], p.Components, p.Secrets
		if p.Components || p.Self {
			scope.self = all
		}
	}
	return scope
}

// lets are those that may be used at the cursor: in a LET only the earlier
// ones.
func (c *completer) lets() []*ast.Let {
	list := c.File.defined().letOrder
	if own, ok := c.File.statementAt(c.offset).(*ast.Let); ok {
		if i := slices.Index(list, own); i >= 0 {
			return list[:i]
		}
	}
	return list
}

// written are the names of a root that the file has in other places.
func (c *completer) written(root string) []string {
	kind := useEnv
	if root == "secret" {
		kind = useSecret
	}
	var names []string
	seen := map[string]bool{}
	for _, u := range c.File.allUses() {
		if u.kind == kind && !seen[u.name] && (c.offset < u.rng.Start.Offset || u.rng.End.Offset < c.offset) {
			seen[u.name] = true
			names = append(names, u.name)
		}
	}
	slices.Sort(names)
	return names
}
