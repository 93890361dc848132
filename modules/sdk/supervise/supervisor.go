package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/event"
	"github.com/containust/containust/modules/sdk/state"
)

// Supervisor keeps the containers of one project. Its methods may be called
// concurrently; operations that change the project come one after the other.
type Supervisor struct {
	backend container.Backend
	store   *state.Store
	key     []byte
	log     *slog.Logger
	events  *event.Log
	boot    string // of the machine, as far as that is known

	// life ends when the supervisor is to let go of everything; containers go on.
	life context.Context

	operation chan struct{} // holds a token while an operation changes the project

	mu       sync.Mutex
	st       *state.State
	changed  chan struct{} // closed, and made anew, whenever st or keepers change
	keepers  map[string]*keeper
	abort    context.CancelFunc // of the apply that runs
	noted    bool               // the state was noted, and not saved since
	saveErr  error              // of the last attempt to write it
	holder   state.Holder       // who asked for the operation that goes on
	watchers map[*watcher]struct{}
}

// watcher is told of every event.
type watcher struct{ emit func(Event) }

// NewSupervisor takes over a project: its state, and what the backend still
// runs. It lets go when life ends. A damaged state is set aside, see
// [state.Store.Recover].
func NewSupervisor(life context.Context, backend container.Backend, store *state.Store, log *slog.Logger) (*Supervisor, error) {
	key, err := store.Key()
	if err != nil {
		return nil, err
	}
	st, err := store.Load()
	var damaged *state.DamagedError
	if errors.As(err, &damaged) {
		st, err = store.Recover()
	}
	if err != nil {
		return nil, err
	}
	events, err := event.OpenLog(store.Dir())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(life, func() {
		if err := events.Close(); err != nil {
			log.Error("close events", "error", err)
		}
	})
	s := &Supervisor{
		backend: backend, store: store, key: key, log: log, events: events, boot: bootID(), life: life, st: st,
		operation: make(chan struct{}, 1),
		changed:   make(chan struct{}),
		keepers:   map[string]*keeper{},
		watchers:  map[*watcher]struct{}{},
	}
	if damaged != nil {
		log.Error("the state was damaged", "error", damaged.Err, "set aside", st.SetAside)
		s.emit(Event{Type: EventRecovered, Text: fmt.Sprintf("the state was damaged, and is set aside as %s: %v", st.SetAside, damaged.Err)})
	}
	return s, s.adopt(life)
}

// bootID names this boot of the machine; empty where it has no names.
func bootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// adopt brings the state in line with what the backend found, and goes on
// keeping what runs.
func (s *Supervisor) adopt(ctx context.Context) error {
	infos, err := s.backend.List(ctx)
	if err != nil {
		return err
	}
	var happened []Event
	err = func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		before := s.copyLocked()
		found := map[string]container.Info{}
		for _, info := range infos {
			name := string(info.ID)
			found[name] = info
			if s.st.Components[name] == nil {
				s.st.Components[name] = unknown(info)
				happened = append(happened, Event{Component: name, Type: EventAdopted, Text: "found on the machine; what it was made from is not known"})
			}
		}
		for name, c := range s.st.Components {
			info, ok := found[name]
			if ended := s.adoptLocked(name, c, info, ok); ended {
				happened = append(happened, Event{Component: name, Type: EventExited, Text: c.Reason, Exit: c.Exit})
			}
		}
		if reflect.DeepEqual(before, s.st) {
			return nil
		}
		return s.noteLocked()
	}()
	if err != nil { // what runs needs its supervisor all the same
		s.log.Error("write the state down", "error", err)
	}
	for _, e := range happened {
		s.emit(e)
	}
	return nil
}

