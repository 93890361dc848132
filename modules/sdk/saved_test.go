package sdk_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

const shop = `
	IMPORT "base.ctst" AS base
	COMPONENT db { image = "tar://app.tar" command = ["/bin/app"] port = 5432 }
	COMPONENT web FROM base.server { port = 80 env = { TOKEN = "${secret.t}", DB_HOST = "own" } }
	CONNECT web -> db`

// shopEngine returns an engine for shop, its secret, and a way to edit a file.
func shopEngine(t *testing.T) (e *sdk.Engine, edit func(name, text string)) {
	t.Helper()
	e = engine(t, shop)
	edit = func(name, text string) {
		t.Helper()
		path := filepath.Join(e.Project().Dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	edit("base.ctst", `COMPONENT server() { image = "tar://app.tar" command = ["/bin/app"] }`)
	edit(".containust/secrets/t", "hunter2")
	return e, edit
}

// deploy writes the state that an apply of d would leave.
func deploy(t *testing.T, e *sdk.Engine, d *sdk.Deployment) {
	t.Helper()
	store := state.NewStore(e.Project().StateDir)
	key, err := store.Key()
	require.NoError(t, err)
	st := &state.State{Project: e.Project().Project, Components: map[string]*state.Component{}}
	for _, want := range d.Desired {
		st.Components[want.Config.Name] = &state.Component{
			Spec: want.Shown, Digest: plan.Digest(key, want), Secrets: plan.Secrets(key, want), Image: want.Image,
			DependsOn: want.DependsOn, Status: container.StatusExited, Stopped: true, Started: time.Now(),
		}
	}
	require.NoError(t, store.Save(st))
}

func TestSaveAndCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(e *sdk.Engine, edit func(name, text string))
		want   []string // in the error; none: the plan is good
	}{
		"nothing":   {func(*sdk.Engine, func(string, string)) {}, nil},
		"a comment": {func(_ *sdk.Engine, edit func(string, string)) { edit("app.ctst", "// new\n"+shop) }, nil},
		"import": {func(_ *sdk.Engine, edit func(string, string)) {
			edit("base.ctst", `COMPONENT server() { image = "tar://app.tar" command = ["/bin/other"] }`)
		}, []string{"changed since: ", "base.ctst", "web: what is wanted of it changed"}},
		"secret": {func(_ *sdk.Engine, edit func(string, string)) { edit(".containust/secrets/t", "hunter3") }, []string{"web: what is wanted"}},
		"image": {
			func(_ *sdk.Engine, edit func(string, string)) { edit("app.tar", strings.Repeat("\x00", 1024)) }, // without any file
			[]string{"db: what is wanted of it changed", "web: what is wanted of it changed"},
		},
		"deployed": {func(e *sdk.Engine, _ func(string, string)) {
			d, err := e.Plan(t.Context(), sdk.PlanOptions{})
			require.NoError(t, err)
			deploy(t, e, d)
		}, []string{"db: planned to create, and now to start; the project has another one", "web: planned to create"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, edit := shopEngine(t)
			d, err := e.Plan(t.Context(), sdk.PlanOptions{})
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), "plan.json")
			require.NoError(t, e.Save(d, path))
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, string(text), "hunter")
			require.Contains(t, string(text), "base.ctst")
			saved, err := plan.ReadSaved(path)
			require.NoError(t, err)

			tt.change(e, edit)
			now, err := e.Plan(t.Context(), sdk.PlanOptions{})
			require.NoError(t, err)
			err = e.Check(now, saved, path)
			if len(tt.want) == 0 {
				require.NoError(t, err)
				return
			}
			var stale *plan.StaleError
			require.ErrorAs(t, err, &stale)
			for _, want := range tt.want {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "hunter")
		})
	}
}

func TestSaveInAProjectWithoutState(t *testing.T) {
	e := engine(t, `COMPONENT a { image = "tar://app.tar" command = ["/x"] }`)
	d, err := e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "plan.json")
	require.NoError(t, e.Save(d, path))
	saved, err := plan.ReadSaved(path)
	require.NoError(t, err)
	again, err := e.Plan(t.Context(), sdk.PlanOptions{Import: true})
	require.NoError(t, err)
	require.NoError(t, e.Check(again, saved, path), "what is imported was planned")

	require.NoError(t, os.RemoveAll(e.Project().StateDir))
	again, err = e.Plan(t.Context(), sdk.PlanOptions{Import: true})
	require.NoError(t, err)
	require.ErrorContains(t, e.Check(again, saved, path), "the project's state was removed since")
}

func TestReasonsOfAWholeFile(t *testing.T) {
	e, edit := shopEngine(t)
	d, err := e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"DB_PORT": "db", "DB_CONNECTION_STRING": "db"}, d.Desired[1].Injected, "DB_HOST is the user's own")
	deploy(t, e, d)
	edit("app.ctst", `
		IMPORT "base.ctst" AS base
		COMPONENT db { image = "tar://app.tar" command = ["/bin/app"] port = 5433 }
		COMPONENT web FROM base.server { port = 80 env = { TOKEN = "${secret.t}", DB_HOST = "own" } }
		CONNECT web -> db`)
	edit(".containust/secrets/t", "hunter3")
	d, err = e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	require.Equal(t, plan.Start, d.Plan.Action("db"), "a port that it declares is no part of it")
	require.Equal(t, []plan.Reason{
		{Property: "env.DB_CONNECTION_STRING", Old: "tcp://db:5432", New: "tcp://db:5433", Text: "from db"},
		{Property: "env.DB_PORT", Old: "5432", New: "5433", Text: "from db"},
		{Property: "env.TOKEN", Text: "a secret changed"},
	}, d.Plan.Changes[1].Reasons)
}

func TestPlanWarnsOfWhatRunRefuses(t *testing.T) {
	e := engine(t, `COMPONENT a {
		image = "tar://app.tar" volume = "./none:/data"
		io = { weight = 10 device = "/dev/null" } pids = 10 egress = [] distroless = { include = ["/bin/x"] }
	}
	COMPONENT b { image = "tar://none.tar" }`)
	d, err := e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	require.True(t, d.Refused)
	var codes []diag.Code
	for _, w := range d.Warnings {
		require.Equal(t, diag.Warning, w.Severity)
		require.Regexp(t, "^run would refuse: ", w.Summary)
		codes = append(codes, w.Code)
	}
	require.Equal(t, []diag.Code{
		sdk.NoCommand, sdk.NotInThisVersion, sdk.FileMissing, sdk.MachineLacks, sdk.SourceMissing,
	}, slices.Compact(codes))
	require.Equal(t, 2, d.Plan.Count(plan.Create))
	require.Equal(t, 10, d.Desired[0].Config.Resources.IO.Weight)
	require.Equal(t, 10, d.Desired[0].Config.Resources.PIDs)
	require.Zero(t, d.Desired[1].Config.Resources.PIDs, "the default holds where it can")

	_, err = e.Plan(t.Context(), sdk.PlanOptions{Import: true})
	var found diag.Errors
	require.ErrorAs(t, err, &found)
	require.Len(t, found, len(codes))
}
