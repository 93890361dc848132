package state_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

func TestSaveAndLoad(t *testing.T) {
	store := state.NewStore(t.TempDir())
	st, err := store.Load()
	require.NoError(t, err, "a project without state")
	require.Empty(t, st.Components)

	st.Project = state.Project{Name: "shop", ID: "shop-1", File: "/x/shop.ctst"}
	st.Components["db"] = &state.Component{Digest: "d", Status: container.StatusRunning, PID: 7, Start: 9}
	require.NoError(t, store.Save(st))
	got, err := store.Load()
	require.NoError(t, err)
	require.Equal(t, st, got)
	require.Equal(t, uint64(1), got.Serial)

	require.NoError(t, store.Save(got))
	require.Equal(t, uint64(2), got.Serial, "each save has its own serial")
	entries, err := os.ReadDir(store.Dir())
	require.NoError(t, err)
	require.Len(t, entries, 1, "a save leaves no temporary file")
	info, err := entries[0].Info()
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestDamagedState(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"truncated":      `{"version": 1, "components": {"a`,
		"other schema":   `{"version": 99}`,
		"null component": `{"version": 1, "components": {"a": null}}`,
		"not an object":  `[]`,
		"wrong type":     `{"version": 1, "components": 5}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "state.json")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := state.NewStore(dir).Load()
			var damaged *state.DamagedError
			require.ErrorAs(t, err, &damaged)
			require.Equal(t, path, damaged.Path)
		})
	}
}

func TestActive(t *testing.T) {
	for status, want := range map[container.Status]bool{
		container.StatusCreated: false, container.StatusStarting: true, container.StatusRunning: true,
		container.StatusStopping: true, container.StatusExited: false, container.StatusCompleted: false, container.StatusFailed: false,
	} {
		c := &state.Component{Status: status, PID: 5}
		require.Equal(t, want, c.Active(), status)
		require.False(t, (&state.Component{Status: status}).Active(), "%s without a process", status)
	}
}
