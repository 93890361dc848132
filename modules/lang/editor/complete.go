package editor

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// CompletionKind says what is offered, for an icon.
type CompletionKind int

// The kinds of completions.
const (
	KeywordCompletion CompletionKind = iota
	PropertyCompletion
	ValueCompletion
	ComponentCompletion
	TemplateCompletion
	ImportCompletion
	LetCompletion
	ParameterCompletion
	ReferenceCompletion
	FileCompletion
	FolderCompletion
)

// Completion is one thing that may stand at the cursor.
type Completion struct {
	Label  string
	Kind   CompletionKind
	Detail string // its type, in a few words
	Doc    string // a sentence
	Text   string // what is inserted
	Cursor int    // where typing goes on: an offset in Text
}

// Completions are what may stand at the cursor.
type Completions struct {
	Start, End int // the text that a completion replaces; the cursor is in it
	List       []Completion
	Incomplete bool // there are more; ask again when more is typed
}

// maxCompletions bounds a list: nobody reads more, and they are sent on every
// key.
const maxCompletions = 500

// Complete returns what may stand at the cursor. An offset outside of the text
// is taken as its nearest end.
func (v View) Complete(offset int) Completions {
	offset = v.File.clamp(offset)
	c := completer{View: v, offset: offset, spot: v.File.spotAt(offset)}
	if !c.spot.dead {
		c.complete()
	}
	out := Completions{Start: c.spot.start, End: c.spot.end, List: c.list}
	if len(out.List) > maxCompletions {
		typed := strings.ToLower(string(v.File.Text[out.Start:offset]))
		out.List = slices.DeleteFunc(out.List, func(c Completion) bool { return !subsequence(typed, strings.ToLower(c.Label)) })
	}
	if len(out.List) > maxCompletions {
		out.List, out.Incomplete = out.List[:maxCompletions], true
	}
	return out
}

func (f *File) clamp(offset int) int { return max(0, min(offset, len(f.Text))) }

// subsequence tells whether the letters of word stand in text in their order,
// as editors match.
func subsequence(word, text string) bool {
	for i := 0; i < len(text) && word != ""; i++ {
		if text[i] == word[0] {
			word = word[1:]
		}
	}
	return word == ""
}

type completer struct {
	View
	offset int
	spot   spot
	list   []Completion
}

func (c *completer) offer(o Completion) {
	o.Cursor = len(o.Text)
	c.list = append(c.list, o)
}

// entry offers a name that gets a value, in whose shape "|" is where typing goes
// on. The name alone is inserted where a value stands behind the cursor already.
func (c *completer) entry(o Completion, shape string) {
	o.Text, o.Cursor = o.Label, len(o.Label)
	rest := strings.TrimLeft(string(c.File.Text[c.spot.end:min(len(c.File.Text), c.spot.end+64)]), " \t")
	if !strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "+=") && !strings.HasPrefix(rest, ":") {
		before, after, _ := strings.Cut(" = "+shape, "|")
		o.Text, o.Cursor = o.Label+before+after, len(o.Label)+len(before)
	}
	c.list = append(c.list, o)
}

func (c *completer) complete() {
	s, top := &c.spot, c.spot.top()
	switch {
	case s.inString && !s.raw && len(s.head) == 1 && s.head[0].Kind == token.IMPORT:
		c.paths()
	case s.inString && c.inReference():
		c.references()
	case s.inString:
		c.texts()
	case top == nil:
		c.statement()
	case top.kind == bodyFrame && top.state == awaitsKey:
		c.properties()
	case top.kind == mapFrame && top.state == awaitsKey:
		c.keys()
	case top.kind == argsFrame && top.state == awaitsKey:
		c.arguments()
	case top.kind == paramsFrame && top.state == awaitsType:
		for _, name := range []string{"string", "int", "number", "bool", "list", "map"} {
			c.offer(Completion{Label: name, Kind: ValueCompletion, Text: name})
		}
	case top.kind == listFrame || top.state == awaitsValue:
		c.values()
	}
}

// statement offers what goes on with a statement outside of brackets.
func (c *completer) statement() {
	s := &c.spot
	if len(s.head) == 0 {
		c.keywords(token.IMPORT, token.LET, token.COMPONENT, token.CONNECT, token.EXPOSE)
		return
	}
	last := s.head[len(s.head)-1].Kind
	done := last == token.Ident || last == token.String || last == token.Number || last == token.RightBrace || last == token.RightBracket || last == token.RightParen ||
		last == token.NOWAIT || last == token.UNSET
	switch s.head[0].Kind {
	case token.IMPORT:
		if last == token.String && s.sameLine {
			c.keywords(token.AS)
		}
	case token.LET:
		if last == token.Assign {
			c.bools()
			return
		}
		done = done && s.has(token.Assign)
	case token.COMPONENT:
		done = c.afterComponent(last)
	case token.CONNECT:
		done = c.afterConnect(last)
	case token.EXPOSE:
		switch {
		case last == token.TO:
			c.deployed(nil)
		case done && !s.has(token.TO) && s.sameLine:
			c.keywords(token.TO)
		}
	}
	if done && !s.sameLine {
		c.keywords(token.IMPORT, token.LET, token.COMPONENT, token.CONNECT, token.EXPOSE)
	}
}

