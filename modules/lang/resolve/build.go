package resolve

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// build makes the stack of the root file. Every component is merged before one
// is evaluated, because values may refer to other components.
func (r *resolver) build(absolute string) *stack.Stack {
	base := filepath.Base(absolute)
	st := &stack.Stack{Name: strings.TrimSuffix(base, filepath.Ext(base)), File: r.root.name}
	for _, d := range r.root.order {
		if d.template {
			continue
		}
		if len(r.order) == maxDeploy {
			r.report(diag.TooLarge, d.name.Range, fmt.Sprintf("more than %d components", maxDeploy), "", "")
			return nil
		}
		inst := &instance{def: d, name: d.name.Name}
		r.instances[inst.name] = inst
		r.order = append(r.order, inst)
	}
	for _, inst := range r.order {
		inst.disabled = !r.enabled(inst)
		inst.checkOnly = inst.disabled
	}
	for _, inst := range r.order {
		r.merge(inst)
	}
	r.checkTemplates()
	for _, inst := range r.order {
		if r.ctx.Err() != nil {
			return nil
		}
		r.assign(inst)
		if !inst.disabled {
			st.Components = append(st.Components, inst.component)
		}
	}
	for _, u := range r.all {
		r.checkLets(u)
		r.unusedLets(u)
	}
	r.sharedVolumes()
	links := r.links()
	st.Links = links.list
	r.cycles(links)
	st.Exposures = r.exposures()
	return st
}

// checkTemplates checks each template where it is written, with its parameters
// unknown.
func (r *resolver) checkTemplates() {
	for _, u := range r.all {
		for _, d := range u.order {
			if !d.template {
				continue
			}
			inst := &instance{def: d, name: d.name.Name, checkOnly: true}
			r.merge(inst)
			for _, p := range d.params {
				if p.node.Default != nil {
					b := &binding{param: p}
					r.typed(r.deep(r.eval(p.node.Default, &scope{unit: u, check: true, letIndex: -1, defaults: true})), b)
				}
			}
			r.assign(inst)
		}
	}
}

// checkLets evaluates every LET as far as it can be without the environment.
func (r *resolver) checkLets(u *unit) {
	for _, d := range u.letOrder {
		v := r.deep(r.eval(d.node.Value, &scope{unit: u, check: true, letIndex: d.index}))
		if v.kind == unset {
			r.report(diag.BadUnset, v.rng, "UNSET cannot stand in a LET", "", "It stands for the whole value of a property or of a map's entry.")
		}
	}
}

// deep evaluates the entries of maps too, for the sake of their errors. What a
// reference stands for was looked at where it is written; lists of references
// to lists would multiply.
func (r *resolver) deep(v value) value {
	if v.referred {
		return v
	}
	for _, item := range v.items {
		r.deep(item)
	}
	for _, e := range v.entries {
		r.deep(r.force(e.lazy))
	}
	return v
}

// enabled evaluates the component's own `enabled`, before all else.
func (r *resolver) enabled(inst *instance) bool {
	body := inst.def.node.Body
	if body == nil {
		return true
	}
	property := schema.Lookup("enabled")
	for _, p := range body.Properties {
		if p.Name.Name != property.Name || p.Append {
			continue
		}
		v := r.eval(p.Value, &scope{unit: inst.def.unit, self: inst, letIndex: -1})
		if v.kind == unset {
			return true
		}
		v, ok := r.check(v, property.Type, subject{inst: inst, property: property, name: property.Name})
		return !ok || v.text.Value == "true"
	}
	return true
}

func (r *resolver) needsDisabled(inst, target *instance, rng token.Range) {
	r.report(diag.NeedsDisabled, rng, fmt.Sprintf("%q needs %q, which is not enabled", inst.name, target.name),
		fmt.Sprintf("enable %s, or disable %s too", target.name, inst.name), "", diag.Related{Label: "not enabled here", Range: r.placeOf(target, "enabled")})
}

// placeOf is where a property is written, or the component's name.
func (r *resolver) placeOf(inst *instance, property string) token.Range {
	if s := inst.settings[property]; s != nil {
		return s.rng
	}
	return inst.def.name.Range
}

// sharedVolumes warns of copies that have the named volumes of a deployed
// component.
func (r *resolver) sharedVolumes() {
	for _, inst := range r.order {
		if inst.disabled {
			continue
		}
		for base := inst.def.base; base != nil; base = base.base {
			original := r.instances[base.name.Name]
			if original == nil || original.def != base || original.disabled {
				continue
			}
			r.sharedWith(inst, original)
			break
		}
	}
}

func (r *resolver) sharedWith(inst, original *instance) {
	for _, mine := range inst.component.Volumes {
		for _, theirs := range original.component.Volumes {
			if mine.Name != "" && mine.Name == theirs.Name && mine.Range == theirs.Range {
				r.warn(diag.SharedVolume, inst.def.name.Range, fmt.Sprintf("%q shares the volume %q of %q", inst.name, mine.Name, original.name),
					"set volumes if it needs its own", "", diag.Related{Label: "the volume", Range: mine.Range})
				return
			}
		}
	}
}
