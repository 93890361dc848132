package supervise

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

// parallelStarts bounds how many containers are being launched at once, not how
// many may be waited for. Launching is mostly waiting for the kernel, so more
// than one a processor.
const parallelStarts = 8

// settleTime is how long a component without a health check must have lived
// before an apply calls it a success: long enough to see a program that refuses
// its configuration, too short to be noticed. Tests on busy machines have longer.
var settleTime = 200 * time.Millisecond

// Apply brings the project to what its file wants. emit gets every event of the
// project meanwhile, in order. If components fail the error matches
// [ErrComponent], and everything that does not need them runs.
func (s *Supervisor) Apply(ctx context.Context, req ApplyRequest, emit func(Event)) error {
	done, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.mu.Lock()
	s.abort = cancel
	s.mu.Unlock()
	defer s.watch(emit)()

	if err := s.finishStops(ctx); err != nil {
		return err
	}
	st := s.State()
	a := &application{
		Supervisor: s, req: req, slots: make(chan struct{}, parallelStarts),
		plan: plan.Make(s.key, req.Desired, st, req.Found),
	}
	a.exposed = map[string][]container.Exposure{}
	for name, c := range st.Components {
		a.exposed[name] = c.Spec.Network.Expose
	}
	if req.Expect != "" && req.Expect != plan.Fingerprint(s.key, plan.Components(s.key, a.plan, req.Desired, st)) {
		return ErrMoved
	}
	if err := a.prepare(); err != nil {
		return err
	}
	a.announce()
	if err := a.takeDown(ctx); err != nil {
		return err
	}
	if err := a.create(ctx); err != nil {
		return err
	}
	return errors.Join(a.start(ctx), s.save())
}

// application is one run of Apply.
type application struct {
	*Supervisor
	req    ApplyRequest
	plan   *plan.Plan
	wanted *graph.Graph
	slots  chan struct{} // holds a token for each launch that goes on

	exposed map[string][]container.Exposure // by component, before this apply
}

// prepare orders what is wanted.
func (a *application) prepare() error {
	var names []string
	var edges []graph.Edge
	for _, d := range a.req.Desired {
		names = append(names, d.Config.Name)
		for _, on := range d.DependsOn {
			edges = append(edges, graph.Edge{From: d.Config.Name, To: on})
		}
	}
	var err error
	if a.wanted, err = graph.New(names, edges); err != nil {
		return err
	}
	_, err = a.wanted.Order()
	return err
}

// action is what happens to a component: what the plan says, and a job to run
// again is started.
func (a *application) action(name string) plan.Action {
	action := a.plan.Action(name)
	if action == plan.Keep && slices.Contains(a.req.Rerun, name) {
		return plan.Start
	}
	return action
}

// announce tells what is about to be changed.
func (a *application) announce() {
	for _, change := range a.plan.Changes {
		e := Event{Component: change.Name, Type: EventConfigured}
		switch change.Action {
		case plan.Create:
			e.Text = "added"
		case plan.Remove:
			e.Text = "removed"
		case plan.Replace, plan.Update:
			e.Text = "changed"
			var what []string
			for _, reason := range change.Reasons {
				if text := cmp.Or(reason.Property, reason.Text); text != "" && !slices.Contains(what, text) {
					what = append(what, text)
				}
			}
			if len(what) > 0 {
				e.Text += ": " + strings.Join(what, ", ")
			}
		case plan.Start, plan.Keep:
			continue
		}
		a.emit(e)
	}
}

// takeDown stops and removes what is replaced or no longer wanted, dependents
// first.
func (a *application) takeDown(ctx context.Context) error {
	var names []string
	for _, change := range a.plan.Changes {
		if change.Action == plan.Replace || change.Action == plan.Remove {
			names = append(names, change.Name)
		}
	}
	if err := a.stopAll(ctx, names, 0); err != nil {
		return err
	}
	for _, name := range names {
		if err := a.remove(ctx, name); err != nil {
			return err
		}
		if a.plan.Action(name) == plan.Remove {
			a.emit(Event{Component: name, Type: EventRemoved})
		}
	}
	return nil
}

