package supervise_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/event"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
)

var discard = slog.New(slog.DiscardHandler)

func TestApplyStartsInOrderAndOnlyOnce(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	desired := []plan.Desired{component("web", nil, "api"), component("api", nil, "db"), component("db", nil)}
	_, err := s.apply(t, desired...)
	require.NoError(t, err)
	notes := s.machine.notes()
	require.True(t, before(notes, "start db", "start api") && before(notes, "start api", "start web"), notes)

	events, err := s.apply(t, desired...)
	require.NoError(t, err)
	require.Empty(t, s.machine.notes(), "a second apply changes nothing")
	require.ElementsMatch(t, []string{
		"api kept", "api ready", "db kept", "db ready", "web kept", "web ready",
	}, events)
}

// A stop that was given up half-way is gone through with before anything is
// started again.
func TestApplyAfterAStopThatWasGivenUp(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	_, err := s.apply(t, component("a", nil))
	require.NoError(t, err)
	s.machine.slow = true
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for s.status("a") != container.StatusStopping {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	require.ErrorIs(t, s.Stop(ctx, supervise.StopRequest{}, func(supervise.Event) {}), context.Canceled)
	require.Equal(t, container.StatusStopping, s.status("a"))
	s.machine.slow = false
	s.machine.notes()
	_, err = s.apply(t, component("a", nil))
	require.NoError(t, err)
	require.Equal(t, []string{"stop a", "update a", "start a"}, s.machine.notes())
	require.Equal(t, container.StatusRunning, s.status("a"))
}

func TestApplyReplacesOnlyWhatChanged(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	_, err := s.apply(t, component("web", nil, "db"), component("db", nil), component("old", nil))
	require.NoError(t, err)
	s.machine.notes()
	_, err = s.apply(t, component("db", nil),
		component("web", func(d *plan.Desired) { d.Config.Env = []string{"A=1"} }, "db"))
	require.NoError(t, err)
	notes := s.machine.notes()
	require.ElementsMatch(t, []string{"stop web", "stop old", "remove old", "remove web", "create web", "start web"}, notes)
	require.NotContains(t, s.State().Components, "old")

	_, err = s.apply(t, component("db", func(d *plan.Desired) { d.Config.Restart.Policy = container.RestartAlways }),
		component("web", func(d *plan.Desired) { d.Config.Env = []string{"A=1"} }, "db"))
	require.NoError(t, err)
	require.Equal(t, []string{"update db"}, s.machine.notes(), "a restart policy changes in place")
}

func TestFailureStopsOnlyWhatNeedsIt(t *testing.T) {
	s := newSupervised(t, newMachine(map[string]script{"db": {startError: errors.New("no such program")}}))
	events, err := s.apply(t, component("web", nil, "db"), component("db", nil), component("other", nil))
	require.ErrorIs(t, err, supervise.ErrComponent)
	require.Contains(t, events, "db failed")
	require.Contains(t, events, "web skipped")
	require.Contains(t, events, "other ready")
	require.Equal(t, container.StatusFailed, s.status("web"))
	require.Equal(t, container.StatusRunning, s.status("other"))
	require.NotContains(t, s.machine.notes(), "start web")
}

func TestEarlyExitIsAFailure(t *testing.T) {
	supervise.WaitLongerForFailures(t)
	s := newSupervised(t, newMachine(map[string]script{"a": {exits: []int{3}}, "done": {exits: []int{0}}}))
	_, err := s.apply(t, component("a", nil), component("done", nil))
	require.ErrorIs(t, err, supervise.ErrComponent)
	require.ErrorContains(t, err, "a: exited with code 3")
	require.NotContains(t, err.Error(), "done", "a program may simply be short")
}

func TestJobsGateWhatNeedsThem(t *testing.T) {
	job := func(d *plan.Desired) { d.Config.Job = true }
	s := newSupervised(t, newMachine(map[string]script{"migrate": {exits: []int{0}}, "broken": {exits: []int{1}}}))
	_, err := s.apply(t, component("migrate", job), component("api", nil, "migrate"))
	require.NoError(t, err)
	require.Equal(t, container.StatusCompleted, s.status("migrate"))
	s.machine.notes()
	_, err = s.apply(t, component("migrate", job), component("api", nil, "migrate"))
	require.NoError(t, err)
	require.Empty(t, s.machine.notes(), "a job that is done does not run again")

	_, err = s.apply(t, component("broken", job), component("late", nil, "broken"))
	require.ErrorIs(t, err, supervise.ErrComponent)
	require.Equal(t, container.StatusFailed, s.status("late"))
}

func TestHealthGatesAndIsNoticed(t *testing.T) {
	var healthy atomic.Bool
	m := newMachine(map[string]script{"db": {probe: func() error {
		if healthy.Load() {
			return nil
		}
		return errors.New("refused")
	}}})
	s := newSupervised(t, m)
	checked := func(d *plan.Desired) {
		d.Config.Health = &container.Health{TCP: 1, Interval: 10 * time.Millisecond, Timeout: time.Second, Retries: 3, StartPeriod: time.Minute}
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.apply(t, component("db", checked), component("api", nil, "db"))
		done <- err
	}()
	require.Eventually(t, func() bool { return slices.Contains(m.notesSoFar(), "start db") }, 5*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond)
	require.NotContains(t, m.notesSoFar(), "start api", "db is not healthy yet")
	healthy.Store(true)
	require.NoError(t, <-done)
	require.Contains(t, m.notesSoFar(), "start api")

	healthy.Store(false)
	require.Eventually(t, func() bool { return s.State().Components["db"].Health == container.HealthUnhealthy }, 5*time.Second, time.Millisecond)
	healthy.Store(true)
	require.Eventually(t, func() bool { return s.State().Components["db"].Health == container.HealthHealthy }, 5*time.Second, time.Millisecond)
}

func TestNeverHealthyFails(t *testing.T) {
	s := newSupervised(t, newMachine(map[string]script{"db": {probe: func() error { return errors.New("refused") }}}))
	_, err := s.apply(t, component("db", func(d *plan.Desired) {
		d.Config.Health = &container.Health{TCP: 1, Interval: 10 * time.Millisecond, Timeout: time.Second, Retries: 3}
	}))
	require.ErrorIs(t, err, supervise.ErrComponent)
	require.ErrorContains(t, err, "unhealthy: refused")
}

func TestRestartPolicies(t *testing.T) {
	for name, tt := range map[string]struct {
		restart container.Restart
		exits   []int
		starts  int // in all; it stays up after exits
		status  container.Status
	}{
		"never":             {container.Restart{}, []int{1}, 1, container.StatusExited},
		"on failure":        {container.Restart{Policy: container.RestartOnFailure}, []int{1, 1}, 3, container.StatusRunning},
		"on failure, clean": {container.Restart{Policy: container.RestartOnFailure}, []int{1, 0}, 2, container.StatusExited},
		"on failure, most":  {container.Restart{Policy: container.RestartOnFailure, Max: 1}, []int{1, 1, 1}, 2, container.StatusExited},
		"always":            {container.Restart{Policy: container.RestartAlways}, []int{0, 1}, 3, container.StatusRunning},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSupervised(t, newMachine(map[string]script{"a": {exits: tt.exits}}))
			_, _ = s.apply(t, component("a", func(d *plan.Desired) { d.Config.Restart = tt.restart }))
			starts := func() (n int) {
				for _, note := range s.machine.notesSoFar() {
					if note == "start a" {
						n++
					}
				}
				return n
			}
			require.Eventually(t, func() bool {
				return starts() == tt.starts && s.status("a") == tt.status && s.Idle() == (tt.status != container.StatusRunning)
			}, 10*time.Second, time.Millisecond)
			require.Equal(t, tt.starts-1, s.State().Components["a"].Restarts)
		})
	}
}

