package supervise_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
)

// TestHealthCheckChangesInPlace: what runs gets another check, loses it and gets
// it back, and is judged by the one that it has.
func TestHealthCheckChangesInPlace(t *testing.T) {
	checked := func(h container.Health) func(*plan.Desired) {
		h.Interval, h.Timeout, h.Retries = 10*time.Millisecond, time.Second, 3
		return func(d *plan.Desired) {
			own := h
			d.Config.Health = &own
		}
	}
	good, bad := checked(container.Health{TCP: 1}), checked(container.Health{HTTP: ":1/"})
	s := newSupervised(t, newMachine(nil))
	health := func() container.HealthStatus { return s.State().Components["a"].Health }

	_, err := s.apply(t, component("a", nil))
	require.NoError(t, err)
	require.Empty(t, health())
	// The component is older than its check has time: it gets that all the same.
	began := time.Now()
	_, err = s.apply(t, component("a", bad))
	require.ErrorContains(t, err, "unhealthy: no answer to :1/")
	require.Greater(t, time.Since(began), 25*time.Millisecond, "the time of its retries")
	_, err = s.apply(t, component("a", good))
	require.NoError(t, err)
	require.Equal(t, container.HealthHealthy, health())
	_, err = s.apply(t, component("a", nil))
	require.NoError(t, err)
	require.Empty(t, health())
	_, err = s.apply(t, component("a", good))
	require.NoError(t, err)
	// Asking the same more often is no reason to doubt.
	var seen []string
	err = s.Apply(t.Context(), supervise.ApplyRequest{Desired: []plan.Desired{component("a", func(d *plan.Desired) {
		good(d)
		d.Config.Health.Interval = time.Hour
	})}}, func(e supervise.Event) { seen = append(seen, string(e.Type)) })
	require.NoError(t, err)
	require.Equal(t, []string{"configured", "updated", "ready"}, seen)
	require.Equal(t, container.HealthHealthy, health())
	starts := 0
	for _, note := range s.machine.notes() {
		if note == "start a" {
			starts++
		}
	}
	require.Equal(t, 1, starts)
}

func TestRestartPolicyChangesInPlace(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	_, err := s.apply(t, component("a", nil))
	require.NoError(t, err)
	_, err = s.apply(t, component("a", func(d *plan.Desired) { d.Config.Restart.Policy = container.RestartAlways }))
	require.NoError(t, err)
	s.machine.end("a", 1)
	require.Eventually(t, func() bool {
		return s.State().Components["a"].Restarts == 1 && s.status("a") == container.StatusRunning
	}, 5*time.Second, time.Millisecond)
}

// TestFailedUpdateIsMadeAgain: a change in place that could not be made is not
// in the state, so that the next apply makes it.
func TestFailedUpdateIsMadeAgain(t *testing.T) {
	refuse := true
	s := newSupervised(t, newMachine(map[string]script{"a": {update: func(container.Config) error {
		if refuse {
			return errors.New("port in use")
		}
		return nil
	}}}))
	_, err := s.apply(t, component("a", nil), component("b", nil))
	require.NoError(t, err)
	slow := func(d *plan.Desired) { d.Config.StopTimeout = time.Minute }
	_, err = s.apply(t, component("a", slow), component("b", slow))
	require.ErrorContains(t, err, "update a: port in use")
	require.Zero(t, s.State().Components["a"].Spec.StopTimeout)
	refuse = false
	events, err := s.apply(t, component("a", slow), component("b", slow))
	require.NoError(t, err)
	require.Subset(t, events, []string{"a updated", "b updated"})
	require.Equal(t, time.Minute, s.State().Components["a"].Spec.StopTimeout)
}

// TestExposuresAreWithdrawnFirst exchanges the ports of components, one of which
// does not run, on a machine that lets nobody share one.
func TestExposuresAreWithdrawnFirst(t *testing.T) {
	m := newMachine(nil)
	exclusive := func(cfg container.Config) error {
		for name, other := range m.all {
			for _, e := range other.cfg.Network.Expose {
				for _, mine := range cfg.Network.Expose {
					if name != cfg.Name && e.HostPort == mine.HostPort {
						return fmt.Errorf("%s has port %d", name, e.HostPort)
					}
				}
			}
		}
		return nil
	}
	names := []string{"a", "b", "c"}
	m.script = map[string]script{"a": {update: exclusive}, "b": {update: exclusive}, "c": {update: exclusive}}
	desired := func(ports ...uint16) []plan.Desired {
		var all []plan.Desired
		for i, name := range names {
			all = append(all, component(name, func(d *plan.Desired) {
				d.Config.Network.Expose = []container.Exposure{
					{HostPort: ports[i], ContainerPort: 80}, {HostPort: 1000 + uint16(i), ContainerPort: 80},
				}
			}))
		}
		return all
	}
	s := newSupervised(t, m)
	_, err := s.apply(t, desired(1, 2, 3)...)
	require.NoError(t, err)
	require.NoError(t, s.Stop(t.Context(), supervise.StopRequest{Names: []string{"c"}}, ignore))
	m.notes()
	_, err = s.apply(t, desired(2, 3, 1)...)
	require.NoError(t, err)
	require.NotContains(t, m.notes(), "stop a")
	require.Equal(t, uint16(2), m.all["a"].cfg.Network.Expose[0].HostPort)
	require.Equal(t, uint16(1), m.all["c"].cfg.Network.Expose[0].HostPort)

	// One that nobody else wants is not taken away before its successor is sure.
	m.notes()
	_, err = s.apply(t, desired(9, 3, 1)...)
	require.NoError(t, err)
	require.Equal(t, []string{"update a"}, m.notes())
}