// create makes the containers, so that all are known to the network before the
// first one starts, and changes in place what can be.
func (a *application) create(ctx context.Context) error {
	a.mu.Lock()
	a.st.Project, a.st.SetAside = a.req.Project, ""
	for _, d := range a.req.Desired {
		// What is changed in place is recorded once it is: a change that fails
		// must be made again by the next apply.
		if a.action(d.Config.Name) != plan.Update {
			a.recordLocked(d)
		}
	}
	err := a.noteLocked()
	a.mu.Unlock()
	if err != nil {
		return err
	}
	if err := a.withdraw(ctx); err != nil {
		return err
	}
	for _, d := range a.req.Desired {
		name := d.Config.Name
		switch a.action(name) {
		case plan.Update:
			if err := a.change(ctx, d); err != nil {
				return fmt.Errorf("update %s: %w", name, err)
			}
			a.emit(Event{Component: name, Type: EventUpdated})
		case plan.Create, plan.Replace, plan.Start:
			_, err := a.backend.Create(ctx, d.Config)
			if err == nil {
				a.emit(Event{Component: name, Type: EventCreated})
			}
			if errors.Is(err, fs.ErrExist) {
				// It was only stopped, and the plan found nothing else changed.
				err = a.backend.Update(ctx, d.Config)
			}
			if err != nil {
				a.fail(name, err.Error())
				return fmt.Errorf("%w: create %s: %w", ErrComponent, name, err)
			}
		}
	}
	return nil
}

// recordLocked notes in the state what is wanted of a component.
func (a *application) recordLocked(d plan.Desired) {
	c := a.st.Components[d.Config.Name]
	if c == nil {
		c = &state.Component{Status: container.StatusCreated}
		a.st.Components[d.Config.Name] = c
	}
	c.Spec, c.Image, c.DependsOn = d.Shown, d.Image, d.DependsOn
	c.Digest, c.Secrets = plan.Digest(a.key, d), plan.Secrets(a.key, d)
}

// withdraw takes back the exposures that components give up to others, in
// whatever order these change. One that nobody waits for goes with the change
// itself, which fails as a whole.
func (a *application) withdraw(ctx context.Context) error {
	type port struct {
		number   uint16
		protocol string
	}
	wanted := map[port][]string{} // by whom that did not have it
	for _, d := range a.req.Desired {
		for _, e := range d.Config.Network.Expose {
			if !slices.Contains(a.exposed[d.Config.Name], e) {
				p := port{e.HostPort, e.Protocol}
				wanted[p] = append(wanted[p], d.Config.Name)
			}
		}
	}
	for _, d := range a.req.Desired {
		name := d.Config.Name
		if action := a.action(name); action != plan.Update && action != plan.Start {
			continue
		}
		givesUp := func(e container.Exposure) bool {
			return !slices.Contains(d.Config.Network.Expose, e) &&
				slices.ContainsFunc(wanted[port{e.HostPort, e.Protocol}], func(by string) bool { return by != name })
		}
		if !slices.ContainsFunc(a.exposed[name], givesUp) {
			continue
		}
		cfg := d.Config
		cfg.Network.Expose = slices.DeleteFunc(slices.Clone(a.exposed[name]), givesUp)
		if err := a.backend.Update(ctx, cfg); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("withdraw exposures of %s: %w", name, err)
		}
	}
	return nil
}

