package resolve

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
)

// subject is what a value is checked for.
type subject struct {
	inst     *instance
	property *schema.Property
	key      *schema.Property // of a map with keys of its own: files.source; else nil
	name     string           // as errors call it: memory, env.PORT
}

// secrets tells whether a secret may stand there, and where that is. In a key
// of its own, such as the path of a file to copy, it never may.
func (s subject) secrets() (allowed bool, place string) {
	if s.key != nil {
		return s.key.Secrets, s.property.Name + "." + s.key.Name
	}
	return s.property.Secrets, s.property.Name
}

// check brings a value to a type, or reports why that cannot be. False: the
// value cannot be used.
func (r *resolver) check(v value, t *schema.Type, s subject) (value, bool) {
	if v.kind == bad || !r.usesAllowed(v, s) || v.kind == unknown {
		return v, false
	}
	switch t.Kind {
	case schema.Choice:
		return r.checkChoice(v, t, s)
	case schema.List:
		return r.checkList(v, t, s)
	case schema.Map:
		return r.checkMap(v, t, s)
	case schema.Text:
		return r.checkText(v, t, s)
	case schema.Bool:
		if v.variable != "" && (v.text.Value == "true" || v.text.Value == "false") {
			v.kind, v.variable = boolean, ""
		}
		if v.kind != boolean {
			return r.wrong(v, t, s)
		}
		return v, true
	default:
		return r.checkNumber(v, t, s)
	}
}

func (r *resolver) checkChoice(v value, t *schema.Type, s subject) (value, bool) {
	kinds := map[schema.Kind]kind{schema.Text: text, schema.Bool: boolean, schema.Int: number, schema.Number: number, schema.List: list, schema.Map: mapping}
	if v.variable != "" && kindOfText(v.text.Value) != text {
		for _, option := range t.Any {
			// Where text is as good, the variable stays what it is.
			if option.Kind == schema.Text && option.Check == nil {
				break
			}
			if kinds[option.Kind] == kindOfText(v.text.Value) {
				return r.check(v, option, s)
			}
		}
	}
	for _, option := range t.Any {
		if kinds[option.Kind] == v.kind {
			if option.Kind == schema.Text && option.Check != nil && v.variable == "" && isInteger(v.text.Value) {
				continue // "80" where 80 is meant: it is offered
			}
			return r.check(v, option, s)
		}
	}
	return r.wrong(v, t, s)
}

func (r *resolver) checkList(v value, t *schema.Type, s subject) (value, bool) {
	if v.kind != list {
		return r.wrong(v, t, s)
	}
	ok := true
	items := make([]value, 0, len(v.items))
	s.name = "an entry of " + s.name
	for _, item := range v.items {
		checked, fine := r.check(item, t.Elem, s)
		ok = ok && fine
		items = append(items, checked)
	}
	v.items = items
	return v, ok
}

func (r *resolver) checkMap(v value, t *schema.Type, s subject) (value, bool) {
	if v.kind != mapping {
		return r.wrong(v, t, s)
	}
	ok := true
	entries := make([]entry, 0, len(v.entries))
	for _, e := range v.entries {
		inner := subject{inst: s.inst, property: s.property, name: s.name + "." + e.key.Name}
		elem := t.Elem
		if t.Fields != nil {
			field := t.Field(e.key.Name)
			if field == nil {
				r.unknownKey(e.key, t, s)
				ok = false
				continue
			}
			elem, inner.key = field.Type, field
		}
		keyed := true
		if t.Key != nil {
			if p := t.Key(e.key.Name); p != nil {
				r.report(p.Code, e.key.Range, p.Summary, p.Suggestion, p.Detail)
				keyed = false
			}
		}
		forced := r.force(e.lazy)
		if forced.kind != unset {
			checked, fine := r.check(forced, elem, inner)
			ok = ok && fine
			if !fine && forced.kind != unknown {
				checked.kind = bad
			}
			forced = checked
		}
		if keyed { // the others are as good as ever
			entries = append(entries, entry{key: e.key, lazy: thunk{done: &forced}})
		}
	}
	v.entries = entries
	return v, ok
}