// adoptLocked brings one component in line with what the backend found of it, if
// it found it. It tells whether it ended since the state was saved.
func (s *Supervisor) adoptLocked(name string, c *state.Component, info container.Info, found bool) (ended bool) {
	switch {
	case found && info.Status == container.StatusRunning:
		if c.Status != container.StatusStopping { // it was told to end, and may yet
			c.Status = container.StatusRunning
		}
		c.Restarting = false
		s.noteProcess(c, info)
		if c.Started.IsZero() {
			c.Started = info.Started
		}
		s.keepLocked(name)
		return false
	case found && info.Exit != nil && c.Active():
		c.PID, c.Finished = 0, info.Finished
		c.Exit = info.Exit
		c.Status, c.Reason = endState(c.Spec.Job, *info.Exit)
		// It ended while nobody watched: its policy still holds.
		if c.Restarting = restarts(c, *info.Exit); c.Restarting {
			s.keepLocked(name)
		}
		return true
	case found && info.Exit != nil && c.Restarting:
		s.keepLocked(name) // the supervisor before this one was about to
		return false
	case c.Active():
		c.PID, c.Health, c.Restarting = 0, "", false
		c.Status, c.Reason = container.StatusExited, "lost: its end was not seen (a crash)"
		if c.BootID != "" && c.BootID != s.boot {
			c.Reason = "ended with the machine, which was started again since"
		}
		c.Exit = &container.ExitStatus{Unknown: true}
		return true
	case c.Status == container.StatusStarting || c.Status == container.StatusStopping:
		c.Status, c.Reason = container.StatusFailed, "its supervisor ended while it was "+string(c.Status)
	}
	c.Restarting = false
	return false
}

// unknown is a component that is on the machine though the state does not know
// it. Without a digest it is replaced by the next deployment that has one of its
// name, and removed by one that has none.
func unknown(info container.Info) *state.Component {
	c := &state.Component{
		Spec:   container.Config{Name: string(info.ID), Network: container.Network{Expose: info.Expose}},
		Status: info.Status, Started: info.Started, Finished: info.Finished, Exit: info.Exit,
	}
	if info.Exit != nil && info.Status != container.StatusRunning {
		c.Status, c.Reason = endState(false, *info.Exit)
	}
	return c
}

// noteProcess records the process that runs.
func (s *Supervisor) noteProcess(c *state.Component, info container.Info) {
	c.PID, c.Start, c.BootID = info.PID, info.StartTime, s.boot
	c.NoCgroup, c.Unenforced, c.Address = info.NoCgroup, info.Unenforced, info.Address
}

// begin waits until no other operation runs. Who has to wait is told for whom.
// The caller calls the function it returns when its own is done.
func (s *Supervisor) begin(ctx context.Context, emit func(Event)) (func(), error) {
	mine := callerOf(ctx)
	take := func() func() {
		s.mu.Lock()
		s.holder = mine
		s.mu.Unlock()
		return func() { <-s.operation }
	}
	select {
	case s.operation <- struct{}{}:
		return take(), nil
	default:
	}
	s.mu.Lock()
	holder := s.holder
	s.mu.Unlock()
	emit(Event{Time: time.Now(), Type: EventWaiting, Text: holder.String()})
	select {
	case s.operation <- struct{}{}:
		return take(), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type callerKey struct{}

// WithCaller returns a context that says who asks for an operation, which others
// that have to wait for it are told.
func WithCaller(ctx context.Context, who state.Holder) context.Context {
	who.Since = time.Now()
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(ctx context.Context) state.Holder {
	who, _ := ctx.Value(callerKey{}).(state.Holder)
	return who
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
	if err := s.noteLocked(); err != nil {
		s.log.Error("save state", "component", name, "error", err)
	}
}

// noteLocked writes the state down and wakes who waits for a change. A write that
// fails, for want of space say, must not end the supervision of what runs: the
// error is kept for the operation that is under way, which saves the state when
// it is done.
func (s *Supervisor) noteLocked() error {
	s.noted = true
	s.saveErr = s.store.Note(s.st)
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

// emit writes an event down and tells everyone who watches.
func (s *Supervisor) emit(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	s.log.Info(string(e.Type), "component", e.Component, "text", e.Text)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.events.Append(&e); err != nil && s.life.Err() == nil {
		s.log.Error("write an event down", "error", err)
	}
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
	return s.copyLocked()
}

func (s *Supervisor) copyLocked() *state.State {
	st := *s.st
	st.Components = make(map[string]*state.Component, len(s.st.Components))
	for name, c := range s.st.Components {
		copied := *c
		st.Components[name] = &copied
	}
	return &st
}

// tell returns the state as State does, for a person's command: where a damaged
// one was set aside is told once.
func (s *Supervisor) tell() *state.State {
	st := s.State()
	if st.SetAside == "" {
		return st
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.st.SetAside = ""
	if err := s.noteLocked(); err != nil {
		s.log.Error("save state", "error", err)
	}
	return st
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

// save saves the state at the end of an operation.
func (s *Supervisor) save() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noted {
		if s.saveErr = s.store.Save(s.st); s.saveErr == nil {
			s.noted = false
		}
	}
	if s.saveErr == nil {
		return nil
	}
	return fmt.Errorf("what was done could not be written down: %w", s.saveErr)
}
