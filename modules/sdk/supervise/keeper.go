package supervise

import (
	"context"
	"fmt"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// keeper watches one component from its start until it has ended for good:
// it checks health, notices the end, and restarts as the policy says.
type keeper struct {
	cancel context.CancelFunc // ends restarting and health checks
	done   chan struct{}      // closed when the component has ended for good
	check  chan struct{}      // holds a token when the health check was changed
}

// recheck makes the keeper go on with the health check that the state has now.
func (k *keeper) recheck() {
	select {
	case k.check <- struct{}{}:
	default: // it has not seen the last change yet
	}
}

// keepLocked starts to keep a component. Its process runs, or has ended and is
// to be restarted.
func (s *Supervisor) keepLocked(name string) {
	ctx, cancel := context.WithCancel(s.life)
	k := &keeper{cancel: cancel, done: make(chan struct{}), check: make(chan struct{}, 1)}
	s.keepers[name] = k
	go func() {
		s.keep(ctx, name, k.check)
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.life.Err() != nil {
			return // letting go is not an end of what is kept
		}
		delete(s.keepers, name)
		close(k.done)
		close(s.changed)
		s.changed = make(chan struct{})
	}()
}

// release ends restarts and checks of a component and returns what to wait for
// until its keeper is gone; nil if it has none.
func (s *Supervisor) release(name string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.keepers[name]
	if k == nil {
		return nil
	}
	k.cancel()
	return k.done
}

func (s *Supervisor) keep(ctx context.Context, name string, checkChanged <-chan struct{}) {
	for backoff := newBackoff(); ; {
		began := time.Now()
		probing, stopProbing := context.WithCancel(ctx)
		probed := make(chan struct{})
		go func() {
			defer close(probed)
			s.probe(probing, name, checkChanged)
		}()
		limits := s.watchLimits(probing, name)
		exit, err := s.backend.Wait(s.life, container.ID(name))
		stopProbing()
		<-probed
		if s.life.Err() != nil {
			return
		}
		if err != nil {
			s.log.Error("wait", "component", name, "error", err)
			exit = container.ExitStatus{Unknown: true}
		}
		limits.end(exit)
		again := s.noteEnd(ctx, name, exit)
		if !again {
			return
		}
		backoff.ran(time.Since(began))
		if !s.restart(ctx, name, backoff) {
			return
		}
	}
}

// noteEnd records how the process ended and tells whether to restart it.
func (s *Supervisor) noteEnd(ctx context.Context, name string, exit container.ExitStatus) (again bool) {
	var event Event
	s.update(name, func(c *state.Component) {
		stopping := c.Status == container.StatusStopping
		again = !stopping && ctx.Err() == nil && restarts(c, exit)
		sick := c.Reason
		if !givenUp(c) {
			sick = ""
		}
		c.PID, c.Start, c.Health, c.Paused = 0, 0, "", false
		c.Exit, c.Finished = &exit, time.Now()
		c.Status, c.Reason = endState(c.Spec.Job, exit)
		switch {
		case stopping:
			c.Status, c.Reason, c.Stopped = container.StatusExited, "stopped", true
		case sick != "":
			c.Reason = "unhealthy: " + sick
		}
		c.Restarting = again
		event = Event{Component: name, Type: EventExited, Text: c.Reason, Exit: &exit}
		if c.Status == container.StatusCompleted {
			event.Type = EventDone
		}
	})
	if event.Component != "" {
		s.emit(event)
	}
	return again
}

// restart waits for the back-off and starts the component, again and again
// until that succeeds. It is false when the component is to stay down.
func (s *Supervisor) restart(ctx context.Context, name string, backoff *backoff) bool {
	for {
		pause := backoff.next()
		s.update(name, func(c *state.Component) { c.Restarting = true })
		s.emit(Event{Component: name, Type: EventRestart, Text: fmt.Sprintf("in %v", pause)})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return false
		}
		s.update(name, func(c *state.Component) { c.Restarts++ })
		err := s.launch(ctx, name)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.fail(name, err.Error())
	}
}

// launch starts a created container and records its process.
func (s *Supervisor) launch(ctx context.Context, name string) error {
	s.update(name, func(c *state.Component) {
		c.Status, c.Health, c.Reason = container.StatusStarting, "", ""
		c.Stopped, c.Restarting = false, false
	})
	pid, err := s.backend.Start(ctx, container.ID(name))
	if err != nil {
		return err
	}
	info, err := s.backend.Inspect(ctx, container.ID(name))
	if err != nil {
		return err
	}
	s.update(name, func(c *state.Component) {
		c.Status, c.Started, c.Exit = container.StatusRunning, time.Now(), nil
		info.PID = pid // it may have ended meanwhile
		s.noteProcess(c, info)
		if c.Spec.Health != nil {
			c.Health = container.HealthStarting
		}
	})
	s.emit(Event{Component: name, Type: EventRunning})
	return nil
}

// fail records that a component could not be started.
func (s *Supervisor) fail(name, reason string) {
	s.update(name, func(c *state.Component) {
		c.Status, c.Reason, c.PID, c.Health = container.StatusFailed, reason, 0, ""
	})
	s.emit(Event{Component: name, Type: EventFailed, Text: reason})
}

// endState is the state in which a process's end leaves its component.
func endState(job bool, exit container.ExitStatus) (container.Status, string) {
	if job && !exit.Unknown && exit.Code == 0 {
		return container.StatusCompleted, ""
	}
	return container.StatusExited, exit.String()
}

// restarts tells whether the policy wants a component back after this end.
func restarts(c *state.Component, exit container.ExitStatus) bool {
	switch c.Spec.Restart.Policy {
	case container.RestartAlways, container.RestartUnlessStopped:
		return true
	case container.RestartOnFailure:
		failed := exit.Unknown || exit.Code != 0 || givenUp(c)
		return failed && (c.Spec.Restart.Max == 0 || c.Restarts < c.Spec.Restart.Max)
	}
	return false
}

// givenUp tells whether a component that runs is one that its check has found
// unhealthy, and whose file says that it has failed then.
func givenUp(c *state.Component) bool {
	return c.Spec.Restart.Unhealthy && c.Health == container.HealthUnhealthy
}

// The back-off between restarts doubles from the first to the longest, and
// starts anew once a process has run for as long as the longest.
const (
	firstBackoff   = 100 * time.Millisecond
	longestBackoff = 10 * time.Second
)

type backoff struct{ pause time.Duration }

func newBackoff() *backoff { return &backoff{pause: firstBackoff} }

func (b *backoff) ran(d time.Duration) {
	if d >= longestBackoff {
		b.pause = firstBackoff
	}
}

func (b *backoff) next() time.Duration {
	pause := b.pause
	b.pause = min(2*b.pause, longestBackoff)
	return pause
}
