// Package ast holds the syntax tree of a .ctst file, as package parser makes
// it: everything with its range, and all comments, so that a formatter or an
// editor loses nothing.
//
//	file, found := parser.Parse("app.ctst", text)
//	for _, s := range file.Statements {
//		if c, ok := s.(*ast.Component); ok { … }
//	}
//
// A tree of a file with errors is partial: what could not be read is missing
// or [Bad]. Trees are inert data: they are the same on every platform, need no
// privileges, and may be read from any number of goroutines.
package ast

import (
	"strings"

	"github.com/containust/containust/modules/lang/token"
)

// File is one file.
type File struct {
	Name       string
	Statements []Statement
	Comments   []token.Comment

	// Incomplete says that statements were lost to errors, so that a name
	// that is missing may well have been defined.
	Incomplete bool
}

// Statement is *Import, *Let, *Component, *Connect or *Expose.
type Statement interface {
	Span() token.Range
	statement()
}

// Value is *String, *Number, *Bool, *List, *Map, *Unset or *Bad.
type Value interface {
	Span() token.Range
	value()
}

// Ident is a name.
type Ident struct {
	Name  string
	Range token.Range
}

// Import is IMPORT Path [AS Alias].
type Import struct {
	Range token.Range
	Path  *String
	Alias *Ident // nil: the path's stem
}

// Let is LET Name = Value.
type Let struct {
	Range token.Range
	Name  Ident
	Value Value
}

// Component is COMPONENT with one or several names, a parameter list, a base
// and a body.
type Component struct {
	Range  token.Range
	Names  []Ident // at least one
	Params *Params // nil: none; an empty list makes a template too
	From   *From   // nil: none
	Body   *Body   // nil: none, which only a component with From may have
}

// Params is a parameter list.
type Params struct {
	Range token.Range
	List  []*Param
}

// Param is one parameter.
type Param struct {
	Name    Ident
	Type    *Ident // nil: that of the default
	Default Value  // nil: required
}

// Kind is the type that is written, or that of the default: string, int, number,
// bool, list or map. Empty: any, as for a default that is a reference.
func (p *Param) Kind() string {
	if p.Type != nil {
		return p.Type.Name
	}
	switch v := p.Default.(type) {
	case *String:
		if _, ok := v.Plain(); ok {
			return "string"
		}
	case *Number:
		if strings.Contains(v.Text, ".") {
			return "number"
		}
		return "int"
	case *Bool:
		return "bool"
	case *List:
		return "list"
	case *Map:
		return "map"
	}
	return ""
}

// From is FROM Ref [Args]: the base, alone or of an imported file.
type From struct {
	Range token.Range
	Alias *Ident // of the import; nil: a name of this file, or an import's only component
	Name  Ident
	Args  []*Arg

	// Incomplete says that some arguments could not be read.
	Incomplete bool
}

// Arg is one argument.
type Arg struct {
	Name  Ident
	Value Value
}

// Body is { … } of a component.
type Body struct {
	Range      token.Range
	Properties []*Property

	// Incomplete says that properties were lost to errors.
	Incomplete bool
}

// Property is Name = Value or Name += Value.
type Property struct {
	Name   Ident
	Append bool
	Value  Value
}

// Connect is CONNECT From -> To [AS Alias] [NOWAIT].
type Connect struct {
	Range    token.Range
	From, To []Ident
	Alias    *Ident
	NoWait   bool
}

// Expose is EXPOSE Port [TO Target] or EXPOSE Text [TO Target].
type Expose struct {
	Range           token.Range
	Host, Container Number  // of the form with numbers; equal when one is written
	Protocol        *Ident  // nil: tcp
	Text            *String // the string form; nil: the form with numbers
	Target          *Ident  // nil: the only component that has the port
}

// String is a string, raw or not.
type String struct {
	Range token.Range
	Raw   bool
	Parts []Part
}

// Part is text, with Reference nil, or a reference.
type Part struct {
	Range     token.Range
	Text      string
	Reference *Reference
}

// Reference is the inside of ${Root.Name:-Default}. What is no reference at
// all has Root empty and its text in Name.
type Reference struct {
	Range      token.Range // with ${ and }
	Root, Name string
	HasDefault bool
	Default    string
}

// Only returns the reference that the string consists of, or nil when it
// consists of something else.
func (s *String) Only() *Reference {
	if len(s.Parts) != 1 {
		return nil
	}
	return s.Parts[0].Reference
}

// Plain returns the text of a string without references.
func (s *String) Plain() (string, bool) {
	switch {
	case len(s.Parts) == 0:
		return "", true
	case len(s.Parts) == 1 && s.Parts[0].Reference == nil:
		return s.Parts[0].Text, true
	default:
		return "", false
	}
}

// Number is a number as it is written.
type Number struct {
	Range token.Range
	Text  string
}

// Bool is true or false.
type Bool struct {
	Range token.Range
	Value bool
}

// List is [ … ].
type List struct {
	Range token.Range
	Items []Value
}

// Map is { … } as a value.
type Map struct {
	Range   token.Range
	Entries []*Entry

	// Incomplete says that entries were lost to errors.
	Incomplete bool
}

// Entry is Key = Value.
type Entry struct {
	Key    Ident // of a quoted key: its text
	Quoted bool
	Value  Value
}

// Unset is UNSET.
type Unset struct{ Range token.Range }

// Bad stands for a value that could not be read and was reported.
type Bad struct{ Range token.Range }

// Span returns the statement's range.
func (s *Import) Span() token.Range { return s.Range }

// Span returns the statement's range.
func (s *Let) Span() token.Range { return s.Range }

// Span returns the statement's range.
func (s *Component) Span() token.Range { return s.Range }

// Span returns the statement's range.
func (s *Connect) Span() token.Range { return s.Range }

// Span returns the statement's range.
func (s *Expose) Span() token.Range { return s.Range }

// Span returns the value's range.
func (s *String) Span() token.Range { return s.Range }

// Span returns the value's range.
func (v *Number) Span() token.Range { return v.Range }

// Span returns the value's range.
func (v *Bool) Span() token.Range { return v.Range }

// Span returns the value's range.
func (v *List) Span() token.Range { return v.Range }

// Span returns the value's range.
func (v *Map) Span() token.Range { return v.Range }

// Span returns the value's range.
func (v *Unset) Span() token.Range { return v.Range }

// Span returns the value's range.
func (v *Bad) Span() token.Range { return v.Range }

func (*Import) statement()    {}
func (*Let) statement()       {}
func (*Component) statement() {}
func (*Connect) statement()   {}
func (*Expose) statement()    {}

func (*String) value() {}
func (*Number) value() {}
func (*Bool) value()   {}
func (*List) value()   {}
func (*Map) value()    {}
func (*Unset) value()  {}
func (*Bad) value()    {}