// afterComponent tells whether the statement may end here.
func (c *completer) afterComponent(last token.Kind) bool {
	s := &c.spot
	from := s.has(token.FROM)
	switch {
	case last == token.FROM:
		c.bases()
	case last == token.Dot && from:
		c.imported(s.head[len(s.head)-2].Text)
	case !from && (last == token.Ident && len(s.head) > 1 || last == token.RightParen) && s.sameLine:
		c.keywords(token.FROM)
	}
	return last == token.RightBrace || from && (last == token.Ident || last == token.RightParen)
}

func (c *completer) afterConnect(last token.Kind) bool {
	s := &c.spot
	arrow := s.has(token.Arrow)
	var named []string
	for _, t := range s.head {
		switch t.Kind {
		case token.Arrow:
			if len(named) > 1 {
				named = nil // lists may stand for every pair
			}
		case token.Ident:
			named = append(named, t.Text)
		}
	}
	switch {
	case last == token.AS:
		return false
	case last == token.CONNECT || last == token.Arrow || last == token.Comma:
		c.deployed(named)
		return false
	case last == token.Ident && !arrow:
		c.offer(Completion{Label: "->", Kind: KeywordCompletion, Text: "-> ", Doc: "what it reaches, and waits for"})
		return false
	case last == token.Ident && s.sameLine && !s.has(token.AS):
		c.keywords(token.AS, token.NOWAIT)
	case last == token.Ident && s.sameLine:
		c.keywords(token.NOWAIT)
	}
	return arrow
}

func (c *completer) keywords(kinds ...token.Kind) {
	for _, k := range kinds {
		text := k.String() + " "
		if k == token.NOWAIT {
			text = k.String()
		}
		c.offer(Completion{Label: k.String(), Kind: KeywordCompletion, Doc: keywordDocs[k], Text: text})
	}
}

// keywordDocs say what each keyword does.
var keywordDocs = map[token.Kind]string{
	token.IMPORT:    "IMPORT \"path.ctst\" AS name: use the templates of another file.",
	token.LET:       "LET name = value: a value that this file uses as ${let.name}.",
	token.COMPONENT: "COMPONENT name { … }: one container. With parameters, COMPONENT name(port = 80) { … }, it is a template, which is not deployed by itself.",
	token.CONNECT:   "CONNECT a -> b: a may reach b, gets B_HOST and B_PORT, and starts when b is healthy. What is not connected cannot reach each other.",
	token.EXPOSE:    "EXPOSE 8443:8080 TO name: host port 8443 leads to port 8080 of the component.",
	token.FROM:      "FROM template(port = 80): start as a copy of a component or template; what the body says wins.",
	token.AS:        "AS name: another name, for an import or for the variables that a CONNECT gives.",
	token.TO:        "TO name: the component that the port belongs to.",
	token.NOWAIT:    "NOWAIT: the connection without an order of starting.",
	token.UNSET:     "UNSET: as if the base, the image or a CONNECT had never set it.",
}

// deployed offers the components that a CONNECT or EXPOSE may name.
func (c *completer) deployed(without []string) {
	for _, comp := range c.File.defined().order {
		if !comp.template() && !slices.Contains(without, comp.name.Name) {
			c.offer(Completion{Label: comp.name.Name, Kind: ComponentCompletion, Detail: componentDetail(comp), Text: comp.name.Name})
		}
	}
}

func componentDetail(comp *component) string {
	if comp.node.From != nil && comp.node.From.Name.Name != "" {
		return "FROM " + fromText(comp.node.From)
	}
	return ""
}

// bases offers what a component may be a copy of.
func (c *completer) bases() {
	var own []string
	for _, t := range c.spot.head {
		own = append(own, t.Text)
	}
	x := c.File.defined()
	for _, comp := range x.order {
		if !slices.Contains(own, comp.name.Name) {
			c.base(comp, "")
		}
	}
	for _, i := range x.aliases {
		path, _ := i.node.Path.Plain()
		c.offer(Completion{Label: i.alias, Kind: ImportCompletion, Detail: path, Text: i.alias})
		if file := c.open(i.file); file != nil {
			for _, comp := range file.defined().order {
				c.base(comp, i.alias+".")
			}
		}
	}
}

func (c *completer) base(comp *component, prefix string) {
	o := Completion{Label: prefix + comp.name.Name, Kind: ComponentCompletion, Detail: componentDetail(comp), Text: prefix + comp.name.Name}
	if comp.template() {
		o.Kind, o.Detail = TemplateCompletion, paramsText(comp.node.Params)
	}
	c.offer(o)
}

// imported offers the components of an import.
func (c *completer) imported(alias string) {
	i := c.File.defined().imports[alias]
	if i == nil {
		return
	}
	if file := c.open(i.file); file != nil {
		for _, comp := range file.defined().order {
			c.base(comp, "")
		}
	}
}

