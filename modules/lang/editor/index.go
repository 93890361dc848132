package editor

import (
	"cmp"
	"slices"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// useKind is what a name in the text stands for.
type useKind int

const (
	useComponent useKind = iota // also of a template
	useLet
	useParam
	useAlias // of an import; those up to here can be renamed
	useProperty
	useEnv
	useSecret
	useAttribute // host, port, … of self or of a component
)

// symbol is the identity of what a name stands for. Two uses mean the same
// exactly when their symbols are equal, also in different files.
type symbol struct {
	kind  useKind
	file  string // that defines it
	owner string // the component of a parameter or attribute; see soleOwner
	name  string
}

// soleOwner stands for the only component of a file: FROM alias(port = 80).
const soleOwner = "*"

// use is a name in the text.
type use struct {
	symbol
	rng     token.Range
	defines bool

	property  *schema.Property // of useProperty: also a key of one
	imported  *importInfo      // of useAlias
	path      bool             // of useAlias: the import's path, not its name
	reference *ast.Reference   // the name stands in ${…}
}

// names are those that a file defines.
type names struct {
	components map[string]*component
	order      []*component
	lets       map[string]*ast.Let
	letOrder   []*ast.Let
	imports    map[string]*importInfo
	aliases    []*importInfo // with a usable name, in order
	prefixes   map[string]bool
}

// component is one name of a COMPONENT statement.
type component struct {
	name ast.Ident
	node *ast.Component
}

func (c *component) template() bool { return c.node.Params != nil }

func (c *component) param(name string) *ast.Param {
	if c.node.Params == nil {
		return nil
	}
	for _, p := range c.node.Params.List {
		if p.Name.Name == name {
			return p
		}
	}
	return nil
}

// defined returns the names that the file defines. They are collected when they
// are asked for first.
func (f *File) defined() *names {
	f.declared.Do(func() {
		f.names = names{components: map[string]*component{}, lets: map[string]*ast.Let{}, imports: map[string]*importInfo{}, prefixes: map[string]bool{}}
		for _, s := range f.Tree.Statements {
			f.declare(s)
		}
	})
	return &f.names
}

func (f *File) declare(s ast.Statement) {
	x := &f.names
	switch s := s.(type) {
	case *ast.Component:
		for _, name := range s.Names {
			if name.Name != "" && x.components[name.Name] == nil {
				c := &component{name: name, node: s}
				x.components[name.Name] = c
				x.order = append(x.order, c)
			}
		}
	case *ast.Let:
		if s.Name.Name != "" && x.lets[s.Name.Name] == nil {
			x.lets[s.Name.Name] = s
			x.letOrder = append(x.letOrder, s)
		}
	case *ast.Import:
		if i := f.importOf(s); i.alias != "" && x.imports[i.alias] == nil {
			x.imports[i.alias] = i
			x.aliases = append(x.aliases, i)
		}
	case *ast.Connect:
		if s.Alias != nil {
			x.prefixes[s.Alias.Name] = true
		}
	}
}

// allUses returns every name in the text that means something, in its order.
// Completion does without them: in a large file they take as long as reading it.
func (f *File) allUses() []use {
	f.used.Do(func() {
		b := builder{file: f, names: f.defined(), uses: make([]use, 0, 4*len(f.Tree.Statements))}
		for _, s := range f.Tree.Statements {
			b.statement(s)
		}
		slices.SortStableFunc(b.uses, func(a, b use) int { return cmp.Compare(a.rng.Start.Offset, b.rng.Start.Offset) })
		f.uses = b.uses
	})
	return f.uses
}

// useAt returns the use that the cursor touches, or nil. Of two that touch it
// the later one holds the character behind it.
func (f *File) useAt(offset int) *use {
	uses := f.allUses()
	i, _ := slices.BinarySearchFunc(uses, offset+1, func(u use, offset int) int { return cmp.Compare(u.rng.Start.Offset, offset) })
	if i == 0 || offset > uses[i-1].rng.End.Offset {
		return nil
	}
	return &uses[i-1]
}

// builder collects uses.
type builder struct {
	file  *File
	names *names
	uses  []use
	owner *ast.Component // whose text it is in
}

func (b *builder) add(u use) {
	if u.name != "" && u.rng.Start.Offset < u.rng.End.Offset {
		b.uses = append(b.uses, u)
	}
}

func (b *builder) here(kind useKind, name string) symbol {
	return symbol{kind: kind, file: b.file.Name, name: name}
}

func (b *builder) statement(s ast.Statement) {
	b.owner = nil
	switch s := s.(type) {
	case *ast.Import:
		b.importStatement(s)
	case *ast.Let:
		b.add(use{symbol: b.here(useLet, s.Name.Name), rng: s.Name.Range, defines: true})
		b.value(s.Value)
	case *ast.Component:
		b.component(s)
	case *ast.Connect:
		b.components(s.From)
		b.components(s.To)
	case *ast.Expose:
		if s.Text != nil {
			b.value(s.Text)
		}
		if s.Target != nil {
			b.components([]ast.Ident{*s.Target})
		}
	}
}

func (b *builder) importStatement(s *ast.Import) {
	i := b.file.importOf(s)
	name := i.alias
	if name == "" {
		name = i.file // it can be looked at, and not be used
	}
	b.add(use{symbol: b.here(useAlias, name), rng: s.Path.Range, imported: i, path: true, defines: s.Alias == nil})
	if s.Alias != nil {
		b.add(use{symbol: b.here(useAlias, i.alias), rng: s.Alias.Range, imported: i, defines: true})
	}
}

func (b *builder) components(names []ast.Ident) {
	for _, name := range names {
		b.add(use{symbol: b.here(useComponent, name.Name), rng: name.Range})
	}
}

func (b *builder) component(s *ast.Component) {
	b.owner = s
	for _, name := range s.Names {
		b.add(use{symbol: b.here(useComponent, name.Name), rng: name.Range, defines: true})
	}
	if s.Params != nil {
		for _, p := range s.Params.List {
			sym := b.here(useParam, p.Name.Name)
			sym.owner = s.Names[0].Name
			b.add(use{symbol: sym, rng: p.Name.Range, defines: true})
			b.value(p.Default)
		}
	}
	if s.From != nil {
		b.from(s.From)
	}
	if s.Body != nil {
		for _, p := range s.Body.Properties {
			known := schema.Lookup(p.Name.Name)
			if known != nil {
				b.add(use{symbol: symbol{kind: useProperty, name: known.Name}, rng: p.Name.Range, property: known})
				b.keys(known.Name, known.Type, p.Value)
			}
			b.value(p.Value)
		}
	}
}

// keys notes the keys of a map that the table knows.
func (b *builder) keys(path string, t *schema.Type, v ast.Value) {
	m, ok := v.(*ast.Map)
	if !ok {
		return
	}
	for _, e := range m.Entries {
		for _, t := range alternatives(t) {
			if field := t.Field(e.Key.Name); field != nil {
				b.add(use{symbol: symbol{kind: useProperty, owner: path, name: field.Name}, rng: e.Key.Range, property: field})
			} else if t.Elem != nil {
				b.keys(path, t.Elem, e.Value)
			}
		}
	}
}

// alternatives returns what a type may be: itself, or the options of a choice.
func alternatives(t *schema.Type) []*schema.Type {
	if t.Kind == schema.Choice {
		return t.Any
	}
	return []*schema.Type{t}
}

func (b *builder) from(f *ast.From) {
	x := b.names
	param := symbol{kind: useParam, file: b.file.Name, owner: f.Name.Name}
	switch {
	case f.Alias != nil:
		i := x.imports[f.Alias.Name]
		if i == nil {
			i = &importInfo{}
		}
		b.add(use{symbol: b.here(useAlias, f.Alias.Name), rng: f.Alias.Range, imported: i})
		if i.file != "" {
			b.add(use{symbol: symbol{kind: useComponent, file: i.file, name: f.Name.Name}, rng: f.Name.Range})
		}
		param.file = i.file
	case x.components[f.Name.Name] == nil && x.imports[f.Name.Name] != nil:
		i := x.imports[f.Name.Name]
		b.add(use{symbol: b.here(useAlias, f.Name.Name), rng: f.Name.Range, imported: i})
		param.file, param.owner = i.file, soleOwner
	default:
		b.components([]ast.Ident{f.Name})
	}
	// A copy of a copy has its base's parameters no more.
	for _, a := range f.Args {
		param.name = a.Name.Name
		if param.file != "" {
			b.add(use{symbol: param, rng: a.Name.Range})
		}
		b.value(a.Value)
	}
}

// value notes the references in a value.
func (b *builder) value(v ast.Value) {
	switch v := v.(type) {
	case *ast.String:
		for _, p := range v.Parts {
			if p.Reference != nil && p.Reference.Root != "" {
				b.reference(p.Reference)
			}
		}
	case *ast.List:
		for _, item := range v.Items {
			b.value(item)
		}
	case *ast.Map:
		for _, e := range v.Entries {
			b.value(e.Value)
		}
	}
}

func (b *builder) reference(ref *ast.Reference) {
	root := within(ref.Range, len("${"), len(ref.Root))
	name := within(ref.Range, len("${")+len(ref.Root)+len("."), len(ref.Name))
	if text := b.file.Text; name.End.Offset > len(text) || string(text[root.Start.Offset:name.End.Offset]) != ref.Root+"."+ref.Name {
		// Written with escapes, so that the parts have no place of their own.
		root, name = ref.Range, ref.Range
	}
	u := use{rng: name, reference: ref}
	switch ref.Root {
	case "env":
		u.symbol = b.here(useEnv, ref.Name)
	case "secret":
		u.symbol = b.here(useSecret, ref.Name)
	case "let":
		u.symbol = b.here(useLet, ref.Name)
	case "param":
		u.symbol = b.here(useParam, ref.Name)
		if b.owner != nil {
			u.owner = b.owner.Names[0].Name
		}
	case "self":
		u.symbol = b.here(useAttribute, ref.Name)
		u.owner = "self"
	default:
		b.add(use{symbol: b.here(useComponent, ref.Root), rng: root, reference: ref})
		if root == name {
			return
		}
		u.symbol = b.here(useAttribute, ref.Name)
		u.owner = ref.Root
	}
	b.add(u)
}

// within is n bytes of ASCII, so many bytes of ASCII behind the start of r.
func within(r token.Range, after, n int) token.Range {
	r.Start.Offset += after
	r.Start.Column += after
	r.End = r.Start
	r.End.Offset += n
	r.End.Column += n
	return r
}

// isName tells whether a text is a name, and no keyword.
func isName(s string) bool { return token.IsName(s) && token.Lookup(s) == token.Ident }
