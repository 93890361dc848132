// Package editor is what an editor wants to know about a .ctst file while
// somebody types in it: what may stand at the cursor, what the name there
// means, where it is defined and used, and what changes when it is renamed.
//
//	file := editor.New("/srv/app.ctst", text)
//	view := editor.View{File: file, Open: open}
//	for _, c := range view.Complete(offset).List {
//		fmt.Println(c.Label, c.Detail)
//	}
//
// Places are offsets in bytes; a protocol that counts otherwise converts them.
// Text that is broken, as it is while somebody types, is the normal case. The
// checks are those of package resolve, not of this one.
//
// It runs on every platform, needs no privileges and reads nothing by itself:
// other files come from the View's functions. A File may be used from any
// number of goroutines.
package editor

import (
	"path/filepath"
	"strings"
	"sync"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// File is one version of one file. Its text must not be changed.
type File struct {
	Name string // a clean path, absolute unless it has no place on disk
	Text []byte
	Tree *ast.File // partial when the text has errors

	declared, used sync.Once
	names          names
	uses           []use
}

// New reads the text of a file. It takes the time of parsing it.
func New(name string, text []byte) *File {
	tree, _ := parser.Parse(name, text) // the errors are the checker's to tell
	return &File{Name: name, Text: text, Tree: tree}
}

// View is a file with the means to look at those beside it. Without them only
// the file itself is known.
type View struct {
	File *File

	// Open returns an imported file by its name, or nil when it cannot be
	// read.
	Open func(name string) *File

	// List returns what a folder holds: names of files, and of folders with a
	// final "/".
	List func(dir string) []string
}

func (v View) open(name string) *File {
	switch {
	case name == v.File.Name:
		return v.File
	case name == "" || v.Open == nil:
		return nil
	}
	return v.Open(name)
}

// Imports returns the names of the files that the file imports, as Open takes
// them. What is not a path, such as https://…, is left out.
func (f *File) Imports() []string {
	var names []string
	for _, s := range f.Tree.Statements {
		if s, ok := s.(*ast.Import); ok {
			if i := f.importOf(s); i.file != "" {
				names = append(names, i.file)
			}
		}
	}
	return names
}

// Library tells whether the file looks like one that others import: it deploys
// nothing by itself, so that what only a deployment needs may be missing.
func (f *File) Library() bool {
	for _, s := range f.Tree.Statements {
		switch s := s.(type) {
		case *ast.Connect, *ast.Expose:
			return false
		case *ast.Component:
			if s.Params == nil && (s.From != nil || property(s, "image") != nil) {
				return false
			}
		}
	}
	return true
}

// importInfo is what an IMPORT gives.
type importInfo struct {
	node  *ast.Import
	alias string // empty: none that can be used
	file  string // the name for Open; empty: not a path
}

func (f *File) importOf(s *ast.Import) *importInfo {
	i := &importInfo{node: s}
	target, plain := s.Path.Plain()
	if !plain || target == "" {
		return i
	}
	if at := strings.LastIndex(target, "@sha256:"); at >= 0 && schema.IsDigest(target[at+len("@sha256:"):]) {
		target = target[:at]
	}
	base := target[strings.LastIndexAny(target, `/\`)+1:]
	i.alias = strings.TrimSuffix(base, filepath.Ext(base))
	if s.Alias != nil {
		i.alias = s.Alias.Name
	}
	if !isName(i.alias) {
		i.alias = ""
	}
	switch {
	case target == "" || strings.Contains(target, "://"):
	case filepath.IsAbs(target):
		i.file = filepath.Clean(target)
	default:
		i.file = filepath.Join(filepath.Dir(f.Name), filepath.FromSlash(target))
	}
	return i
}

// property returns what a component itself says about a property, or nil.
func property(c *ast.Component, name string) *ast.Property {
	if c.Body == nil {
		return nil
	}
	for _, p := range c.Body.Properties {
		if p.Name.Name == name {
			return p
		}
	}
	return nil
}

// SymbolKind is what a name stands for.
type SymbolKind int

// The kinds of symbols that a file defines.
const (
	Component SymbolKind = iota
	Template             // a component with parameters
	Let
	Import
	Parameter
)

// Symbol is one thing that the file defines, for an outline.
type Symbol struct {
	Name   string
	Kind   SymbolKind
	Detail string
	Range  token.Range // all of it
	Select token.Range // its name
	Inside []Symbol    // the parameters of a template
}

// Symbols returns what the file defines, in its order.
func (f *File) Symbols() []Symbol {
	var list []Symbol
	for _, s := range f.Tree.Statements {
		switch s := s.(type) {
		case *ast.Import:
			name, _ := s.Path.Plain()
			symbol := Symbol{Name: name, Kind: Import, Range: s.Range, Select: s.Path.Range}
			if s.Alias != nil && s.Alias.Name != "" {
				symbol.Name, symbol.Detail, symbol.Select = s.Alias.Name, name, s.Alias.Range
			}
			list = append(list, symbol)
		case *ast.Let:
			list = append(list, Symbol{Name: s.Name.Name, Kind: Let, Range: s.Range, Select: s.Name.Range})
		case *ast.Component:
			for _, name := range s.Names {
				list = append(list, componentSymbol(s, name))
			}
		}
	}
	kept := list[:0]
	for _, s := range list {
		if s.Name != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

func componentSymbol(c *ast.Component, name ast.Ident) Symbol {
	s := Symbol{Name: name.Name, Range: c.Range, Select: name.Range}
	if c.From != nil && c.From.Name.Name != "" {
		s.Detail = "FROM " + fromText(c.From)
	}
	if c.Params == nil {
		return s
	}
	s.Kind = Template
	for _, p := range c.Params.List {
		if p.Name.Name != "" {
			s.Inside = append(s.Inside, Symbol{Name: p.Name.Name, Kind: Parameter, Detail: p.Kind(), Range: paramRange(p), Select: p.Name.Range})
		}
	}
	return s
}

// paramRange is a parameter with its type and default.
func paramRange(p *ast.Param) token.Range {
	r := p.Name.Range
	if p.Type != nil {
		r.End = p.Type.Range.End
	}
	if p.Default != nil && p.Default.Span().End.Offset > r.End.Offset {
		r.End = p.Default.Span().End
	}
	return r
}

func fromText(f *ast.From) string {
	if f.Alias != nil {
		return f.Alias.Name + "." + f.Name.Name
	}
	return f.Name.Name
}