func TestStopGoesBackwardsAndTakesDependents(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	_, err := s.apply(t, component("web", nil, "api"), component("api", nil, "db"), component("db", nil), component("other", nil))
	require.NoError(t, err)
	s.machine.notes()
	require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{Names: []string{"api"}}, ignore))
	require.Equal(t, []string{"stop web", "stop api"}, s.machine.notes())
	require.False(t, s.Idle())
	require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{}, ignore))
	require.True(t, s.Idle())
	require.Equal(t, "stopped", s.State().Components["db"].Reason)
	require.ErrorContains(t, s.Stop(t.Context(), supervise.StopRequest{Names: []string{"no"}}, ignore), `no component "no"`)
}

func TestStopEndsAnApplyThatWaits(t *testing.T) {
	s := newSupervised(t, newMachine(map[string]script{"db": {probe: func() error { return errors.New("refused") }}}))
	done := make(chan error, 1)
	go func() {
		_, err := s.apply(t, component("db", func(d *plan.Desired) {
			d.Config.Health = &container.Health{TCP: 1, Interval: time.Minute, Timeout: time.Second, Retries: 3}
		}))
		done <- err
	}()
	require.Eventually(t, func() bool { return slices.Contains(s.machine.notesSoFar(), "start db") }, 5*time.Second, time.Millisecond)
	require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{}, ignore))
	require.ErrorIs(t, <-done, context.Canceled)
	require.True(t, s.Idle())
}