func (r *resolver) unknownKey(key ast.Ident, t *schema.Type, s subject) {
	if key.Name == "" {
		return
	}
	var names []string
	for _, f := range t.Fields {
		names = append(names, f.Name)
	}
	suggestion := r.near(key.Name, names)
	if s.name == "healthcheck" && key.Name == "test" {
		suggestion = "write command, and its list without CMD"
	}
	r.report(diag.UnknownKey, key.Range, fmt.Sprintf("%s has no %q", s.name, key.Name), suggestion, namesDetail("It has ", names))
}

func (r *resolver) checkText(v value, t *schema.Type, s subject) (value, bool) {
	if v.referred && (v.kind == number || v.kind == boolean) {
		v.kind = text
	}
	if v.kind != text {
		return r.wrong(v, t, s)
	}
	if strings.IndexByte(v.text.Value, 0) >= 0 {
		r.report(diag.NulCharacter, v.rng, "a NUL in a text", "remove it", "")
		return v, false
	}
	if t.Check != nil {
		if p := t.Check(v.text.Value); p != nil {
			r.problem(v, p)
			return v, false
		}
	}
	if v.unit.fetched() && t.Local != nil && t.Local(v.text.Value) {
		r.refuseLocal(v, s)
		return v, false
	}
	return v, true
}

// problem reports what a check of the schema found.
func (r *resolver) problem(v value, p *schema.Problem) {
	detail := p.Detail
	if v.variable != "" {
		detail = strings.TrimPrefix(detail+fmt.Sprintf("\nIt comes from the environment variable %s.", v.variable), "\n")
	}
	r.report(p.Code, v.rng, p.Summary, p.Suggestion, detail)
}

func (r *resolver) checkNumber(v value, t *schema.Type, s subject) (value, bool) {
	s64 := v.text.Value
	if t.Kind == schema.Size && v.kind == text || t.Kind == schema.Duration && v.kind == text {
		return r.checkUnit(v, t)
	}
	readable := v.kind == number || v.kind == text && (v.variable != "" || t.Kind == schema.Decimal) && isNumber(s64)
	if !readable {
		return r.wrong(v, t, s)
	}
	v.kind = number
	switch t.Kind {
	case schema.Number:
		return v, true
	case schema.Duration:
		return r.wrong(v, t, s)
	case schema.Decimal:
		f, err := strconv.ParseFloat(s64, 64)
		if err != nil || f <= 0 || f > 1<<20 {
			r.report(diag.OutOfRange, v.rng, fmt.Sprintf("%s = %s is out of range", s.name, v.text.Shown), "it must be above 0", "")
			return v, false
		}
		v.decimal = f
		return v, true
	}
	if strings.Contains(s64, ".") {
		r.report(diag.WrongType, v.rng, fmt.Sprintf("%s is %s, and this is not whole", s.name, t), "write a whole number", "")
		return v, false
	}
	n, err := strconv.ParseInt(s64, 10, 64)
	low, high := t.Min, t.Max
	if t.Kind == schema.Size {
		high = math.MaxInt64
	}
	if err != nil || n < low || n > high {
		code, suggestion := diag.OutOfRange, fmt.Sprintf("it must be %d to %d", low, high)
		if high >= math.MaxInt32 {
			suggestion = fmt.Sprintf("it must be at least %d", low)
			switch {
			case err == nil && n == 0 && t.Kind == schema.Size:
				suggestion = "leave it out for no limit"
			case !strings.HasPrefix(s64, "-") && (err != nil || n > high):
				suggestion = fmt.Sprintf("it must be at most %d", high)
			}
		}
		if low == 1 && high == math.MaxUint16 {
			code, suggestion = diag.BadPort, "a port is 1 to 65535"
		}
		r.report(code, v.rng, fmt.Sprintf("%s = %s is out of range", s.name, v.text.Shown), suggestion, "")
		return v, false
	}
	v.integer = n
	return v, true
}

