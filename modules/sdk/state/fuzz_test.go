package state_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk/state"
)

// FuzzLoad: whatever lies there, it is a state that can be saved and read again,
// or an error that says which; and after a recovery the project goes on.
func FuzzLoad(f *testing.F) {
	text, err := os.ReadFile("testdata/version1.json")
	require.NoError(f, err)
	f.Add(text)
	for _, seed := range []string{
		"", "{", "[]", `{"version": 2}`, `{"version": 99}`, `{"version": 1, "boot_id": 5, "components": {"a": {"pid": 1}}}`,
		`{"version": 1, "components": {"a": null}}`, `{"version": 2, "components": {"a": {"exit": {}}}}`,
	} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		store := state.NewStore(dir)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "state.json"), text, 0o600))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "state.json.previous")))
		st, err := store.Load()
		var damaged *state.DamagedError
		var version *state.VersionError
		switch {
		case errors.As(err, &version):
			return
		case errors.As(err, &damaged):
			st, err = store.Recover()
			require.NoError(t, err)
			kept, err := os.ReadFile(st.SetAside)
			require.NoError(t, err)
			require.Equal(t, text, kept)
			require.NoError(t, os.Remove(st.SetAside))
		}
		require.NoError(t, err)
		require.NoError(t, store.Save(st))
		again, err := store.Load()
		require.NoError(t, err)
		require.Equal(t, len(st.Components), len(again.Components))
	})
}