// arguments offers the parameters of the template in FROM that have no argument
// yet.
func (c *completer) arguments() {
	from := &ast.From{}
	for i, t := range c.spot.head {
		if t.Kind != token.FROM || i+1 == len(c.spot.head) {
			continue
		}
		from.Name.Name = c.spot.head[i+1].Text
		if i+3 < len(c.spot.head) && c.spot.head[i+2].Kind == token.Dot {
			from.Alias = &ast.Ident{Name: from.Name.Name}
			from.Name.Name = c.spot.head[i+3].Text
		}
	}
	base, _ := c.baseOf(c.File, from)
	if base == nil || base.node.Params == nil {
		return
	}
	for _, p := range base.node.Params.List {
		if p.Name.Name != "" && !slices.Contains(c.spot.top().seen, p.Name.Name) {
			c.entry(Completion{Label: p.Name.Name, Kind: ParameterCompletion, Detail: p.Kind(), Doc: paramDoc(p)}, "|")
		}
	}
}

// properties offers what the component does not say yet.
func (c *completer) properties() {
	taken := map[string]bool{}
	take := func(name string) {
		taken[name] = true
		if p := schema.Lookup(name); p != nil && p.Alternative != "" {
			taken[p.Alternative] = true
		}
	}
	for _, name := range c.spot.top().seen {
		take(name)
	}
	// What stands behind the cursor.
	if comp, ok := c.File.statementAt(c.offset).(*ast.Component); ok && comp.Body != nil {
		for _, p := range comp.Body.Properties {
			if r := p.Name.Range; c.offset < r.Start.Offset || r.End.Offset < c.offset {
				take(p.Name.Name)
			}
		}
	}
	for _, p := range schema.Properties() {
		if !taken[p.Name] {
			c.property(&p)
		}
	}
}

func (c *completer) property(p *schema.Property) {
	c.entry(Completion{Label: p.Name, Kind: PropertyCompletion, Detail: p.Type.Name, Doc: propertyDoc(p)}, valueShape(p.Type))
}

// valueShape is what a value of a type looks like, with the cursor in it.
func valueShape(t *schema.Type) string {
	switch t = alternatives(t)[0]; t.Kind {
	case schema.Text, schema.Size, schema.Duration:
		return `"|"`
	case schema.List:
		return "[" + valueShape(t.Elem) + "]"
	case schema.Map:
		return "{ | }"
	}
	return "|"
}

// keys offers the keys of a map that the table knows.
func (c *completer) keys() {
	for _, t := range c.spot.types() {
		for i := range t.Fields {
			if !slices.Contains(c.spot.top().seen, t.Fields[i].Name) {
				c.property(&t.Fields[i])
			}
		}
	}
}

// values offers what may stand for a value outside of quotes.
func (c *completer) values() {
	s := &c.spot
	for _, t := range s.types() {
		switch t.Kind {
		case schema.Bool:
			c.bools()
		case schema.Text:
			for _, value := range t.Values {
				c.offer(Completion{Label: `"` + value + `"`, Kind: ValueCompletion, Text: `"` + value + `"`})
			}
		}
	}
	if s.frames[0].kind != bodyFrame {
		if s.top().kind != listFrame {
			c.bools()
		}
		return
	}
	if comp, ok := c.File.statementAt(c.offset).(*ast.Component); ok && comp.From != nil && s.top().kind != listFrame {
		c.offer(Completion{Label: "UNSET", Kind: KeywordCompletion, Doc: keywordDocs[token.UNSET], Text: "UNSET"})
	}
}

func (c *completer) bools() {
	c.offer(Completion{Label: "true", Kind: ValueCompletion, Text: "true"})
	c.offer(Completion{Label: "false", Kind: ValueCompletion, Text: "false"})
}

// texts offers what may stand for a value inside of quotes.
func (c *completer) texts() {
	s := &c.spot
	if top := s.top(); s.raw || top == nil || top.kind != listFrame && top.state == awaitsKey {
		return
	}
	for _, t := range s.types() {
		for _, value := range t.Values {
			c.offer(Completion{Label: value, Kind: ValueCompletion, Text: value})
		}
	}
}

// paths offers files and folders to import.
func (c *completer) paths() {
	s := &c.spot
	dir := s.text[:strings.LastIndexByte(s.text, '/')+1]
	s.start += len(dir)
	if c.List == nil || strings.Contains(s.text, "://") || strings.ContainsAny(s.text, "\\$") {
		return
	}
	folder := filepath.FromSlash(dir)
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(filepath.Dir(c.File.Name), folder)
	}
	for _, name := range c.List(folder) {
		switch bare, isDir := strings.CutSuffix(name, "/"); {
		case strings.HasPrefix(name, ".") || strings.ContainsAny(name, "\"\\$\n"):
		case isDir:
			c.offer(Completion{Label: name, Kind: FolderCompletion, Text: name})
		case strings.HasSuffix(bare, ".ctst") && filepath.Join(folder, bare) != c.File.Name:
			c.offer(Completion{Label: name, Kind: FileCompletion, Text: name})
		}
	}
}
