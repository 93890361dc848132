package render_test

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
	"github.com/containust/containust/modules/observe/metrics"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const (
	digestA = "sha256:1c9f2ab0aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:77ab31e0bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// guestbook is a deployment of three components.
func guestbook() *sdk.Deployment {
	want := func(name, source, digest string, deps ...string) plan.Desired {
		return plan.Desired{
			Config: container.Config{Name: name}, Image: state.Image{Source: source, Digest: digest}, DependsOn: deps,
		}
	}
	store := want("store", "file://./images/store", digestA)
	store.Config.Health = &container.Health{TCP: 80}
	migrate := want("migrate", "file://./images/migrate", digestA, "store")
	migrate.Config.Job = true
	migrate.Config.Network.Mode, migrate.Config.Seccomp = container.NetworkHost, "unconfined"
	migrate.Config.Capabilities = []string{"docker", "NET_ADMIN"}
	store.Config.Network.Expose = []container.Exposure{{Address: "::", HostPort: 53, ContainerPort: 53, Protocol: "udp"}}
	change := func(d plan.Desired) plan.Change {
		return plan.Change{Name: d.Config.Name, Action: plan.Create, Image: d.Image}
	}
	web := want("web", "tar://./images/web.tar@"+digestB, digestB, "store", "migrate")
	web.Config.Network.Expose = []container.Exposure{{Address: "127.0.0.1", HostPort: 8080, ContainerPort: 80, Protocol: "tcp"}}
	return &sdk.Deployment{
		Stack: &stack.Stack{
			Name: "guestbook", File: "guestbook.ctst",
			Components: []*stack.Component{
				{Name: "store", Range: place(3)},
				{Name: "migrate", Range: place(8)},
				{Name: "web", Range: place(14), Protocol: "http"},
			},
			Links: []stack.Link{{From: "migrate", To: "store"}, {From: "web", To: "store"}},
			Exposures: []stack.Exposure{
				{Address: "127.0.0.1", HostPort: 8080, Component: "web", Port: 80, Protocol: "tcp"},
				{Address: "::", HostPort: 53, Component: "store", Port: 53, Protocol: "udp"},
			},
		},
		Desired: []plan.Desired{store, migrate, web},
		Plan:    &plan.Plan{Changes: []plan.Change{change(migrate), change(store), change(web)}},
	}
}

func options(style render.Style) render.PlanOptions {
	return render.PlanOptions{Now: now, Save: "ctst plan --out plan.json", Style: style}
}

func place(line int) token.Range {
	return token.Range{File: "guestbook.ctst", Start: token.Pos{Line: line, Column: 11}}
}

func TestGolden(t *testing.T) {
	for name, write := range map[string]func(w io.Writer, style render.Style) error{
		"plan-create": func(w io.Writer, style render.Style) error {
			d := guestbook()
			d.Plan.Changes[0].Image.Digest = ""
			return render.Plan(w, d, options(style))
		},
		"plan-changes": func(w io.Writer, style render.Style) error {
			d := guestbook()
			d.Stack.Components[2].Seccomp = "unconfined"
			d.Plan.Changes = []plan.Change{
				{Name: "cache", Action: plan.Remove, Reasons: []plan.Reason{{Text: "no longer in the file"}}},
				{Name: "migrate", Action: plan.Start, Drift: true, Reasons: []plan.Reason{
					{Text: "exited with code 137\x1b[2J", Drift: true, Since: now.Add(-4 * time.Minute)},
				}},
				{Name: "queue", Action: plan.Start, Reasons: []plan.Reason{{Text: "stopped", Since: now.Add(-3 * time.Hour)}}},
				{Name: "store", Action: plan.Keep},
				{Name: "web", Action: plan.Replace, Reasons: []plan.Reason{
					{Property: "command", Old: []string{"/web", "--level", "info", "-v"}, New: []string{"/web", "--level", "debug", "-v"}},
					{Property: "env.DB_PORT", Old: "5432", New: "5433", Text: "from db"},
					{Property: "env.LOG_LEVEL", Old: "info", New: "debug"},
					{Property: "env.TOKEN", Text: "a secret changed"},
					{Property: "env.memory", Old: "a\"b", New: "c\x1b[2J"},
					{Property: "files./etc/x", Old: digestA, New: digestB + ", mode 0400"},
					{Property: "labels.long", Old: strings.Repeat("long/", 40) + "a/end", New: strings.Repeat("long/", 40) + "b/end"},
					{Property: "readonly", Old: true, New: false},
					{Property: "seccomp_profile", Old: digestA, New: digestB},
					{Property: "user", New: "nobody"},
					{Property: "volumes", Old: []string{"a:/a", "b:/b"}, New: []string{"b:/b", "c:/c"}},
					{Property: "workdir", Old: "/" + strings.Repeat("long/", 40)},
					{Property: "image", Old: digestA, New: digestB, Text: "./images/web.tar changed on disk"},
				}},
			}
			return render.Plan(w, d, options(style))
		},
		"plan-update": func(w io.Writer, style render.Style) error {
			d := guestbook()
			d.Plan.Changes = []plan.Change{{Name: "web", Action: plan.Update, Reasons: []plan.Reason{
				{Property: "expose", Old: []string{"127.0.0.1:80:80"}, New: []string{"127.0.0.1:81:80"}},
				{Property: "healthcheck.command", Old: []string{"/a"}, New: []string{"/a", "-x"}},
				{Property: "links", Old: []string{"a", "b"}, New: []string{"b", "a"}},
				{Property: "memory", Old: "64MiB", New: "1500"},
				{Property: "restart", Old: "never", New: "always"},
				{Property: "starts_after", New: []string{"db"}},
				{Property: "stop_timeout", Old: "10s", New: "2.5s"},
			}}}
			return render.Plan(w, d, options(style))
		},
		"plan-drift": func(w io.Writer, style render.Style) error {
			d := guestbook()
			d.Plan.Changes = []plan.Change{
				{Name: "migrate", Action: plan.Keep, Drift: true, Reasons: []plan.Reason{
					{Property: "image", Text: "./images/migrate is not there any more", Drift: true},
				}},
				{Name: "store", Action: plan.Replace, Drift: true, Reasons: []plan.Reason{
					{Property: "volumes", Text: `the folder of volume "data" is gone`, Drift: true},
				}},
				{Name: "web", Action: plan.Keep},
			}
			d.Refused = true
			return render.Plan(w, d, render.PlanOptions{Now: now, Style: style})
		},
		"plan-nothing": func(w io.Writer, style render.Style) error {
			d := guestbook()
			for i := range d.Desired {
				d.Desired[i].Config.Network, d.Desired[i].Config.Seccomp = container.Network{}, ""
				d.Desired[i].Config.Capabilities, d.Desired[i].Image.Source = nil, "tar://x@"+digestA
			}
			for i := range d.Plan.Changes {
				d.Plan.Changes[i].Action = plan.Keep
			}
			return render.Plan(w, d, options(style))
		},
		"plan-refused": func(w io.Writer, style render.Style) error {
			d := guestbook()
			for i := range d.Plan.Changes {
				d.Plan.Changes[i].Action = plan.Keep
			}
			d.Refused = true
			return render.Plan(w, d, options(style))
		},
		"deploy": func(w io.Writer, style render.Style) error {
			r := render.NewDeploy(render.NewTalk(w, style, nil), guestbook())
			for _, e := range []supervise.Event{
				{Component: "store", Type: supervise.EventStarting},
				{Component: "store", Type: supervise.EventRunning},
				{Component: "store", Type: supervise.EventHealthy},
				{Component: "store", Type: supervise.EventReady, Elapsed: 312 * time.Millisecond},
				{Component: "migrate", Type: supervise.EventDone},
				{Component: "migrate", Type: supervise.EventReady, Elapsed: 12 * time.Second},
				{Component: "web", Type: supervise.EventReady, Elapsed: 80 * time.Second},
			} {
				r.Event(e)
			}
			r.Summary()
			return nil
		},
		"deploy-again": func(w io.Writer, style render.Style) error {
			d := guestbook()
			d.Plan.Changes = append(d.Plan.Changes, plan.Change{Name: "old", Action: plan.Remove})
			r := render.NewDeploy(render.NewTalk(w, style, nil), d)
			for _, e := range []supervise.Event{
				{Component: "web", Type: supervise.EventStopping},
				{Component: "web", Type: supervise.EventExited, Text: "stopped", Exit: &container.ExitStatus{Code: 143, Signal: 15}},
				{Component: "web", Type: supervise.EventStopped},
				{Component: "old", Type: supervise.EventRemoved},
				{Component: "migrate", Type: supervise.EventUpdated},
				{Component: "store", Type: supervise.EventKept},
				{Component: "store", Type: supervise.EventReady},
				{Component: "web", Type: supervise.EventReady, Elapsed: 9940 * time.Millisecond},
			} {
				r.Event(e)
			}
			return nil
		},
		"deploy-failed": func(w io.Writer, style render.Style) error {
			d := guestbook()
			d.Desired[2].Config.Restart.Policy = container.RestartOnFailure
			r := render.NewDeploy(render.NewTalk(w, style, nil), d)
			for _, e := range []supervise.Event{
				{Component: "store", Type: supervise.EventUnhealthy, Text: "connection refused"},
				{Component: "store", Type: supervise.EventHealthy},
				{Component: "migrate", Type: supervise.EventExited, Text: "exited with code 3", Elapsed: 212 * time.Millisecond, Exit: &container.ExitStatus{Code: 3}},
				{Component: "web", Type: supervise.EventSkipped, Text: "needs migrate"},
				{Component: "web", Type: supervise.EventExited, Text: "ended by signal 9", Exit: &container.ExitStatus{Code: 137, Signal: 9}},
				{Component: "web", Type: supervise.EventRestart, Text: "in 100ms"},
				{Component: "web", Type: supervise.EventFailed, Text: "sandbox: execve /x\x1b]0;: no such file\nor directory"},
			} {
				r.Event(e)
			}
			names, exits := r.Failed()
			if strings.Join(names, " ") != "migrate web" || exits["migrate"].Code != 3 {
				return errors.New("what failed was not noticed")
			}
			return nil
		},
		"stopping": func(w io.Writer, style render.Style) error {
			s := render.NewStopping(render.NewTalk(w, style, nil), []string{"web", "store"})
			for _, e := range []supervise.Event{
				{Component: "web", Type: supervise.EventStopping},
				{Component: "web", Type: supervise.EventExited, Text: "stopped"},
				{Component: "web", Type: supervise.EventStopped, Elapsed: 40 * time.Millisecond},
				{Component: "store", Type: supervise.EventRemoved},
			} {
				s.Event(e)
			}
			return nil
		},
		"ps": func(w io.Writer, style render.Style) error {
			return render.Components(w, components(), render.PsOptions{Now: now, Style: style})
		},
		"ps-120": func(w io.Writer, style render.Style) error {
			return render.Components(w, components(), render.PsOptions{Now: now, Style: style, Width: 120})
		},
		"ps-80": func(w io.Writer, style render.Style) error {
			return render.Components(w, components(), render.PsOptions{Now: now, Style: style, Width: 80})
		},
		"images": func(w io.Writer, style render.Style) error {
			return render.Images(w, []store.Image{
				{Digest: source.Digest(digestA), Size: 3 << 20, Created: now.Add(-3 * time.Hour), Sources: []string{"file:///srv/store"}, Owners: []string{"/srv/.containust"}},
				{Digest: source.Digest(digestB), Size: 900, Created: now.Add(-72 * time.Hour), Sources: []string{"tar:///srv/e\x1bvil.tar"}},
			}, now, style)
		},
		"doctor": func(w io.Writer, style render.Style) error {
			return render.Checks(w, []render.Check{
				{Name: "kernel", OK: true, Found: "6.1"},
				{Name: "root", Err: "user 1000", Mend: "sudo ctst …", Required: true},
				{Name: "memory controller", Err: "cgroup v1", Mend: "boot with v2"},
			}, style)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			require.NoError(t, write(&out, render.Style{}))
			require.NotContains(t, out.String(), "\x1b", "plain text commands the terminal")
			golden(t, name, out.String())

			var coloured bytes.Buffer
			require.NoError(t, write(&coloured, render.Style{Color: true}))
			require.Equal(t, out.String(), plain(coloured.String()), "colours change more than the colour")
		})
	}
}

