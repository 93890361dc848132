package plan_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

// project is a project with a component, api, and what the file wants of it.
func project(d plan.Desired) (*state.State, []plan.Desired) {
	return &state.State{Serial: 7, Components: map[string]*state.Component{"api": have(want(nil))}}, []plan.Desired{d}
}

func components(st *state.State, desired []plan.Desired) map[string]plan.Component {
	return plan.Components(key, plan.Make(key, desired, st, nil), desired, st)
}

// save writes a plan and returns its path.
func save(t *testing.T, components map[string]plan.Component) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "plan.json")
	saved := &plan.Saved{
		Made: began, StateDir: "/srv/.containust", Inputs: map[string]string{"/srv/app.ctst": "sha256:1"}, Components: components,
		// Bytes that are not UTF-8, signs that JSON escapes, and every kind of value.
		Plan: plan.Document{
			FormatVersion: plan.FormatVersion, Project: state.Project{File: "/srv/\xff<app>&.ctst"},
			Changes: []plan.Change{{Name: "api", Action: plan.Update, Reasons: []plan.Reason{
				{Property: "cpu", Old: 0.5, New: 1e21, Since: time.Now()}, {Property: "pids", New: 1 << 60}, {Property: "links", New: []string{"a\xff"}},
			}}},
			Warnings: diag.List{{Code: "CT402", Severity: diag.Warning, Summary: "x"}},
		},
	}
	require.NoError(t, saved.Write(path, key))
	return path
}