func TestStoppedStaysDown(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	always := func(d *plan.Desired) { d.Config.Restart.Policy = container.RestartAlways }
	_, err := s.apply(t, component("a", always))
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{}, ignore))
	require.True(t, s.Idle())
	require.Equal(t, []string{"create a", "start a", "stop a"}, s.machine.notes())
	_, err = s.apply(t, component("a", always))
	require.NoError(t, err)
	require.Equal(t, container.StatusRunning, s.status("a"), "running again brings it back")
}

func TestRemove(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	_, err := s.apply(t, component("a", nil), component("b", nil))
	require.NoError(t, err)
	require.ErrorContains(t, s.Remove(t.Context(), supervise.RemoveRequest{}, ignore), "is running")
	require.NoError(t, s.Remove(t.Context(), supervise.RemoveRequest{Names: []string{"a"}, Force: true}, ignore))
	require.NotContains(t, s.State().Components, "a")
	require.Equal(t, container.StatusRunning, s.status("b"))
}

func TestNextSupervisorTakesOver(t *testing.T) {
	m := newMachine(nil)
	first := newSupervised(t, m)
	_, err := first.apply(t, component("lives", nil), component("dies", nil), component("comes back", func(d *plan.Desired) {
		d.Config.Restart.Policy = container.RestartOnFailure
	}))
	require.NoError(t, err)
	first.let() // as a kill would
	m.end("dies", 4)
	m.end("comes back", 1)
	m.notes()

	second := open(t, m, first.store)
	require.Equal(t, container.StatusRunning, second.status("lives"))
	require.Equal(t, container.StatusExited, second.status("dies"))
	require.Equal(t, 4, second.State().Components["dies"].Exit.Code)
	require.Eventually(t, func() bool { return second.status("comes back") == container.StatusRunning }, 5*time.Second, time.Millisecond)
	m.end("lives", 7)
	exits, err := second.Wait(t.Context(), []string{"lives"}, ignore)
	require.NoError(t, err)
	require.Equal(t, 7, exits["lives"].Code)
}

func TestLostContainersAreNoticed(t *testing.T) {
	store := state.NewStore(t.TempDir())
	require.NoError(t, store.Save(&state.State{Components: map[string]*state.Component{
		"a": {Status: container.StatusRunning, PID: 99},
	}}))
	s := open(t, newMachine(nil), store) // the machine knows nothing of it: a reboot
	require.Equal(t, container.StatusExited, s.status("a"))
	require.True(t, s.State().Components["a"].Exit.Unknown)
	require.True(t, s.Idle())
}

func ignore(supervise.Event) {}

// notesSoFar returns what was asked without forgetting it.
func (m *machine) notesSoFar() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.journal)
}

func TestWhatTheStateDoesNotKnowIsAdopted(t *testing.T) {
	m := newMachine(nil)
	first := newSupervised(t, m)
	_, err := first.apply(t, component("db", nil), component("web", nil, "db"))
	require.NoError(t, err)
	require.NotZero(t, first.State().Components["db"].Start)
	require.NotEmpty(t, first.State().Components["db"].BootID)
	first.let()
	require.NoError(t, os.WriteFile(filepath.Join(first.store.Dir(), "state.json"), []byte(`{"version": 2, "compo`), 0o600))
	require.NoError(t, os.Remove(filepath.Join(first.store.Dir(), "state.json.previous")))
	m.notes()

	s := open(t, m, first.store)
	require.FileExists(t, s.State().SetAside)
	require.Equal(t, container.StatusRunning, s.status("db"))
	require.Contains(t, s.kept(t), "db adopted")
	require.Contains(t, s.kept(t), " recovered")
	_, err = s.apply(t, component("db", nil))
	require.NoError(t, err)
	notes := m.notes()
	require.True(t, before(notes, "stop db", "create db"), "what nobody knows is replaced: %v", notes)
	require.Contains(t, notes, "remove web", "and removed where the file does not have it")
	require.Empty(t, s.State().SetAside, "everything is as the file wants it again")
}

