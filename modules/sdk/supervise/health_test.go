package supervise_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/supervise"
)

// checked gives a component a check that is made often.
func checked(restart container.Restart, retries int) func(*plan.Desired) {
	return func(d *plan.Desired) {
		d.Config.Health = &container.Health{TCP: 1, Interval: 10 * time.Millisecond, Timeout: time.Second, Retries: retries}
		d.Config.Restart = restart
	}
}

// TestFlapping: fewer failures in a row than a component has retries change
// nothing, however many there are in all.
func TestFlapping(t *testing.T) {
	var probes atomic.Int64
	m := newMachine(map[string]script{"db": {probe: func() error {
		if probes.Add(1)%3 == 1 { // one success, two failures
			return nil
		}
		return errors.New("refused")
	}}})
	s := newSupervised(t, m)
	_, err := s.apply(t, component("db", checked(container.Restart{}, 3)))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return probes.Load() > 30 }, 10*time.Second, time.Millisecond)
	require.NotContains(t, s.kept(t), "db unhealthy")
	require.Equal(t, container.HealthHealthy, s.State().Components["db"].Health)
}

// TestSlowChecksHaveTheirRetries: the time of all retries may be over after one
// check that hangs, and still it takes as many failures as there are retries.
func TestSlowChecksHaveTheirRetries(t *testing.T) {
	var probes atomic.Int64
	m := newMachine(map[string]script{"db": {probe: func() error {
		if probes.Add(1) < 3 {
			time.Sleep(60 * time.Millisecond)
			return errors.New("no answer")
		}
		return nil
	}}})
	s := newSupervised(t, m)
	_, err := s.apply(t, component("db", checked(container.Restart{}, 3)))
	require.NoError(t, err)
}

func TestStartPeriodForgivesFailures(t *testing.T) {
	m := newMachine(map[string]script{"db": {probe: func() error { return errors.New("refused") }}})
	s := newSupervised(t, m)
	began := time.Now()
	_, err := s.apply(t, component("db", func(d *plan.Desired) {
		checked(container.Restart{}, 1)(d)
		d.Config.Health.StartPeriod = 300 * time.Millisecond
	}))
	require.ErrorContains(t, err, "unhealthy: refused")
	require.Greater(t, time.Since(began), 300*time.Millisecond)
}

func TestDependantsOfTheUnhealthyFailWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		script script
		reason string
	}{
		"unhealthy": {script{probe: func() error { return errors.New("refused") }}, "dependency db: unhealthy: refused"},
		"ended":     {script{exits: []int{1}}, "dependency db: exited with code 1"},
		"no start":  {script{startError: errors.New("no such program")}, "dependency db: no such program"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSupervised(t, newMachine(map[string]script{"db": c.script}))
			_, err := s.apply(t, component("web", nil, "api"), component("api", nil, "db"), component("db", checked(container.Restart{}, 2)))
			require.ErrorIs(t, err, supervise.ErrComponent)
			api := s.State().Components["api"]
			require.Equal(t, container.StatusFailed, api.Status)
			require.Equal(t, c.reason, api.Reason)
			require.Contains(t, s.State().Components["web"].Reason, "dependency ")
			require.NotContains(t, s.machine.notesSoFar(), "start api")
		})
	}
}

func TestUnhealthyIsRestarted(t *testing.T) {
	for name, c := range map[string]struct {
		restart container.Restart
		starts  int // in all
	}{
		"not asked for":    {container.Restart{Policy: container.RestartAlways}, 1},
		"never":            {container.Restart{Unhealthy: true}, 1},
		"on failure":       {container.Restart{Policy: container.RestartOnFailure, Unhealthy: true}, 2},
		"on failure, once": {container.Restart{Policy: container.RestartOnFailure, Max: 1, Unhealthy: true}, 2},
		"always":           {container.Restart{Policy: container.RestartAlways, Unhealthy: true}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var sick atomic.Bool
			var m *machine
			starts := func() (n int) {
				for _, note := range m.notesSoFar() {
					if note == "start db" {
						n++
					}
				}
				return n
			}
			m = newMachine(map[string]script{"db": {probe: func() error {
				if sick.Load() && (starts() == 1 || c.restart.Max > 0) {
					return errors.New("refused")
				}
				return nil
			}, stopCode: new(int)}}) // it ends with 0 when it is asked to: a failure all the same
			s := newSupervised(t, m)
			_, err := s.apply(t, component("db", checked(c.restart, 2)))
			require.NoError(t, err)
			sick.Store(true)
			want := container.HealthHealthy
			if c.starts == 1 || c.restart.Max > 0 {
				want = container.HealthUnhealthy // it stays up as it is
			}
			require.Eventually(t, func() bool {
				db := s.State().Components["db"]
				return starts() == c.starts && db.Restarts == c.starts-1 && db.Health == want
			}, 10*time.Second, time.Millisecond)
			time.Sleep(50 * time.Millisecond)
			require.Equal(t, c.starts, starts(), "and no more")
			if c.starts == 2 {
				require.Contains(t, s.kept(t), "db restarting")
			}
			require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{}, ignore))
			require.True(t, s.Idle())
		})
	}
}

// TestStopWinsOverRestartingTheUnhealthy: what is unhealthy, and about to be restarted, stays
// down when it is stopped.
func TestStopWinsOverRestartingTheUnhealthy(t *testing.T) {
	var sick atomic.Bool
	m := newMachine(map[string]script{"db": {probe: func() error {
		if sick.Load() {
			return errors.New("refused")
		}
		return nil
	}}})
	s := newSupervised(t, m)
	_, err := s.apply(t, component("db", checked(container.Restart{Policy: container.RestartAlways, Unhealthy: true}, 1)))
	require.NoError(t, err)
	sick.Store(true)
	require.Eventually(t, func() bool { return s.State().Components["db"].Restarting }, 5*time.Second, time.Millisecond)
	require.Equal(t, "unhealthy: refused", s.State().Components["db"].Reason)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	require.NoError(t, s.Stop(ctx, supervise.StopRequest{}, ignore))
	require.True(t, s.Idle())
	require.Equal(t, "stopped", s.State().Components["db"].Reason)
}
