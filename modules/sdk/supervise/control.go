package supervise

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

// RestartRequest asks to stop components and to start them again as they are.
type RestartRequest struct {
	Names   []string      `json:"names,omitempty"`   // empty: all but jobs
	Timeout time.Duration `json:"timeout,omitempty"` // as of a StopRequest
}

// SignalRequest asks to send a signal to components.
type SignalRequest struct {
	Names  []string `json:"names"`
	Signal string   `json:"signal,omitempty"` // a name or a number; empty: SIGKILL
}

// PauseRequest asks to freeze components, or to let them go on.
type PauseRequest struct {
	Names  []string `json:"names,omitempty"` // empty: all that run, or are paused
	Resume bool     `json:"resume,omitempty"`
}

// Restart stops components, dependents first, and starts them again, each when
// what it needs is ready. What needs them and is not named goes on. The error
// matches [ErrComponent] if components failed to start.
func (s *Supervisor) Restart(ctx context.Context, req RestartRequest, emit func(Event)) error {
	done, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	defer done()
	defer s.watch(emit)()
	if err := s.check(req.Names); err != nil {
		return err
	}
	if s.Idle() { // with the last container went what others were made from
		return &NotRunningError{Name: strings.Join(req.Names, ", ")}
	}
	a := &application{Supervisor: s, slots: make(chan struct{}, parallelStarts), plan: &plan.Plan{}}
	st := s.State()
	chosen := func(name string) bool {
		return slices.Contains(req.Names, name) || len(req.Names) == 0 && !st.Components[name].Spec.Job
	}
	var names []string
	var edges []graph.Edge
	for _, name := range slices.Sorted(maps.Keys(st.Components)) {
		if !chosen(name) {
			continue
		}
		c := st.Components[name]
		names = append(names, name)
		for _, on := range c.DependsOn {
			if st.Components[on] != nil && chosen(on) {
				edges = append(edges, graph.Edge{From: name, To: on})
			}
		}
		a.plan.Changes = append(a.plan.Changes, plan.Change{Name: name, Action: plan.Start})
		a.req.Desired = append(a.req.Desired, plan.Desired{Config: c.Spec})
	}
	if a.wanted, err = graph.New(names, edges); err != nil {
		return err
	}
	if err := s.stopAll(ctx, names, req.Timeout); err != nil {
		return err
	}
	return errors.Join(a.start(ctx), s.save())
}

// Signal sends a signal to the first processes of components. SIGKILL ends all
// processes, and a restart policy does not bring them back then.
func (s *Supervisor) Signal(ctx context.Context, req SignalRequest, emit func(Event)) error {
	defer s.watch(emit)()
	if err := s.checkRunning(req.Names); err != nil {
		return err
	}
	signal := strings.TrimPrefix(strings.ToUpper(req.Signal), "SIG")
	kill := signal == "" || signal == "KILL" || signal == "9"
	var errs []error
	for _, name := range req.Names {
		var err error
		if kill {
			err = s.stopOne(ctx, name, -1)
		} else if err = s.backend.Signal(ctx, container.ID(name), req.Signal); err == nil {
			s.emit(Event{Component: name, Type: EventSignal, Text: signal})
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Pause freezes components, or lets them go on. One that is so already is left
// alone.
func (s *Supervisor) Pause(ctx context.Context, req PauseRequest, emit func(Event)) error {
	done, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	defer done()
	defer s.watch(emit)()
	names := req.Names
	if len(names) == 0 {
		for name, c := range s.State().Components {
			if c.Active() {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	}
	if err := s.checkRunning(names); err != nil {
		return err
	}
	for _, name := range names {
		if s.paused(name) != req.Resume {
			continue
		}
		change, event := s.backend.Pause, EventPaused
		if req.Resume {
			change, event = s.backend.Resume, EventResumed
		}
		if err := change(ctx, container.ID(name)); err != nil {
			return err
		}
		s.update(name, func(c *state.Component) { c.Paused = !req.Resume })
		s.emit(Event{Component: name, Type: event})
	}
	return s.save()
}

// OpenRoot opens the root file system of a running component.
func (s *Supervisor) OpenRoot(ctx context.Context, name string) (container.Root, error) {
	if err := s.checkRunning([]string{name}); err != nil {
		return container.Root{}, err
	}
	return s.backend.OpenRoot(ctx, container.ID(name))
}

func (s *Supervisor) paused(name string) bool {
	c, _ := s.component(name)
	return c.Paused
}

// check makes sure that the project has the named components.
func (s *Supervisor) check(names []string) error {
	for _, name := range names {
		if _, ok := s.component(name); !ok {
			return &UnknownError{Name: name}
		}
	}
	return nil
}

func (s *Supervisor) checkRunning(names []string) error {
	for _, name := range names {
		c, ok := s.component(name)
		switch {
		case !ok:
			return &UnknownError{Name: name}
		case !c.Active():
			return &NotRunningError{Name: name, Status: c.Status, Reason: c.Reason}
		}
	}
	return nil
}
