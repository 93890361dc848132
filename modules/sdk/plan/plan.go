// Package plan compares what a file wants with what a project has, and says
// what would change and why.
//
//	found, err := plan.Look(stateDir, st)
//	p := plan.Make(key, desired, st, found)
//	for _, c := range p.Changes {
//		fmt.Println(c.Action.Symbol(), c.Name, c.Reasons)
//	}
//
// [Make] is a pure function: it looks at nothing but its arguments, so that a
// plan can be shown, stored and compared. [Look] finds what the state cannot
// know. A [Document] is a plan for other programs to read, and a [Saved] plan
// one to be carried out later, exactly or not at all. No form of a plan holds a
// secret: references stand for them. The package is portable and needs no
// privileges; its values may be read from any number of goroutines.
package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// Desired is one component as the file wants it.
type Desired struct {
	Config    container.Config `json:"config"` // the true one
	Shown     container.Config `json:"shown"`  // the same with secrets as references
	Image     state.Image      `json:"image"`  // the digest is empty while the source is not there
	DependsOn []string         `json:"depends_on,omitempty"`

	// Injected names, for each variable that a CONNECT gave, the component that
	// it tells of.
	Injected map[string]string `json:"injected,omitempty"`
}

// Action is what happens to a component.
type Action string

// The actions.
const (
	Create  Action = "create"
	Start   Action = "start"   // it exists but does not run
	Update  Action = "update"  // changed in place, without a restart
	Replace Action = "replace" // removed and created anew
	Remove  Action = "remove"
	Keep    Action = "keep"
)

// Actions are all actions, in the order in which they are counted.
var Actions = []Action{Create, Replace, Update, Start, Remove, Keep}

// Symbol is the sign that stands for the action in front of a line.
func (a Action) Symbol() string {
	switch a {
	case Create:
		return "+"
	case Start:
		return "!"
	case Update:
		return "~"
	case Replace:
		return "±"
	case Remove:
		return "-"
	}
	return " "
}

// Change says what happens to one component, and why.
type Change struct {
	Name    string      `json:"name"`
	Action  Action      `json:"action"`
	Drift   bool        `json:"drift"`          // nothing but drift is the reason
	Image   state.Image `json:"image,omitzero"` // as the file wants it; zero for what is removed
	Reasons []Reason    `json:"reasons,omitempty"`
}

// Reason is one difference that leads to a change.
//
// Property is a path as the language has it, such as "env.LOG_LEVEL". Old and
// New are what a person would write for it: a string, a bool, an int, a float64
// or a []string; nil where the property was or will be absent. Text says more,
// or stands alone where no property differs.
type Reason struct {
	Property string    `json:"property,omitempty"`
	Old      any       `json:"old,omitempty"`
	New      any       `json:"new,omitempty"`
	Text     string    `json:"text,omitempty"`
	Drift    bool      `json:"drift,omitempty"` // not the file changed, but what it describes
	Since    time.Time `json:"since,omitzero"`  // when it came to be so, if that is known
}

// Plan is what has to be done to bring a project to what its file wants.
type Plan struct {
	Project state.Project
	Serial  uint64   // of the state it was made from
	Changes []Change // by name
}

// Empty tells whether there is nothing to do.
func (p *Plan) Empty() bool {
	return !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action != Keep })
}

// Action returns what happens to the named component; Keep for an unknown one.
func (p *Plan) Action(name string) Action {
	i, ok := slices.BinarySearchFunc(p.Changes, name, func(c Change, name string) int { return strings.Compare(c.Name, name) })
	if !ok {
		return Keep
	}
	return p.Changes[i].Action
}

// Count returns how many components the action happens to.
func (p *Plan) Count(a Action) (n int) {
	for _, c := range p.Changes {
		if c.Action == a {
			n++
		}
	}
	return n
}

// Make compares. key is the project's secret key, see [Digest]; st is only
// read; found may be nil.
func Make(key []byte, desired []Desired, st *state.State, found Found) *Plan {
	p := &Plan{Project: st.Project, Serial: st.Serial, Changes: []Change{}}
	wanted := map[string]bool{}
	for _, d := range desired {
		name := d.Config.Name
		wanted[name] = true
		change := Change{Name: name, Action: Create, Image: d.Image}
		if have := st.Components[name]; have != nil {
			change.Action, change.Reasons = compare(key, d, have, found.of(name, have))
			change.Drift = len(change.Reasons) > 0 && !slices.ContainsFunc(change.Reasons, func(r Reason) bool { return !r.Drift })
		}
		p.Changes = append(p.Changes, change)
	}
	for name := range st.Components {
		if !wanted[name] {
			p.Changes = append(p.Changes, Change{Name: name, Action: Remove, Reasons: []Reason{{Text: "no longer in the file"}}})
		}
	}
	slices.SortFunc(p.Changes, func(a, b Change) int { return strings.Compare(a.Name, b.Name) })
	return p
}