// checkUnit reads a size or a duration.
func (r *resolver) checkUnit(v value, t *schema.Type) (value, bool) {
	var p *schema.Problem
	if t.Kind == schema.Size {
		v.integer, p = schema.ParseSize(v.text.Value)
		if p == nil && v.integer < t.Min {
			p = &schema.Problem{Code: diag.BadSize, Summary: "a size of 0", Suggestion: "leave it out for no limit"}
		}
	} else {
		d, problem := schema.ParseDuration(v.text.Value)
		v.integer, p = int64(d), problem
	}
	if p != nil {
		r.problem(v, p)
		return v, false
	}
	return v, true
}

// wrong reports a value of the wrong type, with the mend where it is clear.
func (r *resolver) wrong(v value, t *schema.Type, s subject) (value, bool) {
	if v.kind == unset {
		r.report(diag.BadUnset, v.rng, "UNSET cannot stand here", "", "It stands for the whole value of a property or of a map's entry.")
		return v, false
	}
	if v.variable != "" && v.kind == text && t.Kind != schema.List && t.Kind != schema.Map {
		r.report(diag.VariableWrongType, v.rng, fmt.Sprintf("the environment variable %s is %q, and %s is %s", v.variable, v.text.Shown, s.name, t), "",
			fmt.Sprintf("Set %s to %s.", v.variable, t))
		return v, false
	}
	suggestion, detail := "", ""
	switch {
	case v.landed != "":
		detail = fmt.Sprintf("It went through the parameter %s, which is of type string: give that the type that is needed.", v.landed)
	case v.variable != "" && t.Kind == schema.List:
		suggestion = fmt.Sprintf("write [\"${env.%s}\"]", v.variable)
	case v.variable == "":
		suggestion = mendType(v, t)
	}
	if suggestion+detail == "" && t.Check != nil {
		if p := t.Check(""); p != nil {
			detail = p.Detail
		}
	}
	if suggestion+detail == "" {
		detail = fmt.Sprintf("ctst schema %s shows its form.", s.property.Name)
	}
	r.report(diag.WrongType, v.rng, fmt.Sprintf("%s is %s, and this is %s", s.name, t, describeKind(v.kind)), suggestion, detail)
	return v, false
}

// mendType offers the value in the right type.
func mendType(v value, t *schema.Type) string {
	options := t.Any
	if t.Kind != schema.Choice {
		options = []*schema.Type{t}
	}
	for _, option := range options {
		switch {
		case v.kind == text && kindOfText(v.text.Value) == number && (option.Kind == schema.Int || option.Kind == schema.Number):
			return "write " + v.text.Shown
		case v.kind == text && option.Kind == schema.Bool:
			switch strings.ToLower(v.text.Value) {
			case "true", "yes", "on":
				return "write true"
			case "false", "no", "off":
				return "write false"
			}
		case v.kind == number && option.Kind == schema.Duration:
			return fmt.Sprintf("write %q for seconds", v.text.Shown+"s")
		case v.kind == number && option.Kind == schema.Bool && (v.text.Value == "0" || v.text.Value == "1"):
			return fmt.Sprintf("write %t", v.text.Value == "1")
		case (v.kind == number || v.kind == boolean) && option.Kind == schema.Text:
			return fmt.Sprintf("write %q", v.text.Shown)
		case v.kind == number && option.Kind == schema.List && option.Elem.Kind == schema.Text:
			return fmt.Sprintf("write [%q]", v.text.Shown)
		case v.kind == text && option.Kind == schema.List && option.Elem.Kind == schema.Text:
			return fmt.Sprintf("write [%s]", quoteWords(v.text.Shown))
		case (v.kind == number || v.kind == text) && option.Kind == schema.List:
			return fmt.Sprintf("write [%s]", v.text.Shown)
		case v.kind == list && option.Kind == schema.Map:
			return "write " + pairs(v.items)
		case v.kind == list && option.Kind == schema.Text && len(v.items) == 1 && v.items[0].kind == text:
			return fmt.Sprintf("write %q", v.items[0].text.Shown)
		}
	}
	return ""
}

