package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/token"
)

// maxChain bounds how many copies of copies there may be.
const maxChain = 256

// linkBases finds the base of each component of a file.
func (r *resolver) linkBases(u *unit) {
	for _, d := range u.order {
		if !d.linked {
			r.linkChain(d)
		}
	}
}

// linkChain follows FROM up to a component that is linked already or has no
// base, and then sets the depths on the way back.
func (r *resolver) linkChain(d *definition) {
	var chain []*definition
	onPath := map[*definition]int{}
	for at := d; ; {
		if first, ok := onPath[at]; ok {
			r.fromCycle(chain[first:])
			break
		}
		if at.linked {
			break
		}
		at.linked = true
		onPath[at] = len(chain)
		chain = append(chain, at)
		if at.node.From == nil {
			break
		}
		base, ok := r.findBase(at)
		if !ok {
			at.broken = true
			break
		}
		at.base = base
		at = base
	}
	for i := len(chain) - 1; i >= 0; i-- {
		c := chain[i]
		if c.base == nil {
			continue
		}
		c.depth = c.base.depth + 1
		if c.base.broken {
			c.broken = true
		}
		if c.depth == maxChain && !c.broken {
			r.report(diag.ImportLimit, c.node.From.Range, fmt.Sprintf("more than %d copies of copies", maxChain), "copy from one further up", "")
		}
		if c.depth >= maxChain {
			c.broken, c.base = true, nil
		}
	}
}

func (r *resolver) fromCycle(cycle []*definition) {
	var names []string
	var related []diag.Related
	for i, d := range cycle {
		names = append(names, d.name.Name)
		if i > 0 {
			related = append(related, diag.Related{Label: fmt.Sprintf("%s is a copy of %s", d.name.Name, d.base.name.Name), Range: d.node.From.Range})
		}
	}
	names = append(names, cycle[0].name.Name)
	r.report(diag.FromCycle, cycle[0].node.From.Range, "components are copies of each other: "+strings.Join(names, " → "), "",
		"One of them is written out, without FROM: COMPONENT name { … }.", related...)
	for _, d := range cycle {
		d.broken, d.base = true, nil
	}
}

// findBase looks up what FROM names.
func (r *resolver) findBase(d *definition) (*definition, bool) {
	from, u := d.node.From, d.unit
	if from.Name.Name == "" {
		return nil, false // reported by the parser
	}
	if from.Alias != nil {
		return r.findImported(u, from.Alias.Name, from.Alias.Range, from.Name.Name, from.Name.Range)
	}
	if base := u.components[from.Name.Name]; base != nil {
		return base, true
	}
	if imported, ok := u.imports[from.Name.Name]; ok {
		if imported == nil {
			return nil, false
		}
		if len(imported.order) == 1 {
			return imported.order[0], true
		}
		switch {
		case imported.incomplete:
		case len(imported.order) == 0:
			r.report(diag.UnknownComponent, from.Name.Range, fmt.Sprintf("%s defines no component", imported.name), "", "A base is COMPONENT name(…) { … } there.")
		default:
			r.report(diag.AmbiguousTemplate, from.Name.Range, fmt.Sprintf("%s defines %d components", imported.name, len(imported.order)),
				"say which: "+from.Name.Name+".name", namesDetail("It has ", imported.names))
		}
		return nil, false
	}
	if !u.incomplete {
		r.report(diag.UnknownComponent, from.Name.Range, fmt.Sprintf("unknown component %q", from.Name.Name),
			r.near(from.Name.Name, u.names, aliasNames(u)), "FROM names a component or template of this file, or alias.name of an import.")
	}
	return nil, false
}

func (r *resolver) findImported(u *unit, alias string, aliasRange token.Range, name string, nameRange token.Range) (*definition, bool) {
	imported, ok := u.imports[alias]
	if !ok {
		if !u.incomplete {
			r.report(diag.UnknownComponent, aliasRange, fmt.Sprintf("no import is called %q", alias), r.near(alias, aliasNames(u)), "")
		}
		return nil, false
	}
	if imported == nil {
		return nil, false
	}
	if base := imported.components[name]; base != nil {
		return base, true
	}
	if !imported.incomplete {
		r.report(diag.UnknownComponent, nameRange, fmt.Sprintf("%s has no component %q", imported.name, name),
			r.near(name, imported.names), namesDetail("It has ", imported.names))
	}
	return nil, false
}

