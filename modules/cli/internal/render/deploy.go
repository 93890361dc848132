package render

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/supervise"
)

// Deploy tells a person how a deployment goes: a line for each component when
// it is known what became of it. Event may be called from any goroutine.
type Deploy struct {
	talk    *Talk
	stack   *stack.Stack
	desired map[string]plan.Desired
	names   int // width of the column
	sources int

	mu      sync.Mutex
	last    map[string]supervise.Event
	kept    map[string]bool
	pending []string // started and not yet ready
}

// sourceWidth bounds the column of image sources.
const sourceWidth = 40

// NewDeploy returns a Deploy for d.
func NewDeploy(talk *Talk, d *sdk.Deployment) *Deploy {
	r := &Deploy{
		talk: talk, stack: d.Stack, desired: map[string]plan.Desired{},
		last: map[string]supervise.Event{}, kept: map[string]bool{},
	}
	for _, want := range d.Desired {
		r.desired[want.Config.Name] = want
		r.sources = min(sourceWidth, max(r.sources, utf8.RuneCountInString(Source(want.Image.Source))))
	}
	for _, change := range d.Plan.Changes {
		r.names = max(r.names, utf8.RuneCountInString(change.Name))
	}
	return r
}

// Event takes the next event.
func (r *Deploy) Event(e supervise.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Type { // they say nothing of how it is
	case supervise.EventConfigured, supervise.EventCreated, supervise.EventLimit, supervise.EventOOM,
		supervise.EventAdopted, supervise.EventRecovered:
		return
	case supervise.EventWaiting:
		waiting(r.talk, e)
		return
	}
	before := r.last[e.Component]
	r.last[e.Component] = e
	switch e.Type {
	case supervise.EventKept:
		r.kept[e.Component] = true
		r.line(r.talk.Style.Dim("·"), e.Component, r.talk.Style.Dim("unchanged"))
	case supervise.EventReady:
		if !r.kept[e.Component] {
			r.ready(e)
		}
	case supervise.EventStarting:
		r.pending = append(r.pending, e.Component)
	case supervise.EventExited:
		if before.Type != supervise.EventStopping { // being stopped is no news
			r.exited(e)
		}
	case supervise.EventRestart:
		r.line(r.talk.Style.Yellow("↻"), e.Component, "starts again "+diag.Escape(e.Text))
	case supervise.EventFailed:
		r.settled(e.Component)
		r.line(r.talk.Style.Red("✘"), e.Component, diag.Escape(strings.ReplaceAll(e.Text, "\n", " ")))
	case supervise.EventSkipped:
		r.settled(e.Component)
		r.line("·", e.Component, "not started: "+diag.Escape(e.Text))
	case supervise.EventUnhealthy:
		r.line(r.talk.Style.Red("✘"), e.Component, "unhealthy: "+diag.Escape(e.Text))
	case supervise.EventRemoved:
		r.line("-", e.Component, "removed")
	case supervise.EventUpdated:
		r.line(r.talk.Style.Green("~"), e.Component, "updated without a restart")
	}
	if len(r.pending) == 0 {
		r.talk.Status("")
	} else {
		r.talk.Status("  … waiting for " + strings.Join(r.pending, ", "))
	}
}

func (r *Deploy) settled(name string) {
	r.pending = slices.DeleteFunc(r.pending, func(n string) bool { return n == name })
}

func (r *Deploy) line(symbol, name, text string) {
	r.talk.Line("  %s %s  %s", symbol, pad(diag.Escape(name), r.names), text)
}

func (r *Deploy) ready(e supervise.Event) {
	r.settled(e.Component)
	want := r.desired[e.Component]
	word := "running"
	switch {
	case want.Config.Job:
		word = "completed"
	case want.Config.Health != nil:
		word = "healthy"
	}
	text := fmt.Sprintf("%s  %s  %s  %s",
		r.talk.Style.Green(pad(word, len("completed"))), pad(Elapsed(e.Elapsed), len("100 ms")),
		pad(Crop(Source(want.Image.Source), sourceWidth), r.sources), r.talk.Style.Dim(Digest(want.Image.Digest)))
	if len(want.DependsOn) > 0 {
		text += "  → " + strings.Join(want.DependsOn, ", ")
	}
	r.line(r.talk.Style.Green("✔"), e.Component, text)
}

// exited tells of an end; what happens next depends on the restart policy.
func (r *Deploy) exited(e supervise.Event) {
	text := diag.Escape(e.Text)
	if e.Elapsed > 0 {
		text += " after " + Elapsed(e.Elapsed)
	}
	policy := string(container.RestartNever)
	if p := r.desired[e.Component].Config.Restart.Policy; p != "" {
		policy = string(p)
	}
	text += fmt.Sprintf(" (restart = %q)", policy)
	switch {
	case e.Exit != nil && e.Exit.Code == 0 && !e.Exit.Unknown:
		r.settled(e.Component)
		r.line("·", e.Component, text)
	case policy == string(container.RestartNever):
		r.settled(e.Component)
		r.line(r.talk.Style.Red("✘"), e.Component, text)
	default:
		r.line(r.talk.Style.Yellow("·"), e.Component, text)
	}
}

