package editor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// Definition returns where the name at the cursor is defined: its name there,
// or for an import the start of the imported file. False: nowhere.
func (v View) Definition(offset int) (token.Range, bool) {
	u := v.File.useAt(v.File.clamp(offset))
	if u == nil {
		return token.Range{}, false
	}
	if u.kind == useAlias {
		if v.open(u.imported.file) == nil {
			return token.Range{}, false
		}
		start := token.Pos{Line: 1, Column: 1}
		return token.Range{File: u.imported.file, Start: start, End: start}, true
	}
	return v.definition(v.target(u))
}

// definition returns where a symbol is defined first.
func (v View) definition(s symbol) (token.Range, bool) {
	file := v.open(s.file)
	if file == nil {
		return token.Range{}, false
	}
	for _, d := range file.allUses() {
		if d.symbol == s && d.defines {
			return d.rng, true
		}
	}
	return token.Range{}, false
}

// target is what a use is about: for host, port and the like the component.
func (v View) target(u *use) symbol {
	s := u.symbol
	if u.kind == useAttribute {
		return symbol{kind: useComponent, file: s.file, name: s.owner}
	}
	return v.resolved(s)
}

// resolved gives a parameter its owner by name.
func (v View) resolved(s symbol) symbol {
	if s.owner == soleOwner {
		if comp, _ := v.sole(s.file); comp != nil {
			s.owner = comp.name.Name
		}
	}
	return s
}

// References returns the places in the view's file and in the others that mean
// the same as the name at the cursor, in the order of the files and their text.
func (v View) References(offset int, others []*File) []token.Range {
	u := v.File.useAt(v.File.clamp(offset))
	if u == nil || u.kind == useProperty {
		return nil
	}
	var list []token.Range
	for _, u := range v.uses(v.target(u), others) {
		list = append(list, u.rng)
	}
	return list
}

func (v View) uses(s symbol, others []*File) []use {
	var list []use
	seen := map[string]bool{}
	for _, file := range append([]*File{v.File}, others...) {
		if seen[file.Name] {
			continue
		}
		seen[file.Name] = true
		for _, u := range file.allUses() {
			if u.kind == s.kind && u.name == s.name && v.resolved(u.symbol) == s {
				list = append(list, u)
			}
		}
	}
	return list
}

// Edit replaces a piece of a file.
type Edit struct {
	Range token.Range
	Text  string
}

// ErrNoRename says that what stands at the cursor has no name that could be
// changed here.
var ErrNoRename = errors.New("only components, parameters, LETs and imports can be renamed")

// Renameable returns the name at the cursor, if it can be renamed, else an
// error that matches [ErrNoRename].
func (v View) Renameable(offset int) (token.Range, error) {
	u, err := v.renameable(offset)
	if err != nil {
		return token.Range{}, err
	}
	return u.rng, nil
}

func (v View) renameable(offset int) (*use, error) {
	u := v.File.useAt(v.File.clamp(offset))
	if u == nil || u.kind > useAlias || u.kind == useAlias && (u.path || u.imported.alias == "") {
		return nil, ErrNoRename
	}
	if _, ok := v.definition(v.resolved(u.symbol)); !ok {
		return nil, fmt.Errorf("%q is not defined: %w", u.name, ErrNoRename)
	}
	return u, nil
}

// Rename returns the edits that give what is named at the cursor another name,
// in the view's file and in the others. It refuses a name that is no name, that
// the language keeps for itself, or that something else has.
func (v View) Rename(offset int, name string, others []*File) ([]Edit, error) {
	u, err := v.renameable(offset)
	if err != nil {
		return nil, err
	}
	s := v.resolved(u.symbol)
	if s.name == name {
		return nil, nil
	}
	if err := v.nameFree(s, name); err != nil {
		return nil, err
	}
	if file := v.open(s.file); file != nil && file != v.File {
		others = append([]*File{file}, others...)
	}
	var edits []Edit
	for _, u := range v.uses(s, others) {
		e := Edit{Range: u.rng, Text: name}
		switch {
		case u.path && !u.defines:
			continue // AS stands behind it
		case u.path:
			e.Range.Start, e.Text = e.Range.End, " AS "+name
		case u.reference != nil && u.rng == u.reference.Range && u.kind == useComponent:
			e.Text = "${" + name + "." + u.reference.Name + "}"
		case u.reference != nil && u.rng == u.reference.Range:
			e.Text = "${" + u.reference.Root + "." + name + "}"
		}
		edits = append(edits, e)
	}
	return edits, nil
}

// maxDeployed is how long the name of a deployed component may be.
const maxDeployed = 63

// nameFree tells why a symbol cannot have a name.
func (v View) nameFree(s symbol, name string) error {
	if !isName(name) {
		if token.Lookup(name).Keyword() {
			return fmt.Errorf("%s is a keyword and cannot be a name", name)
		}
		return fmt.Errorf("%q is not a name: a name starts with a letter or _, and has letters, digits, _ and, inside, -", name)
	}
	file := v.open(s.file) // renameable has found the definition in it
	x := file.defined()
	switch s.kind {
	case useLet:
		if x.lets[name] != nil {
			return fmt.Errorf("a LET is called %q already", name)
		}
		return nil
	case useParam:
		if c := x.components[s.owner]; c != nil && c.param(name) != nil {
			return fmt.Errorf("%s has a parameter %q already", s.owner, name)
		}
		return nil
	}
	switch {
	case schema.IsReserved(name):
		return fmt.Errorf("the language keeps the name %q for itself", name)
	case x.components[name] != nil:
		return fmt.Errorf("a component is called %q already", name)
	case x.imports[name] != nil:
		return fmt.Errorf("an import is called %q already", name)
	case x.prefixes[name] && s.kind == useComponent:
		return fmt.Errorf("a CONNECT uses the name %q already, behind AS", name)
	}
	if c := x.components[s.name]; s.kind == useComponent && c != nil && !c.template() {
		return deployable(x, c, name)
	}
	return nil
}

// deployable tells why a component that is deployed cannot have a name.
func deployable(x *names, c *component, name string) error {
	if len(name) > maxDeployed {
		return fmt.Errorf("the name has %d characters; at most %d", len(name), maxDeployed)
	}
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	for _, other := range x.order {
		if other != c && !other.template() && fold(other.name.Name) == fold(name) {
			return fmt.Errorf("%q and %q differ only in case, - and _", name, other.name.Name)
		}
	}
	return nil
}