// pairs makes a map of a list such as ["KEY=value"].
func pairs(items []value) string {
	const most = 3
	var entries []string
	if len(items) == 0 {
		return "{}"
	}
	for _, item := range items {
		name, after, ok := strings.Cut(item.text.Shown, "=")
		if !ok || item.kind != text {
			return "{ KEY = value }"
		}
		if len(entries) == most {
			entries = append(entries, "…")
			break
		}
		entries = append(entries, fmt.Sprintf("%s = %q", name, after))
	}
	return "{ " + strings.Join(entries, ", ") + " }"
}

// quoteWords splits a command line as far as blanks do.
func quoteWords(s string) string {
	words := strings.Fields(s)
	if len(words) > 8 {
		words = append(words[:8], "…")
	}
	for i, w := range words {
		words[i] = strconv.Quote(w)
	}
	return strings.Join(words, ", ")
}

// usesAllowed reports references that the property may not hold, and notes the
// edges that the others make.
func (r *resolver) usesAllowed(v value, s subject) bool {
	ok := true
	secrets, place := s.secrets()
	for _, u := range v.uses {
		if (u.kind == usesSecret || u.secret) && !secrets {
			r.secretRefused(u, v, s, place)
			ok = false
			continue
		}
		switch u.kind {
		case usesSelf:
			if !s.property.Components && !s.property.Self {
				r.report(diag.ReferenceNotAllowed, u.rng, fmt.Sprintf("${self.%s} cannot stand in %q", u.name, s.property.Name), "only ${self.name} can",
					"", r.landing(u, v, s)...)
				ok = false
			}
		case usesComponent:
			if !s.property.Components {
				r.report(diag.ReferenceNotAllowed, u.rng, fmt.Sprintf("a component's values cannot stand in %q", s.property.Name), "",
					"They stand in env, command, entrypoint, healthcheck and files.", r.landing(u, v, s)...)
				ok = false
				continue
			}
			r.imply(s.inst, u)
		}
	}
	return ok
}

func (r *resolver) secretRefused(u use, v value, s subject, place string) {
	what := "a secret"
	switch u.kind {
	case usesComponent:
		what = fmt.Sprintf("${%s.connection_string} holds a secret, which", u.name)
	case usesSelf:
		what = "${self.connection_string} holds a secret, which"
	}
	detail := "Secrets stand in env, files and connection_string only: what else a component has, anyone may read."
	if s.key != nil && s.property.Secrets {
		detail = `In files a secret stands in the text of a file: "/etc/key" = "${secret.key}".`
	}
	r.report(diag.SecretNotAllowed, u.rng, fmt.Sprintf("%s cannot stand in %q", what, place), "", detail, r.landing(u, v, s)...)
}

// landing is the place that a reference came to by way of a LET or an argument.
func (r *resolver) landing(u use, v value, s subject) []diag.Related {
	switch {
	case v.moved:
		return []diag.Related{{Label: "used here", Range: r.placeOf(s.inst, group(s.property))}}
	case u.rng.File == v.rng.File && v.rng.Start.Offset <= u.rng.Start.Offset && u.rng.End.Offset <= v.rng.End.Offset:
		return nil
	}
	return []diag.Related{{Label: "used here", Range: v.rng}}
}

func (r *resolver) imply(inst *instance, u use) {
	if u.target == nil || u.target == inst || inst.checkOnly || inst.reached[u.target] {
		return
	}
	if u.target.disabled {
		r.needsDisabled(inst, u.target, u.rng)
		return
	}
	if inst.reached == nil {
		inst.reached = map[*instance]bool{}
	}
	inst.reached[u.target] = true
	inst.implied = append(inst.implied, implied{target: u.target, rng: u.rng, text: "${" + u.name + ".…}"})
}