func aliasNames(u *unit) []string {
	var names []string
	for name := range u.aliases {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// mostNames is how many names a diagnostic lists.
const mostNames = 8

// namesDetail lists a few names.
func namesDetail(prefix string, names []string) string {
	return fewNames(prefix, names[:min(mostNames, len(names))], len(names))
}

// fewNames lists names, and says how many there are in all.
func fewNames(prefix string, names []string, all int) string {
	if all == 0 {
		return ""
	}
	text := prefix + strings.Join(names, ", ")
	if all > len(names) {
		text += fmt.Sprintf(" and %d more", all-len(names))
	}
	return text + "."
}

// scopesOf returns the definitions that a component is made of, the base
// first, each with the scope that its own text is evaluated in.
func (r *resolver) scopesOf(inst *instance) []level {
	var levels []level
	d := inst.def
	sc := &scope{unit: d.unit, self: inst, check: inst.checkOnly, letIndex: -1}
	if d.node.Params != nil {
		sc.params = map[string]*binding{}
		for _, p := range d.params {
			sc.params[p.node.Name.Name] = &binding{param: p}
		}
	}
	for {
		// A level has a scope and parameters of its own for every component.
		if r.workBudget -= 5; r.workBudget <= 0 {
			r.tooMuch()
			break
		}
		levels = append(levels, level{d, sc})
		if d.base == nil {
			break
		}
		params := r.bind(inst, d, sc)
		d = d.base
		sc = &scope{unit: d.unit, params: params, self: inst, check: inst.checkOnly, letIndex: -1}
	}
	for i, j := 0, len(levels)-1; i < j; i, j = i+1, j-1 {
		levels[i], levels[j] = levels[j], levels[i]
	}
	return levels
}

// level is one step of a chain of copies.
type level struct {
	def   *definition
	scope *scope
}

// bind gives the parameters of d's base their arguments.
func (r *resolver) bind(inst *instance, d *definition, sc *scope) map[string]*binding {
	base, from := d.base, d.node.From
	if base.node.Params == nil && len(from.Args) == 0 {
		return nil
	}
	params := map[string]*binding{}
	var names []string
	for _, p := range base.params {
		params[p.node.Name.Name] = &binding{
			param: p, expr: p.node.Default,
			scope: &scope{unit: base.unit, check: sc.check, letIndex: -1, defaults: true},
		}
		names = append(names, p.node.Name.Name)
	}
	given := map[string]token.Range{}
	resembled := map[string]bool{}
	for _, a := range from.Args {
		if a.Name.Name == "" || r.gaveUp {
			continue
		}
		if first, ok := given[a.Name.Name]; ok {
			r.report(diag.DuplicateProperty, a.Name.Range, fmt.Sprintf("argument %q is given twice", a.Name.Name), "remove one of the two", "",
				diag.Related{Label: "first given here", Range: first})
			continue
		}
		given[a.Name.Name] = a.Name.Range
		b := params[a.Name.Name]
		if b == nil {
			meant := diag.Nearest(a.Name.Name, names)
			resembled[meant] = true
			r.unknownArgument(base, a.Name.Name, a.Name.Range, meant, names)
			continue
		}
		b.expr, b.scope, b.isArg = a.Value, sc, true
		inst.arguments = append(inst.arguments, b)
	}
	for _, p := range base.params {
		name := p.node.Name.Name
		if params[name].expr != nil {
			continue
		}
		if !r.gaveUp && !resembled[name] && !from.Incomplete {
			r.report(diag.MissingArgument, from.Range, fmt.Sprintf("%s needs the argument %q", base.name.Name, name),
				fmt.Sprintf("write %s(%s = …)", base.name.Name, name), "", diag.Related{Label: "it has no default", Range: p.node.Name.Range})
		}
		params[name].state = finished // bad
	}
	return params
}

func (r *resolver) unknownArgument(base *definition, name string, rng token.Range, meant string, names []string) {
	suggestion, detail := "", namesDetail("Its parameters are ", names)
	if meant != "" {
		suggestion = fmt.Sprintf("did you mean %q?", meant)
	}
	if base.node.Params == nil {
		detail = "It has no parameters: it is not COMPONENT " + base.name.Name + "(…)."
	}
	r.report(diag.UnknownArgument, rng, fmt.Sprintf("%s has no parameter %q", base.name.Name, name), suggestion, detail)
}
