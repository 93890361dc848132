package supervise

import (
	"context"
	"slices"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// firstProbe is how soon after a failed first check the next one follows; the
// pauses then double up to the interval, since others wait for this component.
const firstProbe = 20 * time.Millisecond

// probe checks a component's health until ctx ends. changed brings a token when
// the check was changed: it then goes on with the one in the state.
func (s *Supervisor) probe(ctx context.Context, name string, changed <-chan struct{}) {
	select {
	case <-changed: // before this life of the component began
	default:
	}
	c, _ := s.component(name)
	for since := c.Started; ; since = time.Now() {
		checking, stop := context.WithCancel(ctx)
		checked := make(chan struct{})
		go func() {
			defer close(checked)
			s.probeOne(checking, name, since)
		}()
		again := false
		select {
		case <-changed:
			again = true
		case <-ctx.Done():
		}
		stop()
		<-checked
		if !again {
			return
		}
	}
}

// probeOne makes one kind of check until ctx ends.
//
// A component that has just started has its start period, and then the time of
// all its retries, to become healthy; so has one that was given another check,
// from then on. Later, as many failures in a row as it has retries make it
// unhealthy, and one success makes it healthy again. Fewer failures than that
// between two successes change nothing.
func (s *Supervisor) probeOne(ctx context.Context, name string, since time.Time) {
	c, ok := s.component(name)
	if !ok || c.Spec.Health == nil {
		return
	}
	check := *c.Spec.Health
	settled := c.Health != container.HealthStarting // by an earlier supervisor, or before the check was changed
	counts := since.Add(check.StartPeriod)
	deadline := counts.Add(time.Duration(check.Retries) * check.Interval)
	failures, early, pause := 0, firstProbe, time.Duration(0)
	for {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		attempt, cancel := context.WithTimeout(ctx, check.Timeout)
		err := s.backend.Probe(attempt, container.ID(name), check)
		cancel()
		if ctx.Err() != nil {
			return
		}
		pause = check.Interval
		if err != nil && s.paused(name) { // it cannot answer
			continue
		}
		now := time.Now()
		if err == nil {
			failures, settled = 0, true
			s.setHealth(name, container.HealthHealthy, "")
			continue
		}
		if settled || !now.Before(counts) {
			failures++
		}
		if !settled && (now.Before(deadline) || failures < check.Retries) {
			pause, early = min(early, check.Interval), 2*early
			continue
		}
		if failures < check.Retries {
			continue
		}
		settled = true
		s.setHealth(name, container.HealthUnhealthy, err.Error())
		s.giveUp(ctx, name)
	}
}

// giveUp ends an unhealthy component, if it is to be restarted then.
func (s *Supervisor) giveUp(ctx context.Context, name string) {
	c, ok := s.component(name)
	if !ok || c.Status != container.StatusRunning || !givenUp(&c) || !restarts(&c, container.ExitStatus{Unknown: true}) {
		return
	}
	s.log.Info("end an unhealthy component", "component", name, "reason", c.Reason)
	// Its keeper sees the end, and restarts it.
	err := s.backend.Stop(ctx, container.ID(name), container.StopOptions{})
	if err != nil && ctx.Err() == nil {
		s.log.Error("end an unhealthy component", "component", name, "error", err)
	}
}

func (s *Supervisor) setHealth(name string, health container.HealthStatus, reason string) {
	if c, ok := s.component(name); !ok || c.Health == health {
		return
	}
	event := Event{Component: name, Type: EventHealthy}
	if health == container.HealthUnhealthy {
		event = Event{Component: name, Type: EventUnhealthy, Text: reason}
	}
	// The update may end an apply, which must have told of the reason by then.
	s.emit(event)
	s.update(name, func(c *state.Component) { c.Health, c.Reason = health, reason })
}

// sameCheck tells whether two checks ask the same, however often.
func sameCheck(a, b *container.Health) bool {
	return a != nil && b != nil && slices.Equal(a.Command, b.Command) && a.HTTP == b.HTTP && a.TCP == b.TCP
}