func TestTheStateBeforeADamagedOneIsTakenOver(t *testing.T) {
	m := newMachine(nil)
	first := newSupervised(t, m)
	_, err := first.apply(t, component("db", nil), component("web", nil, "db"))
	require.NoError(t, err)
	first.let()
	require.NoError(t, os.WriteFile(filepath.Join(first.store.Dir(), "state.json"), nil, 0o600))
	m.notes()

	s := open(t, m, first.store)
	_, err = s.apply(t, component("db", nil), component("web", nil, "db"))
	require.NoError(t, err)
	require.Empty(t, m.notes(), "what it was made from is known: nothing is replaced")
}

func TestAfterAReboot(t *testing.T) {
	store := state.NewStore(t.TempDir())
	require.NoError(t, store.Save(&state.State{Components: map[string]*state.Component{
		"a": {Status: container.StatusRunning, PID: 99, BootID: "another boot"},
		"b": {Status: container.StatusStarting},
	}}))
	s := open(t, newMachine(nil), store)
	require.Equal(t, "ended with the machine, which was started again since", s.State().Components["a"].Reason)
	require.Equal(t, container.StatusFailed, s.status("b"))
	require.Contains(t, s.kept(t), "a exited")
}

func TestWhoWaitsIsToldForWhom(t *testing.T) {
	s := newSupervised(t, newMachine(map[string]script{"db": {probe: func() error { return errors.New("refused") }}}))
	done := make(chan error, 1)
	go func() {
		ctx := supervise.WithCaller(t.Context(), state.Holder{PID: 4711, Command: "ctst run -d"})
		done <- s.Apply(ctx, supervise.ApplyRequest{Desired: []plan.Desired{component("db", func(d *plan.Desired) {
			d.Config.Health = &container.Health{TCP: 1, Interval: time.Minute, Timeout: time.Second, Retries: 3}
		})}}, ignore)
	}()
	require.Eventually(t, func() bool { return slices.Contains(s.machine.notesSoFar(), "start db") }, 5*time.Second, time.Millisecond)
	ctx, giveUp := context.WithCancel(t.Context())
	var told []supervise.Event
	err := s.Remove(ctx, supervise.RemoveRequest{}, func(e supervise.Event) {
		told = append(told, e)
		giveUp()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, told, 1)
	require.Equal(t, supervise.EventWaiting, told[0].Type)
	require.Contains(t, told[0].Text, "ctst run -d (process 4711, since ")
	require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{}, ignore))
	require.ErrorIs(t, <-done, context.Canceled)
}

// kept returns what is written down, as "component type".
func (s *supervised) kept(t *testing.T) []string {
	t.Helper()
	var all []string
	for e, err := range event.Read(t.Context(), s.store.Dir(), event.Filter{}) {
		require.NoError(t, err)
		all = append(all, e.Component+" "+string(e.Type))
	}
	return all
}

func TestEventsTellALife(t *testing.T) {
	m := newMachine(map[string]script{"db": {exits: []int{1}}})
	s := newSupervised(t, m)
	db := component("db", func(d *plan.Desired) { d.Config.Restart.Policy = container.RestartOnFailure })
	_, err := s.apply(t, db)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		return s.State().Components["db"].Restarts == 1 && s.status("db") == container.StatusRunning
	},
		5*time.Second, time.Millisecond)
	require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{}, ignore))
	require.NoError(t, s.Remove(t.Context(), supervise.RemoveRequest{}, ignore))
	require.Equal(t, []string{
		"db configured", "db created", "db starting", "db running", "db exited", "db restarting", "db running",
		"db stopping", "db exited", "db stopped", "db removed",
	}, s.kept(t))
}
