package supervise

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/sdk/state"
)

// Stop stops components and everything that depends on them, dependents first.
// An apply that is under way is given up.
func (s *Supervisor) Stop(ctx context.Context, req StopRequest, emit func(Event)) error {
	s.abortApply()
	done, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	defer done()
	defer s.watch(emit)()
	names, err := s.withDependents(req.Names)
	if err != nil {
		return err
	}
	return errors.Join(s.stopAll(ctx, names, req.Timeout), s.save())
}

// Remove forgets components that do not run, and deletes what belongs to them
// but named volumes.
func (s *Supervisor) Remove(ctx context.Context, req RemoveRequest, emit func(Event)) error {
	if req.Force {
		s.abortApply()
	}
	done, err := s.begin(ctx, emit)
	if err != nil {
		return err
	}
	defer done()
	defer s.watch(emit)()
	names := req.Names
	if len(names) == 0 {
		s.mu.Lock()
		names = s.selectLocked(nil)
		s.mu.Unlock()
	}
	sort.Strings(names)
	for _, name := range names {
		c, ok := s.component(name)
		if !ok {
			return &UnknownError{Name: name}
		}
		if c.Active() && !req.Force {
			return fmt.Errorf("%s is running: stop it first, or remove it with force", name)
		}
	}
	if req.Force {
		if err := s.stopAll(ctx, names, 0); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := s.remove(ctx, name); err != nil {
			return err
		}
		s.emit(Event{Component: name, Type: EventRemoved})
	}
	return s.save()
}

// remove deletes a stopped container and its state.
func (s *Supervisor) remove(ctx context.Context, name string) error {
	if err := s.backend.Remove(ctx, container.ID(name), container.RemoveOptions{}); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.st.Components, name)
	return s.noteLocked()
}

// withDependents adds to names everything that needs them. No names are all.
func (s *Supervisor) withDependents(names []string) ([]string, error) {
	g, err := s.graph()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return g.Nodes(), nil
	}
	for _, name := range names {
		if _, ok := s.component(name); !ok {
			return nil, &UnknownError{Name: name}
		}
	}
	return append(g.AllDependents(names...), names...), nil
}

// graph is the dependency graph of what the project has now.
func (s *Supervisor) graph() (*graph.Graph, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	var edges []graph.Edge
	for name, c := range s.st.Components {
		names = append(names, name)
		for _, on := range c.DependsOn {
			if s.st.Components[on] != nil {
				edges = append(edges, graph.Edge{From: name, To: on})
			}
		}
	}
	return graph.New(names, edges)
}

// stopAll stops the named components, dependents before what they need.
func (s *Supervisor) stopAll(ctx context.Context, names []string, timeout time.Duration) error {
	g, err := s.graph()
	if err != nil {
		return err
	}
	chosen := map[string]bool{}
	for _, name := range names {
		chosen[name] = true
	}
	var failed []error
	// A component that cannot be stopped must not keep the others running, so
	// the walk sees no errors.
	results := make(chan error, len(chosen))
	err = g.Walk(ctx, graph.WalkOptions{Reverse: true}, func(ctx context.Context, name string) error {
		if chosen[name] {
			results <- s.stopOne(ctx, name, timeout)
		}
		return nil
	})
	close(results)
	for result := range results {
		failed = append(failed, result)
	}
	return errors.Join(err, errors.Join(failed...))
}

// finishStops goes through with stops that were given up half-way, as by a command
// that was killed: what was told to end cannot count as running.
func (s *Supervisor) finishStops(ctx context.Context) error {
	var names []string
	for name, c := range s.State().Components {
		if c.Active() && c.Status == container.StatusStopping {
			names = append(names, name)
		}
	}
	return s.stopAll(ctx, names, 0)
}

func (s *Supervisor) stopOne(ctx context.Context, name string, timeout time.Duration) error {
	c, ok := s.component(name)
	if !ok {
		return nil
	}
	kept := s.release(name)
	if c.Active() {
		s.update(name, func(c *state.Component) { c.Status = container.StatusStopping })
		s.emit(Event{Component: name, Type: EventStopping})
	}
	began := time.Now()
	// The kernel objects of a container that ended by itself go too.
	if err := s.backend.Stop(ctx, container.ID(name), container.StopOptions{Timeout: timeout}); err != nil {
		return fmt.Errorf("stop %s: %w", name, err)
	}
	if kept == nil {
		return nil
	}
	select {
	case <-kept:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.update(name, func(c *state.Component) {
		c.Restarting = false
		if c.Status != container.StatusCompleted {
			c.Status, c.Reason, c.Stopped = container.StatusExited, "stopped", true
		}
	})
	s.emit(Event{Component: name, Type: EventStopped, Elapsed: time.Since(began)})
	return nil
}
