package sdk_test

import (
	"archive/tar"
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

// write makes files, each with its content, below a new folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return dir
}

func TestFind(t *testing.T) {
	state := `{"version":1,"project":{"file":"DIR/b.ctst"}}`
	for name, tt := range map[string]struct {
		files           map[string]string
		file, from, dir string // arguments, relative to the folder
		want            string
		err             string
	}{
		"named":            {nil, "x.ctst", "", "", "x.ctst", ""},
		"only one":         {map[string]string{"a.ctst": ""}, "", "", "", "a.ctst", ""},
		"default":          {map[string]string{"a.ctst": "", "containust.ctst": ""}, "", "", "", "containust.ctst", ""},
		"several":          {map[string]string{"a.ctst": "", "b.ctst": ""}, "", "", "", "", "several .ctst files (a.ctst, b.ctst)"},
		"several, one ran": {map[string]string{"a.ctst": "", "b.ctst": "", ".containust/state.json": state}, "", "", "", "b.ctst", ""},
		"from below":       {map[string]string{"b.ctst": "", "sub/deep/x": "", ".containust/state.json": state}, "", "sub/deep", "", "b.ctst", ""},
		"nothing":          {map[string]string{"x": ""}, "", "", "", "", "no .ctst file in"},
		"damaged":          {map[string]string{"a.ctst": "", ".containust/state.json": "{"}, "", "", "", "a.ctst", ""},
		"damaged, below":   {map[string]string{"a.ctst": "", "sub/x": "", ".containust/state.json": "{"}, "", "sub", "", "a.ctst", ""},
		"damaged, several": {map[string]string{"a.ctst": "", "b.ctst": "", ".containust/state.json": ""}, "", "", "", "", "several .ctst files"},
		"too new":          {map[string]string{"a.ctst": "", ".containust/state.json": `{"version":99}`}, "", "", "", "", "use a newer ctst"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, tt.files)
			if text, ok := tt.files[".containust/state.json"]; ok {
				text = strings.ReplaceAll(text, "DIR", filepath.ToSlash(dir))
				require.NoError(t, os.WriteFile(filepath.Join(dir, ".containust/state.json"), []byte(text), 0o600))
			}
			p, err := sdk.Find(tt.file, filepath.Join(dir, tt.from), "")
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, filepath.Join(dir, tt.want), p.File)
			require.Equal(t, filepath.Join(dir, ".containust"), p.StateDir)
			require.Equal(t, strings.TrimSuffix(tt.want, ".ctst"), p.Name)
		})
	}
}

func TestProjectsDifferByTheirStateFolder(t *testing.T) {
	dir := write(t, map[string]string{"My App/a.ctst": "", "other/My App/a.ctst": ""})
	one, err := sdk.Find("a.ctst", filepath.Join(dir, "My App"), "")
	require.NoError(t, err)
	two, err := sdk.Find("a.ctst", filepath.Join(dir, "other/My App"), "")
	require.NoError(t, err)
	require.NotEqual(t, one.ID, two.ID)
	require.Regexp(t, `^my-app-[0-9a-f]{8}$`, one.ID)
}

