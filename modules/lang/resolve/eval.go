package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// maxText bounds one text with its references replaced.
const maxText = 1 << 20

// eval evaluates an expression. Entries of maps stay lazy.
func (r *resolver) eval(v ast.Value, sc *scope) value {
	out := value{unit: sc.unit}
	if v == nil {
		return out
	}
	out.rng = v.Span()
	if r.workBudget--; r.workBudget <= 0 {
		r.tooMuch()
		return out
	}
	switch v := v.(type) {
	case *ast.String:
		return r.evalString(v, sc)
	case *ast.Number:
		out.kind, out.text = number, plain(strings.TrimPrefix(strings.ReplaceAll(v.Text, "_", ""), "+"))
	case *ast.Bool:
		out.kind, out.text = boolean, plain(fmt.Sprint(v.Value))
	case *ast.List:
		if len(v.Items) > r.workBudget {
			r.workBudget = 0
			r.tooMuch()
			return out
		}
		out.kind, out.items = list, make([]value, 0, len(v.Items))
		for _, item := range v.Items {
			out.items = append(out.items, r.eval(item, sc))
		}
	case *ast.Map:
		out.entries = r.entriesOf(v, sc)
		if !v.Incomplete { // what is missing may be among what was lost
			out.kind = mapping
		}
	case *ast.Unset:
		out.kind = unset
	}
	return out
}

// tooMuch stops a file whose copies multiply.
func (r *resolver) tooMuch() {
	r.add(diag.Diagnostic{
		Code: diag.TooLarge, Summary: "the file describes too much: its copies and references multiply",
		Range: token.Range{File: r.root.name, Start: token.Pos{Line: 1, Column: 1}, End: token.Pos{Line: 1, Column: 1}},
	})
}

// entriesOf returns the entries of a literal map, each key once.
func (r *resolver) entriesOf(m *ast.Map, sc *scope) []entry {
	r.workBudget -= len(m.Entries)
	entries := make([]entry, 0, len(m.Entries))
	first := make(map[string]token.Range, len(m.Entries))
	for _, e := range m.Entries {
		if e.Key.Name == "" && !e.Quoted {
			continue // reported by the parser
		}
		if place, ok := first[e.Key.Name]; ok {
			r.report(diag.DuplicateProperty, e.Key.Range, fmt.Sprintf("key %q is set twice", e.Key.Name), "remove one of the two", "",
				diag.Related{Label: "first set here", Range: place})
			continue
		}
		first[e.Key.Name] = e.Key.Range
		entries = append(entries, entry{key: e.Key, lazy: thunk{expr: e.Value, scope: sc}})
	}
	return entries
}

// force evaluates an entry.
func (r *resolver) force(t thunk) value {
	if t.done != nil {
		return *t.done
	}
	return r.eval(t.expr, t.scope)
}

func (r *resolver) evalString(s *ast.String, sc *scope) value {
	if ref := s.Only(); ref != nil {
		v := r.reference(ref, sc)
		v.moved = v.rng.File != ""
		if !v.moved {
			v.rng, v.unit = s.Range, sc.unit
		}
		v.referred = true
		return v
	}
	out := value{kind: text, rng: s.Range, unit: sc.unit}
	if t, ok := s.Plain(); ok {
		out.text = plain(t)
		return out
	}
	var val, shown strings.Builder
	for _, part := range s.Parts {
		if part.Reference == nil {
			val.WriteString(part.Text)
			shown.WriteString(part.Text)
			continue
		}
		v := r.reference(part.Reference, sc)
		switch v.kind {
		case bad:
			out.kind = bad
		case unknown:
			if out.kind != bad {
				out.kind = unknown
			}
		case list, mapping, unset:
			var related []diag.Related
			if v.rng.File != "" {
				related = append(related, diag.Related{Label: "its value", Range: v.rng})
			}
			r.report(diag.WrongType, part.Range, fmt.Sprintf("%s cannot stand inside of a text", describeKind(v.kind)), "", "Only strings, numbers and bools can.", related...)
			out.kind = bad
		}
		val.WriteString(v.text.Value)
		shown.WriteString(v.text.Shown)
		out.uses = addUses(out.uses, v.uses)
		if val.Len() > maxText || shown.Len() > maxText {
			r.report(diag.TooLarge, s.Range, "the text is larger than 1 MiB with its references replaced", "", "")
			return value{rng: s.Range}
		}
	}
	if r.textBudget -= val.Len(); r.textBudget < 0 {
		r.tooMuch()
		return value{rng: s.Range}
	}
	out.text = stack.Text{Value: val.String(), Shown: shown.String()}
	return out
}