// change changes a component in place.
func (a *application) change(ctx context.Context, d plan.Desired) error {
	// A job that is done may have left nothing that could be changed.
	if err := a.backend.Update(ctx, d.Config); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	info, err := a.backend.Inspect(ctx, container.ID(d.Config.Name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.st.Components[d.Config.Name]
	c.Unenforced = info.Unenforced
	before := c.Spec.Health
	a.recordLocked(d)
	if k := a.keepers[d.Config.Name]; k != nil && c.Active() && !reflect.DeepEqual(before, d.Config.Health) {
		if !sameCheck(before, d.Config.Health) {
			c.Health = ""
			if d.Config.Health != nil {
				c.Health = container.HealthStarting
			}
		}
		k.recheck()
	}
	return a.noteLocked()
}

// start runs what is to run, each as soon as what it needs is ready.
func (a *application) start(ctx context.Context) error {
	started := time.Now()
	err := a.wanted.Walk(ctx, graph.WalkOptions{Skipped: a.skipped}, a.startOne)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err = errors.Join(err, a.settle(ctx, started))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrComponent, err)
	}
	return nil
}

func (a *application) skipped(name string, reason *graph.SkippedError) {
	if reason.Failed == "" {
		return // the apply was given up
	}
	switch a.action(name) {
	case plan.Keep, plan.Update:
		return // it runs already
	}
	text := "needs " + reason.Failed
	a.update(name, func(c *state.Component) {
		c.Status, c.Reason = container.StatusFailed, fmt.Sprintf("dependency %s: %v", reason.Failed, reason.Err)
	})
	a.emit(Event{Component: name, Type: EventSkipped, Text: text})
}

// startOne starts one component, if it does not run, and waits until it is
// ready for those that need it.
func (a *application) startOne(ctx context.Context, name string) error {
	turn := time.Now()
	switch a.action(name) {
	case plan.Create, plan.Replace, plan.Start:
		a.emit(Event{Component: name, Type: EventStarting})
		if kept := a.release(name); kept != nil {
			<-kept // it was about to be restarted by its policy
		}
		a.slots <- struct{}{}
		err := a.launch(ctx, name)
		<-a.slots
		if err != nil {
			if ctx.Err() == nil {
				a.fail(name, err.Error())
			}
			return err
		}
		a.mu.Lock()
		a.keepLocked(name)
		a.mu.Unlock()
	case plan.Keep:
		a.emit(Event{Component: name, Type: EventKept})
	}
	if err := a.ready(ctx, name); err != nil {
		return err
	}
	a.emit(Event{Component: name, Type: EventReady, Elapsed: time.Since(turn)})
	return nil
}

// ready waits until others may use the component: healthy, or completed if it
// is a job, or running if it has no health check.
func (a *application) ready(ctx context.Context, name string) error {
	return a.until(ctx, func() (bool, error) {
		c := a.st.Components[name]
		if c == nil {
			return false, &UnknownError{Name: name}
		}
		switch {
		case c.Status == container.StatusCompleted:
			return true, nil
		case endedWell(c) && !c.Spec.Job && c.Spec.Health == nil:
			return true, nil // it was to run, and did
		case c.Health == container.HealthUnhealthy:
			return false, fmt.Errorf("unhealthy: %s", c.Reason)
		case a.keepers[name] == nil && !c.Active():
			return false, fmt.Errorf("%s", c.Reason)
		case c.Status != container.StatusRunning || c.Spec.Job:
			return false, nil
		}
		return c.Spec.Health == nil || c.Health == container.HealthHealthy, nil
	})
}

// settle watches what has no health check for a moment more.
func (a *application) settle(ctx context.Context, started time.Time) error {
	var errs []error
	for _, d := range a.req.Desired {
		name := d.Config.Name
		if d.Config.Health != nil || d.Config.Job {
			continue
		}
		c, ok := a.component(name)
		if !ok || c.Started.Before(started) {
			continue // it ran before, or never started and was reported
		}
		wait, cancel := context.WithDeadline(ctx, c.Started.Add(settleTime))
		err := a.until(wait, func() (bool, error) {
			c := a.st.Components[name]
			if c == nil || endedWell(c) {
				return true, nil
			}
			if a.keepers[name] == nil && !c.Active() {
				return true, fmt.Errorf("%s: %s", name, c.Reason)
			}
			return false, nil
		})
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func endedWell(c *state.Component) bool {
	return c.Exit != nil && !c.Exit.Unknown && c.Exit.Code == 0
}
