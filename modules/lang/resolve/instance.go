package resolve

import (
	"fmt"
	"slices"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// instance is a component of the root file, or a template that is checked,
// with everything that its bases gave it.
type instance struct {
	def       *definition
	name      string
	checkOnly bool // a template, or not enabled
	disabled  bool // enabled = false
	broken    bool // something of it could not be read: what is missing may be there
	settings  map[string]*setting
	component *stack.Component
	arguments []*binding      // that it or its bases give with FROM
	noInject  bool            // env = UNSET
	written   map[string]bool // variables that env sets or unsets

	portState, connectionState state
	ports                      []stack.Port
	portsOK                    bool
	connection                 stack.Text
	connectionOK               bool

	implied []implied
	reached map[*instance]bool // targets in implied
}

// implied is an edge that a reference makes.
type implied struct {
	target *instance
	rng    token.Range
	text   string
}

// setting is what the chain of copies says about one property.
type setting struct {
	property *schema.Property // as it was written last: port or ports
	rng      token.Range      // of its name, where it was written last
	pieces   []piece          // one; several of lists with += and of maps
}

// piece is one value of a setting.
type piece struct {
	property *schema.Property
	lazy     thunk
}

// group is the name that alternatives share.
func group(p *schema.Property) string {
	if p.Alternative != "" && p.Alternative < p.Name {
		return p.Alternative
	}
	return p.Name
}

// merge lays the chain of copies of a component over each other. Nothing of it
// is evaluated yet.
func (r *resolver) merge(inst *instance) {
	d := inst.def
	inst.broken, inst.settings = d.broken, map[string]*setting{}
	levels := r.scopesOf(inst)
	for i, l := range levels {
		own := i == len(levels)-1
		if l.def.node.Body == nil {
			continue
		}
		if l.def.node.Body.Incomplete {
			inst.broken = true
		}
		r.mergeBody(inst, l, own)
	}
}

// mergeBody lays the properties of one level over those of its bases.
func (r *resolver) mergeBody(inst *instance, l level, own bool) {
	written := map[string]*ast.Property{}
	for _, p := range l.def.node.Body.Properties {
		if r.workBudget--; r.workBudget <= 0 {
			r.tooMuch()
			return
		}
		property := schema.Lookup(p.Name.Name)
		if property == nil {
			// It may be the very property that seems to be missing.
			r.unknownProperty(p)
			inst.broken = true
			continue
		}
		if !r.writtenOnce(written, p, property) {
			continue
		}
		if property.Name == "enabled" && !own {
			continue
		}
		r.mergeProperty(inst, l, p, property)
	}
}

func (r *resolver) unknownProperty(p *ast.Property) {
	suggestion := r.near(p.Name.Name, schema.Names())
	if meant, ok := otherNames[p.Name.Name]; ok {
		suggestion = meant
	}
	detail := ""
	if suggestion == "" {
		detail = "ctst schema lists all properties."
	}
	r.report(diag.UnknownProperty, p.Name.Range, fmt.Sprintf("unknown property %q", p.Name.Name), suggestion, detail)
}

// otherNames are what other tools call a property, or where it went.
var otherNames = map[string]string{
	"environment": `did you mean "env"?`, "cmd": `did you mean "command"?`, "args": `did you mean "command"?`, "source": `did you mean "image"?`,
	"expose": "write the statement EXPOSE", "depends_on": "write the statement CONNECT", "links": "write the statement CONNECT", "networks": "CONNECT takes their place",
	"working_dir": `did you mean "workdir"?`, "cpus": `did you mean "cpu"?`, "mem_limit": `did you mean "memory"?`, "read_only": `did you mean "readonly"?`,
	"cap_add": `did you mean "capabilities"?`, "mounts": `did you mean "volumes"?`, "pids_limit": `did you mean "pids"?`, "stop_grace_period": `did you mean "stop_timeout"?`,
	"network_mode": `did you mean "network"?`, "health": `did you mean "healthcheck"?`, "swap": `did you mean "memory_swap"?`,
	"env_file": "remove it, and run with --env-file", "build": "remove it: an image is built beforehand", "privileged": "remove it, and name the capabilities it needs",
	"replicas": "remove it: COMPONENT a, b { … } makes two", "container_name": "remove it: the component's name is its name",
}

// writtenOnce reports a property that stands twice in one body, also in its
// other form.
func (r *resolver) writtenOnce(written map[string]*ast.Property, p *ast.Property, property *schema.Property) bool {
	first := written[group(property)]
	if first == nil {
		written[group(property)] = p
		return true
	}
	if first.Name.Name == p.Name.Name {
		r.report(diag.DuplicateProperty, p.Name.Range, fmt.Sprintf("property %q is set twice", p.Name.Name), "remove one of the two", "",
			diag.Related{Label: "first set here", Range: first.Name.Range})
		return false
	}
	r.report(diag.Alternatives, p.Name.Range, fmt.Sprintf("%q and %q are one setting", first.Name.Name, p.Name.Name), "keep one of the two", "",
		diag.Related{Label: "the other", Range: first.Name.Range})
	return false
}

func (r *resolver) mergeProperty(inst *instance, l level, p *ast.Property, property *schema.Property) {
	key := group(property)
	s := inst.settings[key]
	if s == nil {
		s = &setting{}
		inst.settings[key] = s
	}
	s.property, s.rng = property, p.Name.Range
	next := piece{property: property, lazy: thunk{expr: p.Value, scope: l.scope}}
	switch {
	case p.Append && !r.canAppend(l, p, property):
		next.lazy = thunk{done: &value{}}
		s.pieces = []piece{next}
	case p.Append, property.Type.Kind == schema.Map:
		s.pieces = append(s.pieces, next)
	default:
		s.pieces = []piece{next}
	}
}

// canAppend reports += where there is no list that is inherited.
func (r *resolver) canAppend(l level, p *ast.Property, property *schema.Property) bool {
	_, unset := p.Value.(*ast.Unset)
	switch {
	case property.Type.Kind != schema.List:
		r.report(diag.AppendToScalar, p.Name.Range, fmt.Sprintf("%q is not a list, so that nothing can be appended", property.Name), `write "="`, "")
	case l.def.node.From == nil:
		r.report(diag.AppendToScalar, p.Name.Range, fmt.Sprintf("%q inherits no list to append to", property.Name), `write "="`,
			"+= appends to the list of the base that FROM names, not to what the image has.")
	case unset:
		r.report(diag.BadUnset, p.Value.Span(), "UNSET cannot be appended", `write "=" before it`, "It takes the whole inherited list away.")
	default:
		return true
	}
	return false
}

// outcome is what a setting comes to.
type outcome struct {
	value
	set   bool // there is a value, and it can be used
	unset bool // UNSET takes away what the image has
}

// merged evaluates a setting: lists put together, maps merged, each piece
// checked by itself.
func (r *resolver) merged(inst *instance, name string) outcome {
	s := inst.settings[group(schema.Lookup(name))]
	if s == nil {
		return outcome{}
	}
	if s.property.Type.Kind == schema.Map {
		return r.mergedMap(inst, s)
	}
	var out outcome
	ok, own := true, false // own: out.items is not a piece's
	for _, piece := range s.pieces {
		v := r.force(piece.lazy)
		if v.kind == unset && v.variable == "" {
			out, ok, own = outcome{unset: true}, true, false
			continue
		}
		v, fine := r.check(v, piece.property.Type, subject{inst: inst, property: piece.property, name: piece.property.Name})
		ok = ok && fine
		if !out.set {
			out.value, out.set = v, true
			continue
		}
		switch {
		case out.kind != list:
			// port = 80 in the base, then ports += [81].
			out.value = value{kind: list, rng: v.rng, unit: v.unit, items: []value{out.value}}
		case !own:
			out.items = slices.Clone(out.items)
		}
		own = true
		out.items = append(out.items, v.items...)
	}
	out.set = out.set && ok
	return out
}

// mergedMap merges maps one level deep. What an entry replaces is never
// evaluated.
func (r *resolver) mergedMap(inst *instance, s *setting) outcome {
	out := outcome{value: value{kind: mapping}}
	index := map[string]int{}
	ok := true
	for _, piece := range s.pieces {
		v := r.force(piece.lazy)
		switch {
		case v.kind == unset:
			out, ok = outcome{value: value{kind: mapping}, unset: true}, true
			clear(index)
			continue
		case v.kind != mapping:
			r.check(v, piece.property.Type, subject{inst: inst, property: piece.property, name: piece.property.Name})
			ok = false
			continue
		}
		out.set = true
		out.rng, out.unit = v.rng, v.unit
		if piece.property.Name == "healthcheck" {
			dropAlternatives(&out.value, v, index)
		}
		for _, e := range v.entries {
			if at, known := index[e.key.Name]; known {
				out.entries[at] = e
				continue
			}
			index[e.key.Name] = len(out.entries)
			out.entries = append(out.entries, e)
		}
	}
	if !out.set {
		return out
	}
	var fine bool
	out.value, fine = r.check(out.value, s.property.Type, subject{inst: inst, property: s.property, name: s.property.Name})
	out.set = ok && fine
	return out
}

// dropAlternatives takes the base's way of checking health away when the child
// has one of its own.
func dropAlternatives(base *value, child value, index map[string]int) {
	ways := map[string]bool{"command": true, "http": true, "tcp": true}
	sets := false
	for _, e := range child.entries {
		_, unset := e.lazy.expr.(*ast.Unset)
		sets = sets || ways[e.key.Name] && !unset
	}
	if !sets {
		return
	}
	kept := base.entries[:0:0]
	clear(index)
	for _, e := range base.entries {
		if !ways[e.key.Name] {
			index[e.key.Name] = len(kept)
			kept = append(kept, e)
		}
	}
	base.entries = kept
}