// addUses appends what is not there yet, so that references to references do
// not multiply.
func addUses(uses, more []use) []use {
	if len(uses) == 0 {
		return more[:len(more):len(more)]
	}
next:
	for _, u := range more {
		for _, known := range uses {
			if known.kind == u.kind && known.name == u.name && known.target == u.target && known.secret == u.secret {
				continue next
			}
		}
		uses = append(uses, u)
	}
	return uses
}

func describeKind(k kind) string {
	switch k {
	case text:
		return "a string"
	case number:
		return "a number"
	case boolean:
		return "a bool"
	case list:
		return "a list"
	case mapping:
		return "a map"
	default:
		return "UNSET"
	}
}

var roots = []string{"env", "param", "let", "secret", "self"}

// reference evaluates ${…}. A zero range in the result stands for the place of
// the reference; param and let keep their value's.
func (r *resolver) reference(ref *ast.Reference, sc *scope) value {
	r.depth++
	defer func() { r.depth-- }()
	if r.workBudget--; r.workBudget <= 0 || r.depth > maxDepth {
		r.tooMuch()
		return value{}
	}
	if ref.Root == "" {
		if ref.Name != "" {
			sc.unit.doubtful = true
			r.noReference(ref, sc)
		}
		return value{}
	}
	if ref.HasDefault && ref.Root != "env" {
		r.report(diag.DefaultNotAllowed, ref.Range, fmt.Sprintf("a default for ${%s.%s}", ref.Root, ref.Name), `remove ":-" and the text behind it`, "Only ${env.X:-text} has a default.")
		return value{}
	}
	if sc.unit.fetched() && refusedInFetched[ref.Root] {
		return value{} // reported by refuseReferences
	}
	switch ref.Root {
	case "env":
		return r.variable(ref, sc)
	case "param":
		return r.param(ref, sc)
	case "let":
		return r.let(ref, sc)
	case "secret":
		return r.secretValue(ref, sc)
	case "self":
		return r.selfReference(ref, sc)
	}
	return r.componentReference(ref, sc)
}

// noReference reports a ${…} that has not even the form of a reference.
func (r *resolver) noReference(ref *ast.Reference, sc *scope) {
	name, _, _ := strings.Cut(ref.Name, ":")
	suggestion := fmt.Sprintf("write $${%s} for the text itself", ref.Name)
	detail := "References are ${env.NAME}, ${param.name}, ${let.name}, ${secret.name}, ${self.name} and ${component.host}."
	switch {
	case sc.params[name] != nil:
		suggestion = fmt.Sprintf("write ${param.%s}", name)
	case sc.unit.lets[name] != nil:
		suggestion = fmt.Sprintf("write ${let.%s}", name)
	case sc.unit.components[name] != nil:
		suggestion = fmt.Sprintf("write ${%s.host}", name)
	case token.IsName(name):
		detail = fmt.Sprintf("For the caller's environment: ${env.%s}.", ref.Name)
	}
	shown := ref.Name
	if len(shown) > 40 {
		shown = shown[:40] + "…"
		suggestion = "write $${ for the text itself"
	}
	r.report(diag.UnknownReference, ref.Range, fmt.Sprintf("${%s} is not a reference", shown), suggestion, detail)
}