// engine returns an engine for a file that stands beside an archive, app.tar,
// and a truncated one.
func engine(t *testing.T, text string) *sdk.Engine {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("sources are read on Linux")
	}
	dir := write(t, map[string]string{"app.ctst": text})
	archive, err := os.Create(filepath.Join(dir, "app.tar"))
	require.NoError(t, err)
	w := tar.NewWriter(archive)
	require.NoError(t, w.WriteHeader(&tar.Header{Name: "bin/app", Mode: 0o755, Size: 3000}))
	_, err = w.Write(make([]byte, 3000))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	require.NoError(t, archive.Close())
	whole, err := os.ReadFile(filepath.Join(dir, "app.tar"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cut.tar"), whole[:1500], 0o600))
	e, err := sdk.Open(sdk.Options{File: filepath.Join(dir, "app.ctst"), CacheDir: filepath.Join(dir, "cache")})
	require.NoError(t, err)
	return e
}

func TestPlan(t *testing.T) {
	e := engine(t, `
		COMPONENT db { image = "tar://app.tar" command = ["/bin/app"] port = 5432 }
		COMPONENT web { image = "tar://app.tar" command = ["/bin/app"] port = 80 volume = "data:/data" env = { A = "1" } }
		CONNECT web -> db
		EXPOSE 8080:80 TO web`)
	d, err := e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	require.Empty(t, d.Warnings)
	require.Equal(t, 2, d.Plan.Count(plan.Create))
	web := d.Desired[1]
	require.Equal(t, []string{"db"}, web.DependsOn)
	require.Equal(t, []string{"db"}, web.Config.Network.Links)
	require.Subset(t, web.Config.Env, []string{"A=1", "DB_HOST=db", "DB_PORT=5432"})
	require.Equal(t, uint16(8080), web.Config.Network.Expose[0].HostPort)
	require.Equal(t, "127.0.0.1", web.Config.Network.Expose[0].Address)
	require.NoDirExists(t, e.Project().StateDir, "a plan creates nothing")
}

func TestPlanFindsWhatIsWrong(t *testing.T) {
	const zero = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for name, tt := range map[string]struct {
		body string
		want diag.Code
	}{
		"digest":      {`image = "tar://app.tar` + zero + `" command = ["/x"]`, sdk.DigestMismatch},
		"truncated":   {`image = "tar://cut.tar" command = ["/x"]`, sdk.SourceUnreadable},
		"missing":     {`image = "tar://none.tar" command = ["/x"]`, sdk.SourceMissing},
		"registry":    {`image = "oci://example.org/x:1" command = ["/x"]`, sdk.SourceUnsupported},
		"no command":  {`image = "tar://app.tar"`, sdk.NoCommand},
		"host path":   {`image = "tar://app.tar" command = ["/x"] volume = "./none:/data"`, sdk.FileMissing},
		"limit":       {`image = "tar://app.tar" command = ["/x"] io = { weight = 1 device = "/dev/null" }`, sdk.MachineLacks},
		"profile":     {`image = "tar://app.tar" command = ["/x"] seccomp = "none.json"`, sdk.FileMissing},
		"bad profile": {`image = "tar://app.tar" command = ["/x"] seccomp = "app.ctst"`, sdk.ProfileInvalid},
		"own file":    {`image = "tar://app.tar" command = ["/x"] files = { "/a" = { source = "./none" } }`, sdk.FileMissing},
	} {
		t.Run(name, func(t *testing.T) {
			e := engine(t, "COMPONENT a { "+tt.body+" }")
			_, err := e.Plan(t.Context(), sdk.PlanOptions{Import: true})
			var found diag.Errors
			require.ErrorAs(t, err, &found)
			require.Len(t, found, 1)
			require.Equal(t, tt.want, found[0].Code)
			require.Equal(t, 1, found[0].Range.Start.Line, "it says where")
			require.NotEmpty(t, found[0].Range.File)
		})
	}
}

// The content of a profile belongs to the component: another content is another
// component, wherever it is run.
func TestProfileIsPartOfThePlan(t *testing.T) {
	e := engine(t, `COMPONENT a { image = "tar://app.tar" command = ["/x"] seccomp = "p.json" }`)
	profile := filepath.Join(e.Project().Dir, "p.json")
	want := func(text string) plan.Desired {
		require.NoError(t, os.WriteFile(profile, []byte(text), 0o600))
		d, err := e.Plan(t.Context(), sdk.PlanOptions{})
		require.NoError(t, err)
		require.Empty(t, d.Warnings)
		return d.Desired[0]
	}
	const text = `{"defaultAction": "SCMP_ACT_ALLOW"}`
	one, two := want(text), want(text+"\n")
	require.Equal(t, text, one.Config.SeccompProfile)
	require.Equal(t, profile, one.Config.Seccomp)
	require.NotEqual(t, plan.Digest(nil, one), plan.Digest(nil, two))
	reasons := plan.Diff(one.Shown, two.Shown)
	require.Len(t, reasons, 1)
	require.Equal(t, "seccomp_profile", reasons[0].Property)
	require.Regexp(t, `^sha256:[0-9a-f]{64}$`, reasons[0].New)

	for text, want := range map[string]string{
		"{\n  \"defaultAction\": \"SCMP_ACT_ALOW\"\n}": profile + `:2:20: defaultAction: unknown action "SCMP_ACT_ALOW"; known are`,
		`{"defaultAction": "SCMP_ACT_ERRNO"}`:          "execve",
	} {
		require.NoError(t, os.WriteFile(profile, []byte(text), 0o600))
		_, err := e.Plan(t.Context(), sdk.PlanOptions{})
		var found diag.Errors
		require.ErrorAs(t, err, &found)
		require.Equal(t, sdk.ProfileInvalid, found[0].Code)
		require.Contains(t, found[0].Detail, want)
	}

	require.NoError(t, os.WriteFile(profile, []byte(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrac", "read"], "action": "SCMP_ACT_ERRNO"}]}`), 0o600))
	d, err := e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	require.Len(t, d.Warnings, 1)
	require.Contains(t, d.Warnings[0].Summary, "names what is no system call: ptrac")
	require.Len(t, d.Desired, 1)
}

func TestMissingSourceIsAWarningInAPlan(t *testing.T) {
	e := engine(t, `COMPONENT a { image = "tar://none.tar" command = ["/x"] }`)
	d, err := e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	require.Len(t, d.Warnings, 1)
	require.Equal(t, sdk.SourceMissing, d.Warnings[0].Code)
	require.ErrorContains(t, e.Apply(t.Context(), d, sdk.ApplyOptions{}), "Import")
}

func TestStateOfAnotherFileIsNotTouched(t *testing.T) {
	e := engine(t, `COMPONENT a { image = "tar://app.tar" command = ["/x"] }`)
	other := filepath.Join(e.Project().Dir, "other.ctst")
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	require.NoError(t, os.MkdirAll(e.Project().StateDir, 0o700))
	require.NoError(t, state.NewStore(e.Project().StateDir).Save(&state.State{
		Project:    state.Project{File: other},
		Components: map[string]*state.Component{"theirs": {}},
	}))
	_, err := e.Plan(t.Context(), sdk.PlanOptions{})
	require.ErrorContains(t, err, "belongs to "+other)
}

func TestLoggerHearsWhatIsDone(t *testing.T) {
	dir := engine(t, `COMPONENT a { image = "tar://app.tar" command = ["/x"] }`).Project().Dir
	var log bytes.Buffer
	e, err := sdk.Open(sdk.Options{
		File: filepath.Join(dir, "app.ctst"), CacheDir: filepath.Join(dir, "cache"),
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	require.NoError(t, err)
	_, err = e.Plan(t.Context(), sdk.PlanOptions{})
	require.NoError(t, err)
	require.Contains(t, log.String(), "msg=project")
	require.Regexp(t, `msg=image component=a source=tar://app.tar digest=sha256:[0-9a-f]{64}`, log.String())
}