func components() []sdk.Component {
	info := func(name string, status container.Status) sdk.Component {
		return sdk.Component{Info: container.Info{ID: container.ID(name), Status: status}}
	}
	store := info("store", container.StatusRunning)
	store.Health, store.Started = container.HealthHealthy, now.Add(-2*time.Hour)
	api := info("api", container.StatusRunning)
	api.Health, api.Restarts, api.Started = container.HealthUnhealthy, 2, now.Add(-9*time.Minute)
	store.Usage = &sdk.Usage{
		CPU: 0.0013, Memory: 3250585, MemoryLimit: 64 << 20, PIDs: 5,
		Net: metrics.Traffic{In: 1200, Out: 900}, Block: metrics.Traffic{Out: 999_960},
	}
	api.Usage = &sdk.Usage{
		CPU: 1.024, Memory: 18<<20 + 400<<10, PIDs: 11, Missing: []metrics.Measure{metrics.Net},
		Approximate: []metrics.Measure{metrics.Memory, metrics.Block},
	}
	still := info("still", container.StatusRunning)
	still.Paused, still.Health, still.Started = true, container.HealthHealthy, now.Add(-time.Minute)
	web := info("web", container.StatusStarting)
	web.Expose = []container.Exposure{
		{Address: "127.0.0.1", HostPort: 8080, ContainerPort: 80, Protocol: "tcp"},
		{Address: "::1", HostPort: 53, ContainerPort: 53, Protocol: "udp"},
	}
	migrate := info("migrate", container.StatusCompleted)
	migrate.Finished = now.Add(-5 * time.Second)
	old := info("old", container.StatusExited)
	old.Exit, old.Finished = &container.ExitStatus{Code: 137, Signal: 9}, now.Add(-80*time.Hour)
	bad := info("bad", container.StatusFailed)
	bad.Reason = "sandbox: execve /no/such: no such file or directory\nsecond line"
	return []sdk.Component{store, api, still, web, migrate, old, bad}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// plain takes the colours out.
func plain(text string) string {
	var out strings.Builder
	for {
		before, after, found := strings.Cut(text, "\x1b[")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		_, text, _ = strings.Cut(after, "m")
	}
}

func TestLogs(t *testing.T) {
	evil := []byte("a\tb\x1b[2J\xff\u202e\r")
	for name, tt := range map[string]struct {
		names []string
		style render.Style
		raw   bool
		want  string
	}{
		"terminal":  {[]string{"api", "store"}, render.Style{}, false, "api   | a    b\\x1b[2J\\xff\\u202e\n"},
		"coloured":  {[]string{"api", "store"}, render.Style{Color: true}, false, "\x1b[36mapi   |\x1b[0m a    b\\x1b[2J\\xff\\u202e\n"},
		"pipe":      {[]string{"api", "store"}, render.Style{}, true, "api   | " + string(evil) + "\n"},
		"one, pipe": {nil, render.Style{}, true, string(evil) + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			logs := render.NewLogs(&out, tt.style, render.LogOptions{Names: tt.names, Raw: tt.raw})
			require.NoError(t, logs.Line(sdk.LogLine{Component: "api", Text: evil}))
			require.Equal(t, tt.want, out.String())
		})
	}
	gone := errors.New("gone")
	require.ErrorIs(t, render.NewLogs(broken{gone}, render.Style{}, render.LogOptions{}).Line(sdk.LogLine{}), gone)
	// One that is only told at the end of what is at hand would be told never.
	flood := render.NewLogs(broken{gone}, render.Style{}, render.LogOptions{})
	line := sdk.LogLine{Text: bytes.Repeat([]byte("x"), 40<<10), More: true}
	require.NoError(t, flood.Line(line))
	require.ErrorIs(t, flood.Line(line), gone)
}