// Failed returns the names of what failed so far, and how each one's process
// ended, if it did.
func (r *Deploy) Failed() (names []string, exits map[string]container.ExitStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	exits = map[string]container.ExitStatus{}
	for name, e := range r.last {
		switch e.Type {
		case supervise.EventExited:
			if e.Exit == nil || e.Exit.Code == 0 && !e.Exit.Unknown {
				continue
			}
		case supervise.EventFailed, supervise.EventUnhealthy, supervise.EventRestart:
		default:
			continue
		}
		names = append(names, name)
		if e.Exit != nil {
			exits[name] = *e.Exit
		}
	}
	slices.Sort(names)
	return names, exits
}

// Summary says where what runs now is reached.
func (r *Deploy) Summary() {
	for _, e := range r.stack.Exposures {
		address := endpoint(e.Address, e.HostPort, e.Protocol)
		// Only what a browser opens gets a scheme: the others mean something
		// else to each client.
		if c := r.stack.Component(e.Component); c != nil && (c.Protocol == "http" || c.Protocol == "https") {
			address = c.Protocol + "://" + address
		}
		r.talk.Line("Listening: %s → %s:%d", r.talk.Style.Bold(address), e.Component, e.Port)
	}
}

// waiting says for whom a command has to wait.
func waiting(talk *Talk, e supervise.Event) {
	talk.Line("Waiting for %s, which changes the project", diag.Escape(e.Text))
}

// Stopping tells a person how stopping, restarting, pausing or removing goes.
type Stopping struct {
	talk  *Talk
	width int // of the names

	mu    sync.Mutex
	names []string // being stopped
	count int
}

// NewStopping returns a Stopping of components with these names.
func NewStopping(talk *Talk, names []string) *Stopping {
	s := &Stopping{talk: talk}
	for _, name := range names {
		s.width = max(s.width, utf8.RuneCountInString(name))
	}
	return s
}

// Event takes the next event.
func (s *Stopping) Event(e supervise.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := diag.Escape(e.Component)
	switch e.Type {
	case supervise.EventWaiting:
		waiting(s.talk, e)
	case supervise.EventStopping:
		s.names = append(s.names, name)
	case supervise.EventStopped:
		s.names = slices.DeleteFunc(s.names, func(n string) bool { return n == name })
		s.count++
		s.talk.Line("  %s %s  stopped  %s", s.talk.Style.Green("✔"), pad(name, s.width), s.talk.Style.Dim(Elapsed(e.Elapsed)))
	case supervise.EventReady:
		s.count++
		s.talk.Line("  %s %s  started  %s", s.talk.Style.Green("✔"), pad(name, s.width), s.talk.Style.Dim(Elapsed(e.Elapsed)))
	case supervise.EventFailed:
		s.talk.Line("  %s %s  %s", s.talk.Style.Red("✘"), pad(name, s.width), diag.Escape(strings.ReplaceAll(e.Text, "\n", " ")))
	case supervise.EventUnhealthy:
		s.talk.Line("  %s %s  unhealthy: %s", s.talk.Style.Red("✘"), pad(name, s.width), diag.Escape(e.Text))
	case supervise.EventSkipped:
		s.talk.Line("  · %s  not started: %s", pad(name, s.width), diag.Escape(e.Text))
	case supervise.EventPaused, supervise.EventResumed:
		s.count++
		s.talk.Line("  %s %s  %s", s.talk.Style.Green("✔"), pad(name, s.width), e.Type)
	case supervise.EventSignal:
		s.count++
		s.talk.Line("  %s %s  got SIG%s", s.talk.Style.Green("✔"), pad(name, s.width), diag.Escape(e.Text))
	case supervise.EventRemoved:
		s.count++
		s.talk.Line("  %s %s  removed", s.talk.Style.Green("-"), pad(name, s.width))
	}
	if len(s.names) == 0 {
		s.talk.Status("")
	} else {
		s.talk.Status("  … waiting for " + strings.Join(s.names, ", ") + " to end")
	}
}

// Count returns how many components were stopped or removed.
func (s *Stopping) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Imports shows how far the import of images is, once that takes long enough to
// be wondered about.
type Imports struct {
	talk  *Talk
	mu    sync.Mutex
	began time.Time
}

// NewImports returns an Imports that writes to talk.
func NewImports(talk *Talk) *Imports { return &Imports{talk: talk, began: time.Now()} }

// patience is how long something may take without a word.
const patience = 300 * time.Millisecond

// Progress takes the next report.
func (i *Imports) Progress(p sdk.Progress) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if p.Done {
		i.talk.Status("")
		return
	}
	elapsed := time.Since(i.began)
	if elapsed < patience {
		return
	}
	text := fmt.Sprintf("  … %s  importing %s  %s", p.Component, diag.Escape(p.Source), Size(p.Bytes))
	if p.Total > 0 {
		text += fmt.Sprintf(" of %s (%d %%)", Size(p.Total), 100*p.Bytes/p.Total)
	}
	i.talk.Status(fmt.Sprintf("%s  %s/s", text, Size(int64(float64(p.Bytes)/elapsed.Seconds()))))
}
