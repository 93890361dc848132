package supervise_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/supervise"
)

func TestRestart(t *testing.T) {
	job := func(d *plan.Desired) { d.Config.Job = true }
	s := newSupervised(t, newMachine(map[string]script{"migrate": {exits: []int{0, 0}}}))
	_, err := s.apply(t, component("web", nil, "db"), component("db", nil), component("migrate", job))
	require.NoError(t, err)
	s.machine.notes()

	require.NoError(t, s.Restart(t.Context(), supervise.RestartRequest{}, ignore))
	notes := s.machine.notes()
	require.Len(t, notes, 4, "jobs are done: %v", notes)
	require.True(t, before(notes, "stop web", "stop db") && before(notes, "stop db", "start db") && before(notes, "start db", "start web"), notes)
	require.Equal(t, container.StatusRunning, s.status("web"))

	require.NoError(t, s.Restart(t.Context(), supervise.RestartRequest{Names: []string{"db"}}, ignore))
	require.Equal(t, []string{"stop db", "start db"}, s.machine.notes(), "what needs it goes on")

	require.NoError(t, s.Restart(t.Context(), supervise.RestartRequest{Names: []string{"migrate"}}, ignore))
	require.Equal(t, []string{"stop migrate", "start migrate"}, s.machine.notes(), "a job that is named runs again")

	var unknown *supervise.UnknownError
	require.ErrorAs(t, s.Restart(t.Context(), supervise.RestartRequest{Names: []string{"dbb"}}, ignore), &unknown)
	require.Empty(t, s.machine.notes())
}

func TestRestartTellsWhatFails(t *testing.T) {
	m := newMachine(nil)
	s := newSupervised(t, m)
	_, err := s.apply(t, component("web", nil, "db"), component("db", nil))
	require.NoError(t, err)
	m.mu.Lock()
	m.script = map[string]script{"db": {startError: errors.New("no such program")}}
	m.mu.Unlock()
	err = s.Restart(t.Context(), supervise.RestartRequest{}, ignore)
	require.ErrorIs(t, err, supervise.ErrComponent)
	require.Equal(t, container.StatusFailed, s.status("db"))
	require.Equal(t, container.StatusFailed, s.status("web"), "what needs it does not start without it")
}

func TestSignal(t *testing.T) {
	always := func(d *plan.Desired) { d.Config.Restart.Policy = container.RestartAlways }
	s := newSupervised(t, newMachine(nil))
	_, err := s.apply(t, component("web", always), component("db", nil))
	require.NoError(t, err)
	s.machine.notes()
	require.NoError(t, s.Signal(t.Context(), supervise.SignalRequest{Names: []string{"web"}, Signal: "HUP"}, ignore))
	require.Equal(t, []string{"signal web HUP"}, s.machine.notes())
	require.Equal(t, container.StatusRunning, s.status("web"))

	require.NoError(t, s.Signal(t.Context(), supervise.SignalRequest{Names: []string{"web"}, Signal: "sigkill"}, ignore))
	require.Equal(t, []string{"stop web"}, s.machine.notes(), "its policy does not bring it back")
	require.Equal(t, container.StatusExited, s.status("web"))
	require.Equal(t, container.StatusRunning, s.status("db"))

	err = s.Signal(t.Context(), supervise.SignalRequest{Names: []string{"db", "web"}, Signal: "HUP"}, ignore)
	require.ErrorIs(t, err, supervise.ErrNotRunning)
	require.Empty(t, s.machine.notes(), "all or none")
}

func TestPause(t *testing.T) {
	s := newSupervised(t, newMachine(nil))
	_, err := s.apply(t, component("web", nil), component("db", nil))
	require.NoError(t, err)
	s.machine.notes()
	require.NoError(t, s.Pause(t.Context(), supervise.PauseRequest{Names: []string{"web"}}, ignore))
	require.NoError(t, s.Pause(t.Context(), supervise.PauseRequest{Names: []string{"web"}}, ignore))
	require.Equal(t, []string{"pause web"}, s.machine.notes(), "once is enough")
	require.True(t, s.State().Components["web"].Paused)
	var paused *supervise.PausedError
	_, err = s.Exec(t.Context(), "web", container.ExecOptions{Args: []string{"/x"}})
	require.ErrorAs(t, err, &paused)

	require.NoError(t, s.Pause(t.Context(), supervise.PauseRequest{Resume: true}, ignore))
	require.Equal(t, []string{"resume web"}, s.machine.notes(), "the other one was not paused")
	require.False(t, s.State().Components["web"].Paused)

	require.NoError(t, s.Pause(t.Context(), supervise.PauseRequest{Names: []string{"web"}}, ignore))
	require.NoError(t, s.Restart(t.Context(), supervise.RestartRequest{Names: []string{"web"}}, ignore))
	require.False(t, s.State().Components["web"].Paused, "a new life is not paused")
}
