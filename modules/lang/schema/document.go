package schema

import "github.com/containust/containust/modules/lang/diag"

// Version is the version of the form of [Document]. It grows when a reader of
// an earlier form could misread a later one.
const Version = 1

// Document is the language as data, for editors and for programs that write
// .ctst. It marshals to JSON with the fields in this order.
type Document struct {
	Version     int             `json:"version"`
	Statements  []Form          `json:"statements"`
	Literals    []Form          `json:"literals"`
	References  []Form          `json:"references"`
	Reserved    []string        `json:"reserved"` // what no component or alias may be called
	Properties  []PropertyForm  `json:"properties"`
	Diagnostics []DiagnosticRow `json:"diagnostics"`
}

// PropertyForm is one property, or one key of such a property, as data.
type PropertyForm struct {
	Name        string   `json:"name"`
	Type        TypeForm `json:"type"`
	Default     string   `json:"default,omitempty"` // for people
	Doc         string   `json:"doc"`
	Alternative string   `json:"alternative,omitempty"` // the property that says the same; only one of the two may be set
	References  []string `json:"references,omitempty"`  // of a property: names of the [References] that may stand in it
}

// TypeForm is a type as data.
type TypeForm struct {
	Kind   string         `json:"kind"`             // string, bool, int, decimal, number, size, duration, list, map, one of
	Name   string         `json:"name"`             // for people
	Min    *int64         `json:"min,omitempty"`    // of int, size and decimal
	Max    *int64         `json:"max,omitempty"`    // of int
	Values []string       `json:"values,omitempty"` // of string: the values that have a name
	Elem   *TypeForm      `json:"elem,omitempty"`   // of list; of map with free keys
	Fields []PropertyForm `json:"fields,omitempty"` // of map with these keys only
	Any    []TypeForm     `json:"any,omitempty"`    // of one of
}

// DiagnosticRow is the meaning of one code.
type DiagnosticRow struct {
	Code    diag.Code `json:"code"`
	Meaning string    `json:"meaning"`
}

var kindNames = map[Kind]string{
	Text: "string", Bool: "bool", Int: "int", Decimal: "decimal", Number: "number", Size: "size", Duration: "duration",
	List: "list", Map: "map", Choice: "one of",
}

// Describe returns the whole language as data.
func Describe() Document {
	d := Document{
		Version: Version, Statements: statements, Literals: literals, References: references, Reserved: Reserved(),
	}
	for i := range properties {
		d.Properties = append(d.Properties, properties[i].Form())
	}
	meanings := diag.Meanings()
	for _, code := range diag.Codes() {
		d.Diagnostics = append(d.Diagnostics, DiagnosticRow{code, meanings[code]})
	}
	return d
}

// Form returns a property of a component as data.
func (p *Property) Form() PropertyForm {
	f := propertyForm(p)
	f.References = ReferencesIn(p)
	return f
}

func propertyForm(p *Property) PropertyForm {
	return PropertyForm{Name: p.Name, Type: typeForm(p.Type), Default: p.Default, Doc: p.Doc, Alternative: p.Alternative}
}

func typeForm(t *Type) TypeForm {
	f := TypeForm{Kind: kindNames[t.Kind], Name: t.Name, Values: t.Values}
	if t.Kind == Int {
		f.Min, f.Max = &t.Min, &t.Max
	}
	if t.Kind == Size {
		f.Min = &t.Min
	}
	if t.Elem != nil {
		elem := typeForm(t.Elem)
		f.Elem = &elem
	}
	for i := range t.Fields {
		f.Fields = append(f.Fields, propertyForm(&t.Fields[i]))
	}
	for _, option := range t.Any {
		f.Any = append(f.Any, typeForm(option))
	}
	return f
}

// ReferencesIn returns the names of the references that may stand in a
// property's value, as [References] calls them; "self.name" stands for self
// without its other attributes.
func ReferencesIn(p *Property) []string {
	names := []string{"env", "param", "let"}
	switch {
	case p.Components:
		names = append(names, "self", "component")
	case p.Self:
		names = append(names, "self")
	default:
		names = append(names, "self.name")
	}
	if p.Secrets {
		names = append(names, "secret")
	}
	return names
}