func TestSavedPlanIsWhatWasWritten(t *testing.T) {
	st, desired := project(want(nil))
	path := save(t, components(st, desired))
	info, err := os.Stat(path)
	require.NoError(t, err)
	if runtime.GOOS != "windows" {
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	saved, err := plan.ReadSaved(path)
	require.NoError(t, err)
	require.NoError(t, saved.Check(path, "/srv/.containust/", key))
	require.NoError(t, saved.Compare(components(st, desired), nil))

	var file *plan.FileError
	require.ErrorAs(t, saved.Check(path, "/home/.containust", key), &file)
	require.ErrorContains(t, file, "was made for another project: its state is in /srv/.containust, this one's in /home/.containust")
	require.ErrorAs(t, saved.Check(path, "/srv/.containust", []byte("another key")), &file)

	// Blanks are nobody's business.
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text = []byte(strings.Join(strings.Fields(string(text)), "\n"))
	text = []byte(strings.Replace(string(text), "\"containust\nplan\"", `"containust plan"`, 1))
	require.NoError(t, os.WriteFile(path, text, 0o600))
	saved, err = plan.ReadSaved(path)
	require.NoError(t, err)
	require.NoError(t, saved.Check(path, "/srv/.containust", key))
}

// TestEveryByteOfASavedPlanCounts changes each byte: the file is then refused,
// or the byte was one of the blanks between values.
func TestEveryByteOfASavedPlanCounts(t *testing.T) {
	st, desired := project(want(nil))
	path := save(t, components(st, desired))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	// The names of the envelope's own fields may be written in capitals as well.
	content := strings.Index(string(text), `"content"`) + len(`"content"`)
	for i, b := range text {
		if b == ' ' || b == '\n' || i < content {
			continue
		}
		changed := slices.Clone(text)
		changed[i] = b ^ 1
		require.NoError(t, os.WriteFile(path, changed, 0o600))
		saved, err := plan.ReadSaved(path)
		if err == nil {
			err = saved.Check(path, "/srv/.containust", key)
		}
		var file *plan.FileError
		require.ErrorAs(t, err, &file, "byte %d, %q for %q in %q", i, b^1, b, text[max(0, i-20):min(len(text), i+20)])
	}
}

func TestWriteLeavesOtherFilesAlone(t *testing.T) {
	dir := t.TempDir()
	path := save(t, nil)
	require.NoError(t, (&plan.Saved{Made: ended}).Write(path, key), "a saved plan is replaced")
	saved, err := plan.ReadSaved(path)
	require.NoError(t, err)
	require.Equal(t, ended, saved.Made)
	empty := filepath.Join(dir, "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o644))
	require.NoError(t, saved.Write(empty, key))

	other := filepath.Join(dir, "app.ctst")
	require.NoError(t, os.WriteFile(other, []byte("COMPONENT a {}"), 0o644))
	require.ErrorContains(t, saved.Write(other, key), "is there already and no saved plan")
	text, err := os.ReadFile(other)
	require.NoError(t, err)
	require.Equal(t, "COMPONENT a {}", string(text))
	require.ErrorContains(t, saved.Write(dir, key), "is not a regular file")
	require.ErrorIs(t, saved.Write(filepath.Join(dir, "none", "plan.json"), key), os.ErrNotExist)
}

func TestReadSavedSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "is no saved plan, or damaged",
		"COMPONENT a {}":        "is no saved plan, or damaged",
		"[]":                    "is no saved plan, or damaged",
		"null":                  "is no saved plan; `ctst plan --out FILE` saves one",
		"{}":                    "is no saved plan; `ctst plan --out FILE` saves one",
		`{"format_version": 1}`: "is what `ctst plan --json` prints",
		`{"format":"other"}`:    "is no saved plan",
		`{"format":"containust plan","version":2,"content":7}`:                "was saved by a later version of ctst (format 2, this one knows 1)",
		`{"format":"containust plan"}`:                                        "is damaged: it has no version",
		`{"format":"containust plan","version":-1}`:                           "is damaged: it has no version",
		`{"format":"containust plan","version":1}`:                            "is damaged",
		`{"format":"containust plan","version":1,"content":[]}`:               "is damaged",
		`{"format":"containust plan","version":1,"content":{"components":3}}`: "is damaged",
	} {
		path := filepath.Join(t.TempDir(), "plan.json")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		_, err := plan.ReadSaved(path)
		var file *plan.FileError
		require.ErrorAs(t, err, &file, text)
		require.ErrorContains(t, err, path+" "+want, text)
	}
	_, err := plan.ReadSaved(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// FuzzSaved: no bytes make the reader panic, and none but those that were
// written pass the check.
func FuzzSaved(f *testing.F) {
	for _, seed := range []string{
		"", "{}", `{"format":"containust plan","version":1,"content":{}}`,
		`{"format":"containust plan","version":1,"seal":"","content":{"components":{"a":{"action":"keep"}}}}`,
		`{"format":"containust plan","version":1,"content":{"plan":{"warnings":[{"severity":"error"}]}}}`,
	} {
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "plan.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(path, text, 0o600))
		saved, err := plan.ReadSaved(path)
		if err == nil {
			err = saved.Check(path, saved.StateDir, key)
		}
		var file *plan.FileError
		require.ErrorAs(t, err, &file)
	})
}

// TestWhatMakesAPlanStale changes one thing between a plan and its comparison.
func TestWhatMakesAPlanStale(t *testing.T) {
	const wanted = "what is wanted of it changed"
	for name, tt := range map[string]struct {
		change func(*state.State, *[]plan.Desired)
		want   string // in the error; empty: it stays good
	}{
		"nothing": {func(*state.State, *[]plan.Desired) {}, ""},
		"serial":  {func(st *state.State, _ *[]plan.Desired) { st.Serial += 5 }, ""},
		"health":  {func(st *state.State, _ *[]plan.Desired) { st.Components["api"].Health = container.HealthUnhealthy }, ""},
		"restarted": {func(st *state.State, _ *[]plan.Desired) {
			st.Components["api"].PID, st.Components["api"].Restarts = 9, 4
		}, ""},
		"rebooted": {func(st *state.State, _ *[]plan.Desired) { st.Components["api"].BootID = "another" }, ""},
		"backs off": {func(st *state.State, _ *[]plan.Desired) {
			ending(st.Components["api"], container.StatusExited, "x").Restarting = true
		}, ""},
		"died":    {func(st *state.State, _ *[]plan.Desired) { ending(st.Components["api"], container.StatusExited, "x") }, "api: planned to keep, and now to start"},
		"removed": {func(st *state.State, _ *[]plan.Desired) { delete(st.Components, "api") }, "api: planned to keep, and now to create; the project has another"},
		"another one": {func(st *state.State, _ *[]plan.Desired) {
			st.Components["api"].Spec.Labels = map[string]string{"a": "b"}
		}, "api: planned to keep, and now to update; the project has another"},
		"one more":        {func(st *state.State, _ *[]plan.Desired) { st.Components["old"] = have(want(nil)) }, "old: not in the plan, and now to remove"},
		"in place":        {func(_ *state.State, d *[]plan.Desired) { (*d)[0].Config.Resources.Memory = 1 }, wanted},
		"order":           {func(_ *state.State, d *[]plan.Desired) { (*d)[0].DependsOn = []string{"db"} }, wanted},
		"image":           {func(_ *state.State, d *[]plan.Desired) { (*d)[0].Image.Digest = "sha256:2" }, wanted},
		"secret":          {func(_ *state.State, d *[]plan.Desired) { (*d)[0].Config.Env = []string{"LOG_LEVEL=secret"} }, wanted},
		"not in the file": {func(_ *state.State, d *[]plan.Desired) { *d = nil }, "api: planned to keep, and now to remove; " + wanted},
		"wanted and there": {func(_ *state.State, d *[]plan.Desired) {
			more := want(func(d *plan.Desired) { d.Config.Name = "more" })
			*d = append(*d, more)
		}, "more: not in the plan, and now to create"},
	} {
		t.Run(name, func(t *testing.T) {
			st, desired := project(want(nil))
			before := components(st, desired)
			saved, err := plan.ReadSaved(save(t, before))
			require.NoError(t, err)
			tt.change(st, &desired)
			now := components(st, desired)
			err = saved.Compare(now, map[string]string{"/srv/app.ctst": "sha256:2"})
			require.Equal(t, tt.want == "", plan.Fingerprint(key, before) == plan.Fingerprint(key, now))
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			var stale *plan.StaleError
			require.ErrorAs(t, err, &stale)
			require.Equal(t, []string{"/srv/app.ctst"}, stale.Inputs)
			require.Len(t, stale.Reasons, 1)
			require.Contains(t, stale.Reasons[0], tt.want)
		})
	}
}

// TestBackingOffIsRunning: what is about to be restarted counts as running, also
// with something else to do about it.
func TestBackingOffIsRunning(t *testing.T) {
	changed := want(func(d *plan.Desired) { d.Config.StopTimeout = time.Minute })
	st, desired := project(changed)
	running := components(st, desired)
	require.Equal(t, plan.Update, running["api"].Action)
	ending(st.Components["api"], container.StatusExited, "exited with code 1").Restarting = true
	require.Equal(t, running, components(st, desired))
}

func TestSavedPlanHoldsNoSecret(t *testing.T) {
	d := want(func(d *plan.Desired) {
		d.Config.Env = []string{"TOKEN=hunter2"}
		d.Config.Files = []container.File{{Path: "/token", Content: []byte("hunter2"), Mode: 0o400}}
	})
	d.Shown.Env = []string{"TOKEN=${secret.t}"}
	d.Shown.Files = []container.File{{Path: "/token", Content: []byte("${secret.t}"), Mode: 0o400}}
	st, desired := project(d)
	p := plan.Make(key, desired, st, nil)
	saved := &plan.Saved{Components: plan.Components(key, p, desired, st), Plan: plan.NewDocument(p, desired, nil, false)}
	path := filepath.Join(t.TempDir(), "plan.json")
	require.NoError(t, saved.Write(path, key))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2")
	require.NotContains(t, string(text), "aHVudGVyMg", "base64 of it")
	require.Contains(t, string(text), "${secret.t}")

	// Without the key a guess cannot be tested.
	desired[0].Shown = d.Shown
	one := plan.Components(key, p, desired, st)["api"].Wants
	other := plan.Components([]byte("another"), p, desired, st)["api"].Wants
	require.NotEqual(t, one, other)
	macs := plan.Secrets(key, d)
	require.Len(t, macs, 2)
	require.NotEqual(t, macs["env.TOKEN"], macs["files./token"], "one secret in two places must not show as one")
}

func TestDocument(t *testing.T) {
	db := want(func(d *plan.Desired) {
		d.Config.Name, d.Config.Seccomp, d.Config.Capabilities = "db", "unconfined", []string{"NET_ADMIN"}
		d.Config.Devices, d.Config.Network.Mode = []string{"/dev/fuse"}, container.NetworkHost
		d.Image.Source += "@sha256:1"
	})
	api := want(func(d *plan.Desired) {
		d.DependsOn = []string{"db"}
		d.Config.Network.Expose = []container.Exposure{
			{Address: "127.0.0.1", HostPort: 1, ContainerPort: 80, Protocol: "tcp"},
			{Address: "::1", HostPort: 2, ContainerPort: 80, Protocol: "tcp"},
			{Address: "0.0.0.0", HostPort: 3, ContainerPort: 80, Protocol: "tcp"},
			{Address: "::", HostPort: 4, ContainerPort: 80, Protocol: "udp"},
			{Address: "192.0.2.1", HostPort: 5, ContainerPort: 80, Protocol: "tcp"},
		}
	})
	desired := []plan.Desired{api, db}
	doc := plan.NewDocument(plan.Make(key, desired, &state.State{}, nil), desired, nil, true)
	require.Equal(t, [][]string{{"db"}, {"api"}}, doc.Order)
	require.Equal(t, plan.Summary{Create: 2}, doc.Summary)
	var beyond []uint16
	for _, e := range doc.Exposures {
		if e.Beyond {
			beyond = append(beyond, e.HostPort)
		}
	}
	require.Equal(t, []uint16{3, 4, 5}, beyond)
	require.Equal(t, []plan.Unconfined{
		{Component: "db", Property: "seccomp", Value: "unconfined"},
		{Component: "db", Property: "capabilities", Value: []string{"NET_ADMIN"}},
		{Component: "db", Property: "network", Value: "host"},
		{Component: "db", Property: "devices", Value: []string{"/dev/fuse"}},
	}, doc.Unconfined)
	require.Equal(t, []plan.Unpinned{{Component: "api", Image: "tar://api.tar"}}, doc.Unpinned)

	empty, err := json.Marshal(plan.NewDocument(plan.Make(key, nil, &state.State{}, nil), nil, nil, false))
	require.NoError(t, err)
	require.NotContains(t, string(empty), "null", "lists are lists, also when they are empty")
}