// TestDoneJobChangesInPlace: nothing of it may be left that could be changed.
func TestDoneJobChangesInPlace(t *testing.T) {
	m := newMachine(map[string]script{"job": {exits: []int{0}}})
	s := newSupervised(t, m)
	job := func(d *plan.Desired) { d.Config.Job = true }
	_, err := s.apply(t, component("job", job))
	require.NoError(t, err)
	m.mu.Lock()
	delete(m.all, "job")
	m.mu.Unlock()
	m.notes()
	_, err = s.apply(t, component("job", func(d *plan.Desired) {
		job(d)
		d.Config.StopTimeout = time.Minute
	}))
	require.NoError(t, err)
	require.Empty(t, m.notes())
	require.Equal(t, time.Minute, s.State().Components["job"].Spec.StopTimeout)
}

func TestApplyDoesWhatIsExpectedOrNothing(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	key, err := s.store.Key()
	require.NoError(t, err)
	expect := func(desired ...plan.Desired) string {
		st := s.State()
		return plan.Fingerprint(key, plan.Components(key, plan.Make(key, desired, st, nil), desired, st))
	}
	first, other := component("a", nil), component("b", nil)
	request := supervise.ApplyRequest{Desired: []plan.Desired{first}, Expect: expect(first)}
	require.NoError(t, s.Apply(t.Context(), request, ignore))
	s.machine.notes()
	require.ErrorIs(t, s.Apply(t.Context(), request, ignore), supervise.ErrMoved, "it is there already")
	request = supervise.ApplyRequest{Desired: []plan.Desired{first, other}, Expect: expect(first)}
	require.ErrorIs(t, s.Apply(t.Context(), request, ignore), supervise.ErrMoved)
	require.Empty(t, s.machine.notes())
	require.NotContains(t, s.State().Components, "b")
	request.Expect = expect(first, other)
	require.NoError(t, s.Apply(t.Context(), request, ignore))
}

func TestLostVolumeReplacesOneLife(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	mounted := component("a", func(d *plan.Desired) {
		d.Config.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "data", Target: "/data"}}
	})
	_, err := s.apply(t, mounted)
	require.NoError(t, err)
	s.machine.notes()
	found, err := plan.Look(s.store.Dir(), s.State()) // this machine makes no folders
	require.NoError(t, err)
	request := supervise.ApplyRequest{Desired: []plan.Desired{mounted}, Found: found}
	require.NoError(t, s.Apply(t.Context(), request, ignore))
	require.Equal(t, []string{"stop a", "remove a", "create a", "start a"}, s.machine.notes())
	require.NoError(t, s.Apply(t.Context(), request, ignore))
	require.Empty(t, s.machine.notes(), "what was found is told of the life before")
}

// TestBackOffOutlivesTheSupervisor: a restart that was due is made by the next
// supervisor, and the state says meanwhile that it will be.
func TestBackOffOutlivesTheSupervisor(t *testing.T) {
	m := newMachine(map[string]script{"a": {exits: []int{1, 1, 1, 1, 1}}})
	first := newSupervised(t, m)
	_, _ = first.apply(t, component("a", func(d *plan.Desired) { d.Config.Restart.Policy = container.RestartOnFailure }))
	require.Eventually(t, func() bool { return first.State().Components["a"].Restarts >= 3 }, 5*time.Second, time.Millisecond)
	require.Eventually(t, func() bool { return first.State().Components["a"].Restarting }, 5*time.Second, time.Millisecond)
	first.let() // as a kill would, in the back-off
	second := open(t, m, first.store)
	require.Eventually(t, func() bool { return second.status("a") == container.StatusRunning }, 10*time.Second, time.Millisecond)
	require.False(t, second.State().Components["a"].Restarting)

	require.NoError(t, second.Stop(t.Context(), supervise.StopRequest{}, ignore))
	require.True(t, second.State().Components["a"].Stopped)
	third := open(t, newMachine(nil), first.store)
	require.True(t, third.Idle(), "what was stopped stays down")

	// After a reboot nobody is about to restart anything.
	st := third.State()
	st.Components["a"].Restarting = true
	store := state.NewStore(t.TempDir())
	require.NoError(t, store.Save(st))
	require.False(t, open(t, newMachine(nil), store).State().Components["a"].Restarting)
}
