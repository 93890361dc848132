// Package plan compares what a file wants with what a project has, and says
// what would change and why.
//
// [Make] is a pure function: it looks at nothing but its arguments, so that a
// plan can be shown, stored and compared. The package is portable.
package plan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"sort"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// Desired is one component as the file wants it.
type Desired struct {
	Config    container.Config `json:"config"` // the true one
	Shown     container.Config `json:"shown"`  // the same with secrets as references
	Image     state.Image      `json:"image"`
	DependsOn []string         `json:"depends_on,omitempty"` // components that must be ready first
}

// Action is what happens to a component.
type Action string

// The actions.
const (
	Create  Action = "create"
	Start   Action = "start"   // it exists unchanged but does not run
	Update  Action = "update"  // changed in place, without a restart
	Replace Action = "replace" // removed and created anew
	Remove  Action = "remove"
	Keep    Action = "keep"
)

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
	Name    string   `json:"name"`
	Action  Action   `json:"action"`
	Reasons []Reason `json:"reasons,omitempty"`
}

// Reason is one difference that leads to a change. Property is a path such as
// "env.LOG_LEVEL"; Old or New is empty where the property was or will be
// absent. Text stands alone where no property differs.
type Reason struct {
	Property string `json:"property,omitempty"`
	Old      string `json:"old,omitempty"`
	New      string `json:"new,omitempty"`
	Text     string `json:"text,omitempty"`
}

// Plan is what has to be done to bring a project to what its file wants.
type Plan struct {
	Project state.Project `json:"project"`
	Serial  uint64        `json:"serial"`  // of the state it was made from
	Changes []Change      `json:"changes"` // by name
}

// Empty tells whether there is nothing to do.
func (p *Plan) Empty() bool {
	return !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action != Keep })
}

// Action returns what happens to the named component; Keep for an unknown one.
func (p *Plan) Action(name string) Action {
	for _, c := range p.Changes {
		if c.Name == name {
			return c.Action
		}
	}
	return Keep
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

// Make compares. key is the project's secret key, see [Digest]; st is only read.
func Make(key []byte, desired []Desired, st *state.State) *Plan {
	p := &Plan{Project: st.Project, Serial: st.Serial, Changes: []Change{}}
	wanted := map[string]bool{}
	for _, d := range desired {
		wanted[d.Config.Name] = true
		p.Changes = append(p.Changes, compare(key, d, st.Components[d.Config.Name]))
	}
	for name := range st.Components {
		if !wanted[name] {
			p.Changes = append(p.Changes, Change{Name: name, Action: Remove, Reasons: []Reason{{Text: "no longer in the file"}}})
		}
	}
	sort.Slice(p.Changes, func(i, j int) bool { return p.Changes[i].Name < p.Changes[j].Name })
	return p
}

func compare(key []byte, d Desired, have *state.Component) Change {
	change := Change{Name: d.Config.Name}
	switch {
	case have == nil:
		change.Action = Create
	case have.Digest != Digest(key, d):
		change.Action = Replace
		change.Reasons = Diff(fixed(have.Spec), fixed(d.Shown))
		if have.Image.Digest != d.Image.Digest {
			change.Reasons = append(change.Reasons, Reason{Property: "image", Old: have.Image.Digest, New: d.Image.Digest})
		}
		if len(change.Reasons) == 0 {
			change.Reasons = []Reason{{Text: "a secret changed"}}
		}
	case !have.Active() && (have.Status != container.StatusCompleted || !have.Spec.Job):
		change.Action = Start
		change.Reasons = []Reason{{Text: describe(have)}}
	default:
		change.Reasons = Diff(have.Spec, d.Shown)
		change.Action = Keep
		if len(change.Reasons) > 0 {
			change.Action = Update
		}
	}
	return change
}

// describe says why a component does not run.
func describe(c *state.Component) string {
	text := string(c.Status)
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// Digest identifies a specification: the configuration and the image's digest.
// It is an HMAC under the project's own key, since the specification may hold
// secrets and the digest is stored. What can change without a restart is not
// part of it, nor are the layers, which the image's digest stands for.
func Digest(key []byte, d Desired) string {
	cfg := fixed(d.Config)
	cfg.Layers = nil
	text, err := json.Marshal(struct {
		Config container.Config
		Image  string
	}{cfg, d.Image.Digest})
	if err != nil {
		panic(err) // a Config holds nothing that JSON cannot say
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

// fixed is the part of a specification that a running container cannot change.
func fixed(cfg container.Config) container.Config {
	cfg.Network.Links = nil
	cfg.Network.Expose = nil
	cfg.Restart = container.Restart{}
	cfg.Health = nil
	cfg.StopSignal = ""
	cfg.StopTimeout = 0
	return cfg
}
