package state_test

import (
	"flag"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

var update = flag.Bool("update", false, "rewrite the golden files")

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
	require.Len(t, entries, 2, "a save leaves the state, the one before it, and no temporary file")
	for _, entry := range entries {
		info, err := entry.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
}

// golden compares with a file, or writes it with -update.
func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, got, 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))
}

func TestEarlierVersionsAreBroughtUpToDate(t *testing.T) {
	text, err := os.ReadFile("testdata/version1.json")
	require.NoError(t, err)
	store := state.NewStore(t.TempDir())
	path := filepath.Join(store.Dir(), "state.json")
	require.NoError(t, os.WriteFile(path, text, 0o600))

	st, err := store.Load()
	require.NoError(t, err)
	require.Equal(t, uint64(math.MaxUint64), st.Components["db"].Start, "numbers keep all their digits")
	require.Equal(t, "6c7f1d0e-2a57-4e3f-9a55-2f6f1a2b3c4d", st.Components["db"].BootID)
	require.Empty(t, st.Components["migrate"].BootID, "it does not run")
	kept, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, text, kept, "to read changes nothing")

	require.NoError(t, store.Save(st))
	saved, err := os.ReadFile(path)
	require.NoError(t, err)
	golden(t, "testdata/version1-saved.json", saved)
	again, err := store.Load()
	require.NoError(t, err)
	require.Equal(t, st, again)
}

func TestLaterVersionsAreLeftAlone(t *testing.T) {
	for writer, need := range map[string]string{"v7.1.0": "use ctst v7.1.0 or newer", "": "use a newer ctst"} {
		store := state.NewStore(t.TempDir())
		path := filepath.Join(store.Dir(), "state.json")
		text := fmt.Sprintf(`{"version": %d, "writer": %q, "components": ["what it will be"]}`, state.Version+1, writer)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := store.Load()
		var version *state.VersionError
		require.ErrorAs(t, err, &version)
		require.Equal(t, state.Version+1, version.Version)
		require.ErrorContains(t, err, need)
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(kept))
	}
}

func TestRecover(t *testing.T) {
	store := state.NewStore(t.TempDir())
	path := filepath.Join(store.Dir(), "state.json")
	damage := func(text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := store.Load()
		var damaged *state.DamagedError
		require.ErrorAs(t, err, &damaged)
	}
	damage("{")
	st, err := store.Recover()
	require.NoError(t, err)
	require.Empty(t, st.Components, "there was nothing before")
	first := st.SetAside
	kept, err := os.ReadFile(first)
	require.NoError(t, err)
	require.Equal(t, "{", string(kept), "it is set aside as it was")

	st.Components["db"] = &state.Component{Digest: "d"}
	require.NoError(t, store.Save(st))
	st.Components["web"] = &state.Component{Digest: "w"}
	require.NoError(t, store.Save(st))
	damage("")
	st, err = store.Recover()
	require.NoError(t, err)
	require.NotEqual(t, first, st.SetAside, "none takes the place of another")
	require.FileExists(t, first)
	require.Equal(t, "d", st.Components["db"].Digest, "what was saved before the damaged one is used")
	require.NoFileExists(t, path, "nothing is written before it is known what is true")
}

func TestKeyIsMadeOnce(t *testing.T) {
	store := state.NewStore(t.TempDir())
	var keys sync.Map
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			key, err := store.Key()
			if err != nil {
				key = []byte(err.Error())
			}
			keys.Store(string(key), true)
		})
	}
	all.Wait()
	n := 0
	keys.Range(func(any, any) bool { n++; return true })
	require.Equal(t, 1, n, "processes that come at once must have the same key")
	key, err := store.Key()
	require.NoError(t, err)
	_, ok := keys.Load(string(key))
	require.True(t, ok)
}

func TestDamagedState(t *testing.T) {
	for name, text := range map[string]string{
		"empty":          "",
		"truncated":      `{"version": 1, "components": {"a`,
		"no schema":      `{"components": {}}`,
		"two documents":  `{"version": 2} {"version": 2}`,
		"migration":      `{"version": 1, "boot_id": "b", "components": {"a": 5}}`,
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

// A damaged state falls back to what the last save replaced.
func TestPreviousIsWhatASaveReplaced(t *testing.T) {
	dir := t.TempDir()
	s := state.NewStore(dir)
	st := &state.State{Components: map[string]*state.Component{}}
	for _, step := range []struct {
		write func(*state.State) error
		want  uint64 // serial of the previous one; 0: there is none
	}{{s.Save, 0}, {s.Note, 0}, {s.Note, 0}, {s.Save, 3}, {s.Save, 4}, {s.Note, 4}} {
		require.NoError(t, step.write(st))
		text, err := os.ReadFile(filepath.Join(dir, "state.json.previous"))
		if step.want == 0 {
			require.ErrorIs(t, err, fs.ErrNotExist)
			continue
		}
		require.NoError(t, err)
		require.Contains(t, string(text), fmt.Sprintf(`"serial": %d,`, step.want))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "state.json"), []byte("junk"), 0o600))
	got, err := s.Recover()
	require.NoError(t, err)
	require.Equal(t, uint64(4), got.Serial)
}