func (r *resolver) variable(ref *ast.Reference, sc *scope) value {
	found, ok := r.opts.LookupEnv(ref.Name)
	if !ok {
		found, ok = r.opts.EnvFile[ref.Name]
	}
	if found == "" && ref.HasDefault {
		found, ok = ref.Default, true
	}
	if !ok {
		if sc.check {
			return value{kind: unknown}
		}
		detail := fmt.Sprintf("Set it: %s=… ctst run, or give it a default: ${env.%s:-text}.", ref.Name, ref.Name)
		if r.besideEnvFile() {
			detail += fmt.Sprintf("\nThe file .env beside %s is read only with --env-file %s.", r.root.name, joinBeside(r.root.name, ".env"))
		}
		r.report(diag.VariableUnset, ref.Range, fmt.Sprintf("the environment variable %s is not set", ref.Name), "", detail)
		return value{}
	}
	return value{kind: text, text: plain(found), variable: ref.Name}
}

// besideEnvFile tells whether a .env lies beside the root file that could be
// meant.
func (r *resolver) besideEnvFile() bool {
	if r.envBeside == nil {
		_, err := r.opts.ReadFile(joinBeside(r.root.name, ".env"))
		found := err == nil && r.opts.EnvFile == nil
		r.envBeside = &found
	}
	return *r.envBeside
}

func (r *resolver) let(ref *ast.Reference, sc *scope) value {
	d := sc.unit.lets[ref.Name]
	if d == nil {
		if !sc.unit.incomplete {
			var names []string
			for _, l := range sc.unit.letOrder {
				names = append(names, l.node.Name.Name)
			}
			sc.unit.doubtful = true
			r.report(diag.UnknownLet, ref.Range, fmt.Sprintf("no LET is called %q", ref.Name), r.near(ref.Name, names), "A LET belongs to the file that it is written in.")
		}
		return value{}
	}
	if d.index == sc.letIndex {
		r.circular(ref, "${let."+ref.Name+"}")
		return value{}
	}
	if sc.letIndex >= 0 && d.index > sc.letIndex {
		r.report(diag.LetBeforeDefinition, ref.Range, fmt.Sprintf("LET %q is defined below", ref.Name), "move it above this one", "A LET may use earlier ones only.",
			diag.Related{Label: "defined here", Range: d.node.Name.Range})
		return value{}
	}
	// A template that is only checked may miss variables that a deployed
	// component needs.
	done, outcome := &d.fullDone, &d.full
	if sc.check {
		done, outcome = &d.checkDone, &d.checked
	}
	if !*done {
		*outcome = r.eval(d.node.Value, &scope{unit: sc.unit, check: sc.check, letIndex: d.index})
		*done = true
	}
	return *outcome
}

func (r *resolver) param(ref *ast.Reference, sc *scope) value {
	if sc.defaults {
		r.report(diag.BadParameter, ref.Range, "a default cannot use parameters", "", "A default is written out, or comes from env, secret, let or a component.")
		return value{}
	}
	b := sc.params[ref.Name]
	if b == nil {
		var names []string
		for name := range sc.params {
			names = append(names, name)
		}
		slices.Sort(names)
		detail := "Parameters belong to a template: COMPONENT name(" + ref.Name + ") { … }."
		if len(names) > 0 {
			detail = namesDetail("The parameters are ", names)
		}
		r.report(diag.UnknownParameter, ref.Range, fmt.Sprintf("no parameter is called %q", ref.Name), r.near(ref.Name, names), detail)
		return value{}
	}
	if b.state == running {
		r.circular(ref, "${param."+ref.Name+"}")
		return value{}
	}
	return r.bound(b)
}

// bound evaluates what a parameter stands for, once.
func (r *resolver) bound(b *binding) value {
	if b.state == fresh {
		b.state = running
		if b.expr == nil {
			b.outcome = value{kind: unknown}
		} else {
			b.outcome = r.typed(r.eval(b.expr, b.scope), b)
		}
		b.state = finished
	}
	return b.outcome
}