// Lines that come in pieces, with the lines of others between.
func TestLogPieces(t *testing.T) {
	at := time.Date(2026, 5, 1, 10, 0, 0, 20_000_000, time.FixedZone("", 7200))
	lines := []sdk.LogLine{
		{Component: "api", Time: at, Text: []byte("one, "), Open: true},
		{Component: "api", Time: at, Text: []byte("still one")},
		{Component: "api", Time: at, Text: []byte("broken "), Open: true},
		{Component: "db", Time: at.Add(time.Second), Text: []byte("of db")},
		{Component: "api", Time: at, Text: []byte("off")},
		{Component: "api", Time: at, Text: []byte("lost "), Open: true},
		{Component: "api", Time: at, Text: []byte("anew"), Skipped: 7},
		{Component: "db", Time: at, Text: []byte("no newline"), Open: true},
	}
	for name, tt := range map[string]struct {
		opts render.LogOptions
		want string
	}{
		"prefix": {
			render.LogOptions{Names: []string{"api", "db"}, Raw: true},
			"api | one, still one\napi | broken \ndb  | of db\napi | off\napi | lost \napi | anew\ndb  | no newline\n",
		},
		"raw": {render.LogOptions{Raw: true}, "one, still one\nbroken of db\noff\nlost anew\nno newline"},
		"time": {
			render.LogOptions{Raw: true, Timestamps: true},
			"2026-05-01T08:00:00.020Z one, still one\n2026-05-01T08:00:00.020Z broken \n2026-05-01T08:00:01.020Z of db\n" +
				"2026-05-01T08:00:00.020Z off\n2026-05-01T08:00:00.020Z lost \n2026-05-01T08:00:00.020Z anew\n2026-05-01T08:00:00.020Z no newline\n",
		},
		"both": {
			render.LogOptions{Names: []string{"api"}, Timestamps: true},
			"api | 2026-05-01T08:00:00.020Z one, still one\napi | 2026-05-01T08:00:00.020Z broken \n2026-05-01T08:00:01.020Z of db\n" +
				"api | 2026-05-01T08:00:00.020Z off\napi | 2026-05-01T08:00:00.020Z lost \napi | 2026-05-01T08:00:00.020Z anew\n2026-05-01T08:00:00.020Z no newline\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			logs := render.NewLogs(&out, render.Style{}, tt.opts)
			for _, line := range lines {
				require.NoError(t, logs.Line(line))
			}
			require.NoError(t, logs.Close())
			require.Equal(t, tt.want, out.String())
		})
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestStatusLine(t *testing.T) {
	var out bytes.Buffer
	talk := render.NewTalk(&out, render.Style{}, func() int { return 12 })
	talk.Status("")
	talk.Status("waiting for everything")
	talk.Line("done")
	talk.Status("")
	talk.Line("end")
	const clearLine = "\r\x1b[K"
	require.Equal(t, clearLine+"waiting fo…"+clearLine+"done\nwaiting fo…"+clearLine+"end\n", out.String())

	out.Reset()
	talk = render.NewTalk(&out, render.Style{}, nil)
	talk.Status("waiting")
	talk.Line("done")
	require.Equal(t, "done\n", out.String(), "a status line away from a terminal")
}

func TestUnits(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1 KiB", 3250586: "3.1 MiB", 1<<20 - 1: "1 MiB", 64 << 20: "64 MiB", 5 << 40: "5 TiB",
	} {
		require.Equal(t, want, render.Size(n))
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", 61 * time.Minute: "1 h", 47 * time.Hour: "47 h", 50 * time.Hour: "2 d",
	} {
		require.Equal(t, want, render.Age(d))
	}
	require.Equal(t, "1 link, 0 links, 2 links", render.Count(1, "link")+", "+render.Count(0, "link")+", "+render.Count(2, "link"))
	require.Equal(t, "sha256:1c9f2ab0…", render.Digest(digestA))
	require.Equal(t, "", render.Digest(""))
}