// compare finds what has to happen to a component that the project has.
func compare(key []byte, d Desired, have *state.Component, missing Missing) (Action, []Reason) {
	var vanished []Reason
	if d.Image.Digest == "" && have.Image.Digest != "" {
		// What a source holds that is not there is not known, least of all that
		// it changed.
		d.Image.Digest = have.Image.Digest
		vanished = []Reason{{Property: "image", Text: place(d.Image.Source) + " is not there any more", Drift: true}}
	}
	reasons := differences(d, have)
	if have.Digest != Digest(key, d) {
		reasons = append(reasons, secretReasons(key, d, have)...)
		slices.SortStableFunc(reasons, func(a, b Reason) int { return strings.Compare(a.Property, b.Property) })
		reasons = append(reasons, imageReasons(d, have)...)
		if len(reasons) == 0 {
			reasons = []Reason{{Text: "a secret changed, or it was deployed under another key or by another version of ctst"}}
		}
		return Replace, append(reasons, vanished...)
	}
	done := have.Spec.Job && have.Status == container.StatusCompleted
	missing.Image = missing.Image && !done // it needs none any more
	lost := missing.reasons(d)
	// A stop that was given up half-way is gone through with, and undone.
	runs := have.Active() && have.Status != container.StatusStopping
	switch {
	case !runs && !done:
		return Start, slices.Concat([]Reason{ending(have)}, lost, reasons, vanished)
	case len(lost) > 0:
		return Replace, slices.Concat(lost, reasons, vanished)
	case len(reasons) > 0:
		return Update, append(reasons, vanished...)
	}
	return Keep, vanished
}

// differences are those of the specifications, as far as they can be shown.
func differences(d Desired, have *state.Component) []Reason {
	reasons := Diff(have.Spec, d.Shown)
	for i := range reasons {
		r := &reasons[i]
		if variable, ok := strings.CutPrefix(r.Property, "env."); ok && d.Injected[variable] != "" {
			r.Text = "from " + d.Injected[variable]
		}
	}
	if !slices.Equal(have.DependsOn, d.DependsOn) {
		reasons = append(reasons, Reason{Property: "starts_after", Old: list(have.DependsOn), New: list(d.DependsOn)})
	}
	return reasons
}

func imageReasons(d Desired, have *state.Component) []Reason {
	if have.Image.Digest == d.Image.Digest {
		return nil
	}
	r := Reason{Property: "image", Old: have.Image.Digest, New: d.Image.Digest}
	if before, now := unpinned(have.Image.Source), unpinned(d.Image.Source); before != now {
		r.Text = before + " → " + now
	} else {
		r.Text, r.Drift = place(now)+" changed on disk", true
	}
	return []Reason{r}
}

// secretReasons names what holds a secret that changed, in any order. States of
// earlier versions don't tell which one it was.
func secretReasons(key []byte, d Desired, have *state.Component) []Reason {
	var reasons []Reason
	for path, mac := range Secrets(key, d) {
		if before := have.Secrets[path]; before != "" && before != mac {
			reasons = append(reasons, Reason{Property: path, Text: "a secret changed"})
		}
	}
	return reasons
}

// ending says why a component does not run.
func ending(c *state.Component) Reason {
	r := Reason{Text: string(c.Status), Since: c.Finished, Drift: !c.Stopped}
	switch c.Status {
	case container.StatusCreated:
		return Reason{Text: "created, but never started"}
	case container.StatusFailed:
		r.Text, r.Drift = "failed", false // it never was as the file wants it
		if c.Reason != "" {
			r.Text += ": " + c.Reason
		}
	default:
		if c.Reason != "" {
			r.Text = c.Reason
		}
		if c.Exit != nil && c.Exit.Signal != 0 && !c.Stopped {
			r.Text += fmt.Sprintf(" (exit code %d)", c.Exit.Code)
		}
	}
	if c.Restarting {
		r.Text += "; its restart policy is about to start it again"
	}
	return r
}

// unpinned is a source without its digest.
func unpinned(uri string) string {
	uri, _, _ = strings.Cut(uri, "@sha256:")
	return uri
}

// place is where a source is, as a person thinks of it: the path of a folder or
// an archive.
func place(uri string) string {
	uri = unpinned(uri)
	for _, scheme := range []string{"file://", "tar://"} {
		if path, ok := strings.CutPrefix(uri, scheme); ok {
			return path
		}
	}
	return uri
}