// checkArguments evaluates the arguments that nothing has asked for, as far as
// it can be without the environment: they may be of the wrong type all the same.
func (r *resolver) checkArguments(inst *instance) {
	for _, b := range inst.arguments {
		if b.state == fresh {
			sc := *b.scope
			sc.check = true
			b.scope = &sc
		}
		r.deep(r.bound(b))
	}
}

func (r *resolver) circular(ref *ast.Reference, what string) {
	r.report(diag.CircularReference, ref.Range, what+" needs its own value", "", "One of the values that use each other has to be written out.")
}

// typed gives the value of a parameter its type.
func (r *resolver) typed(v value, b *binding) value {
	kinds := map[string]kind{"string": text, "int": number, "number": number, "bool": boolean, "list": list, "map": mapping}
	want, ok := kinds[b.param.kind]
	if !ok || v.kind == bad || v.kind == unknown || v.kind == unset {
		return v
	}
	if v.variable != "" && want != text {
		if v.kind = kindOfText(v.text.Value); v.kind == want && (b.param.kind != "int" || isInteger(v.text.Value)) {
			v.variable = ""
			return v
		}
		r.report(diag.VariableWrongType, v.rng, fmt.Sprintf("the environment variable %s is %q, and %s needs %s", v.variable, v.text.Value, b.param.node.Name.Name, article(b.param.kind)), "",
			fmt.Sprintf("Set %s to %s such as %s.", v.variable, article(b.param.kind), samples[want]),
			diag.Related{Label: "the parameter", Range: b.param.node.Name.Range})
		return value{}
	}
	if v.referred && want == text && (v.kind == number || v.kind == boolean) {
		v.kind = text
	}
	if want == text && v.variable != "" {
		v.variable, v.landed = "", b.param.node.Name.Name
	}
	if v.kind == want && (b.param.kind != "int" || isInteger(v.text.Value)) {
		return v
	}
	code, suggestion, detail := diag.WrongType, "", ""
	if !b.isArg {
		code = diag.BadParameter
	}
	switch {
	case v.text.Secret():
		detail = "A secret is text: its parameter is of type string."
	case v.kind == text && (want == number || want == boolean) && kindOfText(v.text.Value) == want:
		suggestion = "write " + v.text.Shown
	case want == text && (v.kind == number || v.kind == boolean):
		suggestion = fmt.Sprintf("write %q", v.text.Shown)
	default:
		suggestion = fmt.Sprintf("write %s such as %s", article(b.param.kind), samples[want])
	}
	r.report(code, v.rng, fmt.Sprintf("%s needs %s, and this is %s", b.param.node.Name.Name, article(b.param.kind), describeKind(v.kind)), suggestion, detail,
		diag.Related{Label: "the parameter", Range: b.param.node.Name.Range})
	return value{}
}

// samples are values of the types that parameters have.
var samples = map[kind]string{text: `"text"`, number: "80", boolean: "true", list: `["a", "b"]`, mapping: "{ key = value }"}

func article(kind string) string {
	if kind == "int" {
		return "an int"
	}
	return "a " + kind
}

// kindOfText is what the text of an environment variable can be read as.
func kindOfText(s string) kind {
	switch {
	case s == "true" || s == "false":
		return boolean
	case isNumber(s):
		return number
	default:
		return text
	}
}

func isInteger(s string) bool { return isNumber(s) && !strings.Contains(s, ".") }

// isNumber tells whether s is a number of the language.
func isNumber(s string) bool {
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" {
		return false
	}
	whole, fraction, found := strings.Cut(digits, ".")
	if whole == "" || len(whole) > 1 && whole[0] == '0' || found && fraction == "" {
		return false
	}
	return strings.Trim(whole, "0123456789") == "" && strings.Trim(fraction, "0123456789") == ""
}