// What schema prints fits a terminal, but for the forms, which are not broken.
func TestSchema(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, render.Schema(&out, render.Style{}))
	for _, name := range schema.Names() {
		require.Contains(t, out.String(), "\n  "+name+"  ")
	}
	for line := range strings.Lines(out.String()) {
		if strings.HasPrefix(line, "      ") && !strings.Contains(line, "for example:") {
			require.LessOrEqual(t, utf8.RuneCountInString(line), 89, line)
		}
	}
	for _, name := range []string{"healthcheck", "capabilities", "files"} {
		out.Reset()
		require.NoError(t, render.Property(&out, schema.Lookup(name), render.Style{}))
		golden(t, "schema-"+name, out.String())
	}
}

func TestDiff(t *testing.T) {
	text := "diff a a\n--- a\n+++ a\n@@ -1 +1 @@\n \tb\x1b[2J\r\n-c\n+d\n"
	var out strings.Builder
	require.NoError(t, render.Diff(&out, text, render.Style{}, false))
	require.Equal(t, text, out.String(), "what is applied must be exact")
	out.Reset()
	require.NoError(t, render.Diff(&out, text, render.Style{}, true))
	require.Equal(t, "diff a a\n--- a\n+++ a\n@@ -1 +1 @@\n \tb\\x1b[2J\\r\n-c\n+d\n", out.String())
	out.Reset()
	require.NoError(t, render.Diff(&out, text, render.Style{Color: true}, true))
	require.Contains(t, out.String(), "\x1b[31m-c\x1b[0m\n\x1b[32m+d\x1b[0m\n")
	require.NotContains(t, out.String(), "\x1b[2J")
}
