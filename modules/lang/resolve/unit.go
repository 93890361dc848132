package resolve

import (
	"fmt"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// unit is one file with the names that it defines.
type unit struct {
	location
	digest     string // SHA-256 of its text, 64 hex digits
	root       bool
	tree       *ast.File
	components map[string]*definition
	order      []*definition
	names      []string // of the components
	deployed   []string // those that references, CONNECT and EXPOSE can mean
	lets       map[string]*letDefinition
	letOrder   []*letDefinition
	imports    map[string]*unit // nil: could not be read, which was reported
	aliases    map[string]token.Range
	incomplete bool // names may be missing because of errors
	doubtful   bool // a reference was not understood: it may be to a LET
}

// definition is a component as it is written. COMPONENT a, b makes two.
type definition struct {
	name     ast.Ident
	node     *ast.Component
	unit     *unit
	template bool
	params   []*parameter

	linked bool // base is set
	base   *definition
	broken bool // its base could not be found, which was reported
	depth  int
}

// parameter is one parameter of a template.
type parameter struct {
	node *ast.Param
	kind string // string, int, …; empty: any
}

// letDefinition is a LET.
type letDefinition struct {
	node    *ast.Let
	index   int
	used    bool
	checked value // evaluated where the environment may be missing
	full    value
	fullDone,
	checkDone bool
}

const maxName = 63

// declare collects the names of a file.
func (r *resolver) declare(u *unit) {
	u.components, u.lets, u.imports = map[string]*definition{}, map[string]*letDefinition{}, map[string]*unit{}
	u.aliases = map[string]token.Range{}
	u.incomplete = u.tree.Incomplete
	for _, s := range u.tree.Statements {
		switch s := s.(type) {
		case *ast.Component:
			for _, name := range s.Names {
				if r.gaveUp {
					return
				}
				r.declareComponent(u, s, name)
			}
		case *ast.Let:
			r.declareLet(u, s)
		case *ast.Connect, *ast.Expose:
			if !u.root {
				r.warn(diag.NoEffectInImport, s.Span(), "this statement has no effect in an imported file", "", "CONNECT and EXPOSE belong to the root file.")
			}
		}
	}
	u.markUsedLets()
	if u.fetched() {
		r.refuseReferences(u)
	}
}

func (r *resolver) declareComponent(u *unit, s *ast.Component, name ast.Ident) {
	if name.Name == "" {
		return // reported by the parser
	}
	if !r.nameAllowed(name, "a component") {
		u.incomplete = true
		return
	}
	if first := u.components[name.Name]; first != nil {
		r.report(diag.DuplicateName, name.Range, fmt.Sprintf("component %q is defined twice", name.Name), "rename one of the two", "",
			diag.Related{Label: "first defined here", Range: first.name.Range})
		u.incomplete = true // the name that one of the two should have is missing
		return
	}
	d := &definition{name: name, node: s, unit: u, template: s.Params != nil || !u.root}
	if s.Params != nil {
		r.declareParams(d)
	}
	if !d.template && len(name.Name) > maxName {
		r.report(diag.NameTooLong, name.Range, fmt.Sprintf("the name has %d characters", len(name.Name)), fmt.Sprintf("at most %d", maxName), "")
	}
	u.components[name.Name] = d
	u.order = append(u.order, d)
	u.names = append(u.names, name.Name)
	if !d.template {
		u.deployed = append(u.deployed, name.Name)
	}
}

// nameAllowed reports a name that the language keeps for itself.
func (r *resolver) nameAllowed(name ast.Ident, what string) bool {
	if !schema.IsReserved(name.Name) {
		return true
	}
	r.report(diag.ReservedName, name.Range, fmt.Sprintf("%q cannot be the name of %s", name.Name, what), "choose another name",
		"The language keeps env, secret, param, let, self, localhost, true and false for itself.")
	return false
}

func (r *resolver) declareParams(d *definition) {
	seen := map[string]token.Range{}
	for _, p := range d.node.Params.List {
		if p.Name.Name == "" {
			continue
		}
		if first, ok := seen[p.Name.Name]; ok {
			r.report(diag.DuplicateName, p.Name.Range, fmt.Sprintf("parameter %q is defined twice", p.Name.Name), "rename one of the two", "",
				diag.Related{Label: "first defined here", Range: first})
			continue
		}
		seen[p.Name.Name] = p.Name.Range
		d.params = append(d.params, &parameter{node: p, kind: p.Kind()})
	}
}

func (r *resolver) declareLet(u *unit, s *ast.Let) {
	if s.Name.Name == "" || s.Value == nil {
		return
	}
	if first := u.lets[s.Name.Name]; first != nil {
		r.report(diag.DuplicateName, s.Name.Range, fmt.Sprintf("LET %q is defined twice", s.Name.Name), "rename one of the two", "",
			diag.Related{Label: "first defined here", Range: first.node.Name.Range})
		u.incomplete = true
		return
	}
	d := &letDefinition{node: s, index: len(u.letOrder)}
	u.lets[s.Name.Name] = d
	u.letOrder = append(u.letOrder, d)
}

// similarNames reports deployed components that differ only in case, - and _:
// their variables and host names would be the same.
func (r *resolver) similarNames() {
	first := map[string]*definition{}
	for _, d := range r.root.order {
		if d.template {
			continue
		}
		key := strings.ReplaceAll(strings.ToLower(d.name.Name), "-", "_")
		if other := first[key]; other != nil {
			r.report(diag.NamesTooSimilar, d.name.Range, fmt.Sprintf("%q and %q differ only in case, - and _", d.name.Name, other.name.Name),
				"rename one of the two", "Both would give the same variables to those who connect.",
				diag.Related{Label: "the other one", Range: other.name.Range})
			continue
		}
		first[key] = d
	}
}

// markUsedLets looks through the whole text: a LET in a value that a copy
// replaces is used.
func (u *unit) markUsedLets() {
	for _, s := range u.tree.Statements {
		references(s, func(ref *ast.Reference) {
			if d := u.lets[ref.Name]; ref.Root == "let" && d != nil {
				d.used = true
			}
		})
	}
}

// references calls visit for every reference in a statement.
func references(s ast.Statement, visit func(*ast.Reference)) {
	switch s := s.(type) {
	case *ast.Let:
		referencesIn(s.Value, visit)
	case *ast.Expose:
		if s.Text != nil {
			referencesIn(s.Text, visit)
		}
	case *ast.Component:
		if s.From != nil {
			for _, a := range s.From.Args {
				referencesIn(a.Value, visit)
			}
		}
		if s.Params != nil {
			for _, p := range s.Params.List {
				referencesIn(p.Default, visit)
			}
		}
		if s.Body != nil {
			for _, p := range s.Body.Properties {
				referencesIn(p.Value, visit)
			}
		}
	}
}

func referencesIn(v ast.Value, visit func(*ast.Reference)) {
	switch v := v.(type) {
	case *ast.String:
		for _, p := range v.Parts {
			if p.Reference != nil {
				visit(p.Reference)
			}
		}
	case *ast.List:
		for _, item := range v.Items {
			referencesIn(item, visit)
		}
	case *ast.Map:
		for _, e := range v.Entries {
			referencesIn(e.Value, visit)
		}
	}
}

func (r *resolver) unusedLets(u *unit) {
	if u.incomplete || u.doubtful {
		return
	}
	for _, d := range u.letOrder {
		if !d.used {
			r.warn(diag.UnusedLet, d.node.Name.Range, fmt.Sprintf("LET %q is not used", d.node.Name.Name), "remove it", "")
		}
	}
}
