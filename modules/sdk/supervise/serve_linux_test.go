package supervise_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
)

// serve runs a supervisor over a machine and returns a client for it, and a
// channel with what Serve returned.
func serve(t *testing.T, m *machine, dir string) (*supervise.Client, <-chan error) {
	t.Helper()
	ready, wait := io.Pipe()
	result := make(chan error, 1)
	go func() {
		result <- supervise.Serve(context.Background(), supervise.ServeOptions{
			StateDir: dir, Ready: wait,
			Open: func(context.Context) (supervise.ProjectBackend, error) { return m, nil },
		})
	}()
	_, err := ready.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	return supervise.NewClient(dir, nil), result
}

// deep returns a folder whose path is too long for a socket's address.
func deep(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	require.NoError(t, os.MkdirAll(dir, 0o700))
	return dir
}

func TestServeOverTheSocket(t *testing.T) {
	m := newMachine(nil)
	dir := deep(t)
	client, result := serve(t, m, dir)
	require.True(t, client.Running())
	var events []string
	require.NoError(t, client.Apply(t.Context(), supervise.ApplyRequest{Desired: []plan.Desired{component("a", nil)}}, func(e supervise.Event) {
		events = append(events, string(e.Type))
	}))
	require.Equal(t, []string{"configured", "created", "starting", "running", "ready"}, events)

	st, err := client.State(t.Context())
	require.NoError(t, err)
	require.Equal(t, container.StatusRunning, st.Components["a"].Status)

	out, w, err := os.Pipe()
	require.NoError(t, err)
	exit, err := client.Exec(t.Context(), supervise.ExecRequest{Name: "a", Args: []string{"do"}, Env: []string{"A=1"}}, supervise.ExecIO{Stdio: [3]*os.File{w, w, w}})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	text, err := io.ReadAll(out)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	require.Equal(t, "[do] [A=1]", string(text))
	require.Equal(t, 5, exit.Code)

	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	require.NoError(t, err)
	stdio := supervise.ExecIO{Stdio: [3]*os.File{null, null, null}}
	_, err = client.Exec(t.Context(), supervise.ExecRequest{Name: "a", Args: []string{"missing"}}, stdio)
	require.ErrorIs(t, err, container.ErrCommandNotFound, "errors keep their identity")
	_, err = client.Exec(t.Context(), supervise.ExecRequest{Name: "nobody", Args: []string{"x"}}, stdio)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, null.Close())

	require.NoError(t, client.Stop(t.Context(), supervise.StopRequest{}, nil))
	select {
	case err := <-result:
		require.NoError(t, err, "with the last container the supervisor ends")
	case <-time.After(10 * time.Second):
		t.Fatal("the supervisor goes on with nothing to supervise")
	}
	require.False(t, client.Running())
	_, err = client.State(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestOnlyOneSupervisor(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(nil)
	client, result := serve(t, m, dir)
	err := supervise.Serve(t.Context(), supervise.ServeOptions{StateDir: dir, Open: func(context.Context) (supervise.ProjectBackend, error) {
		return nil, errors.New("must not be opened")
	}})
	require.ErrorIs(t, err, state.ErrLocked)
	_, err = client.State(t.Context())
	require.NoError(t, err)
	require.NoError(t, <-result)
}

func TestHangingUpGivesUp(t *testing.T) {
	m := newMachine(map[string]script{"db": {probe: func() error { return errors.New("refused") }}})
	client, result := serve(t, m, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- client.Apply(ctx, supervise.ApplyRequest{Desired: []plan.Desired{component("db", func(d *plan.Desired) {
			d.Config.Health = &container.Health{TCP: 1, Interval: time.Minute, Timeout: time.Second, Retries: 3}
		}), component("api", nil, "db")}}, nil)
	}()
	require.Eventually(t, func() bool {
		st, err := client.State(t.Context())
		return err == nil && st.Components["db"] != nil && st.Components["db"].Status == container.StatusRunning
	}, 10*time.Second, time.Millisecond)
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	require.NoError(t, client.Stop(t.Context(), supervise.StopRequest{}, nil))
	require.NoError(t, <-result)
	require.NotContains(t, m.notes(), "start api")
}

// Who brought a supervisor up in vain sees it end, also when somebody else has just
// asked it something.
func TestReleaseSeesTheEnd(t *testing.T) {
	for range 20 {
		dir := deep(t)
		_, result := serve(t, newMachine(nil), dir)
		client := supervise.NewClient(dir, []string{"/does/not/exist"})
		client.Prepare(t.Context())
		other := supervise.NewClient(dir, nil)
		go func() { _, _ = other.State(context.Background()) }() // it may come too late
		require.NoError(t, client.Release(t.Context()))
		require.NoError(t, <-result)
		require.False(t, client.Running())
	}
}
