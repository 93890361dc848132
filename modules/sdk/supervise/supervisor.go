package supervise

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// Supervisor keeps the containers of one project. Its methods may be called
// concurrently; operations that change the project come one after the other.
type Supervisor struct {
	backend container.Backend
	store   *state.Store
	key     []byte
	log     *slog.Logger

	// life ends when the supervisor is to let go of everything; containers go on.
	life context.Context

	operation chan struct{} // holds a token while an operation changes the project

	mu       sync.Mutex
	st       *state.State
	changed  chan struct{} // closed, and made anew, whenever st or keepers change
	keepers  map[string]*keeper
	abort    context.CancelFunc // of the apply that runs
	saveErr  error              // of the last save
	watchers map[*watcher]struct{}
}

// watcher is told of every event.
type watcher struct{ emit func(Event) }

// NewSupervisor takes over a project: its state, and what the backend still
// runs. It lets go when life ends.
func NewSupervisor(life context.Context, backend container.Backend, store *state.Store, log *slog.Logger) (*Supervisor, error) {
	key, err := store.Key()
	if err != nil {
		return nil, err
	}
	st, err := store.Load()
	if err != nil {
		return nil, err
	}
	s := &Supervisor{
		backend: backend, store: store, key: key, log: log, life: life, st: st,
		operation: make(chan struct{}, 1),
		changed:   make(chan struct{}),
		keepers:   map[string]*keeper{},
		watchers:  map[*watcher]struct{}{},
	}
	return s, s.adopt(life)
}

// adopt brings the state in line with what the backend found, and goes on
// keeping what runs.
func (s *Supervisor) adopt(ctx context.Context) error {
	infos, err := s.backend.List(ctx)
	if err != nil {
		return err
	}
	found := map[string]container.Info{}
	for _, info := range infos {
		found[string(info.ID)] = info
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, c := range s.st.Components {
		info, ok := found[name]
		switch {
		case ok && info.Status == container.StatusRunning:
			c.Status, c.PID, c.Restarting = container.StatusRunning, info.PID, false
			c.NoCgroup, c.Unenforced, c.Address = info.NoCgroup, info.Unenforced, info.Address
			s.keepLocked(name)
		case ok && info.Exit != nil && c.Active():
			c.PID, c.Finished = 0, info.Finished
			c.Exit = info.Exit
			c.Status, c.Reason = ended(c.Spec.Job, *info.Exit)
			// It ended while nobody watched: its policy still holds.
			if c.Restarting = restarts(c, *info.Exit); c.Restarting {
				s.keepLocked(name)
			}
		case ok && info.Exit != nil && c.Restarting:
			s.keepLocked(name) // the supervisor before this one was about to
		case c.Active():
			c.PID, c.Restarting = 0, false
			c.Status, c.Reason = container.StatusExited, "lost: its end was not seen (a crash or a reboot)"
			c.Exit = &container.ExitStatus{Unknown: true}
		default:
			c.Restarting = false
		}
	}
	return s.saveLocked()
}

// begin waits until no other operation runs. The caller calls the function it
// returns when its own is done.
func (s *Supervisor) begin(ctx context.Context) (func(), error) {
	select {
	case s.operation <- struct{}{}:
		return func() { <-s.operation }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// update changes a component's state, saves, and wakes who waits for changes.
// A component that is no longer there is left alone.
func (s *Supervisor) update(name string, change func(*state.Component)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.st.Components[name]
	if c == nil {
		return
	}
	change(c)
	if err := s.saveLocked(); err != nil {
		s.log.Error("save state", "component", name, "error", err)
	}
}

// saveLocked saves the state and wakes who waits for a change. A save that
// fails, for want of space say, must not end the supervision of what runs: the
// error is kept for the operation that is under way.
func (s *Supervisor) saveLocked() error {
	s.saveErr = s.store.Save(s.st)
	close(s.changed)
	s.changed = make(chan struct{})
	return s.saveErr
}

// component returns a copy of a component's state.
func (s *Supervisor) component(name string) (state.Component, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.st.Components[name]
	if c == nil {
		return state.Component{}, false
	}
	return *c, true
}

// until waits for check, which is called whenever the project changed, with
// the lock held.
func (s *Supervisor) until(ctx context.Context, check func() (done bool, err error)) error {
	for {
		s.mu.Lock()
		done, err := check()
		changed := s.changed
		s.mu.Unlock()
		if done || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// emit tells everyone who watches.
func (s *Supervisor) emit(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.log.Info(string(e.Type), "component", e.Component, "text", e.Text)
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := range s.watchers {
		w.emit(e)
	}
}

// watch calls fn with every event until the returned function is called. fn
// must not block and not call the supervisor.
func (s *Supervisor) watch(fn func(Event)) (stop func()) {
	w := &watcher{emit: fn}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers[w] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers, w)
	}
}

// Idle tells whether nothing runs and nothing is going to be restarted.
func (s *Supervisor) Idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keepers) == 0
}

// State returns a copy of the state that may be read at leisure.
func (s *Supervisor) State() *state.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := *s.st
	st.Components = make(map[string]*state.Component, len(s.st.Components))
	for name, c := range s.st.Components {
		copied := *c
		st.Components[name] = &copied
	}
	return &st
}

// Wait returns when none of the named components (all, without names) runs or
// will be restarted, with how each ended. fn is called with what happens to
// them meanwhile.
func (s *Supervisor) Wait(ctx context.Context, names []string, fn func(Event)) (map[string]container.ExitStatus, error) {
	defer s.watch(fn)()
	err := s.until(ctx, func() (bool, error) {
		for _, name := range s.selectLocked(names) {
			if s.keepers[name] != nil {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	exits := map[string]container.ExitStatus{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range s.selectLocked(names) {
		if c := s.st.Components[name]; c != nil && c.Exit != nil {
			exits[name] = *c.Exit
		}
	}
	return exits, nil
}

// selectLocked returns names, or those of all components.
func (s *Supervisor) selectLocked(names []string) []string {
	if len(names) > 0 {
		return names
	}
	all := make([]string, 0, len(s.st.Components))
	for name := range s.st.Components {
		all = append(all, name)
	}
	return all
}

// Exec runs a process in a running component and waits for it.
func (s *Supervisor) Exec(ctx context.Context, name string, opts container.ExecOptions) (container.ExecResult, error) {
	c, ok := s.component(name)
	if !ok {
		return container.ExecResult{}, &UnknownError{Name: name}
	}
	if !c.Active() {
		return container.ExecResult{}, &NotRunningError{Name: name, Status: c.Status, Reason: c.Reason}
	}
	if c.Paused {
		return container.ExecResult{}, &PausedError{Name: name}
	}
	return s.backend.Exec(ctx, container.ID(name), opts)
}

// abortApply ends an apply that may be waiting for something that never comes.
func (s *Supervisor) abortApply() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.abort != nil {
		s.abort()
	}
}

// takeSaveError returns the error of the last save, if it failed.
func (s *Supervisor) takeSaveError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.saveErr == nil {
		return nil
	}
	return errors.Join(errors.New("the project runs, but its state could not be saved"), s.saveErr)
}
