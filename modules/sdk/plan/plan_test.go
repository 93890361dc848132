package plan_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

var key = []byte("project key")

func want(change func(*plan.Desired)) plan.Desired {
	cfg := container.Config{
		Name: "api", Args: []string{"/api"}, Env: []string{"LOG_LEVEL=info"},
		Network: container.Network{Mode: container.NetworkProject},
	}
	d := plan.Desired{Config: cfg, Image: state.Image{Source: "tar://api.tar", Digest: "sha256:1"}}
	if change != nil {
		change(&d)
	}
	d.Shown = d.Config
	return d
}

func have(d plan.Desired) *state.Component {
	return &state.Component{
		Spec: d.Shown, Digest: plan.Digest(key, d), Secrets: plan.Secrets(key, d), Image: d.Image, DependsOn: d.DependsOn,
		Status: container.StatusRunning, PID: 1, Started: began,
	}
}

var (
	began = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ended = began.Add(time.Hour)
)

// ending makes a component's process have ended.
func ending(c *state.Component, status container.Status, reason string) *state.Component {
	c.Status, c.PID, c.Reason, c.Finished = status, 0, reason, ended
	return c
}

func TestMake(t *testing.T) {
	job := want(func(d *plan.Desired) { d.Config.Job = true })
	secret := func(value, level string) plan.Desired {
		d := want(func(d *plan.Desired) { d.Config.Env = []string{"TOKEN=" + value, "LOG_LEVEL=" + level} })
		d.Shown.Env = []string{"TOKEN=${secret.t}", "LOG_LEVEL=" + level}
		return d
	}
	older := have(secret("one", "info"))
	older.Secrets = nil // of a version that did not keep it
	killed := ending(have(want(nil)), container.StatusExited, "ended by signal 9")
	killed.Exit = &container.ExitStatus{Code: 137, Signal: 9}
	stopped := ending(have(want(nil)), container.StatusExited, "stopped")
	stopped.Stopped = true
	waiting := ending(have(want(nil)), container.StatusExited, "exited with code 3")
	waiting.Restarting = true
	mounted := want(func(d *plan.Desired) {
		d.Config.Mounts = []container.Mount{{Kind: container.MountVolume, Source: "data", Target: "/data"}}
	})
	unmounted := have(mounted)
	lost := plan.Found{"api": {Started: began, Volumes: []string{"data"}}}
	lostVolume := plan.Reason{Property: "volumes", Text: `the folder of volume "data" is gone, and what was in it; ctst did not remove it`, Drift: true}
	lostImage := plan.Reason{Property: "image", Text: "it is gone from the store, and is to be imported again", Drift: true}

	stopping := have(want(nil))
	stopping.Status = container.StatusStopping

	for name, tt := range map[string]struct {
		desired []plan.Desired
		have    *state.Component
		found   plan.Found
		want    plan.Action
		drift   bool
		reasons []plan.Reason
	}{
		"new":  {[]plan.Desired{want(nil)}, nil, nil, plan.Create, false, nil},
		"same": {[]plan.Desired{want(nil)}, have(want(nil)), nil, plan.Keep, false, nil},
		"gone": {nil, have(want(nil)), nil, plan.Remove, false, []plan.Reason{{Text: "no longer in the file"}}},
		"died": {
			[]plan.Desired{want(nil)},
			killed, nil, plan.Start, true,
			[]plan.Reason{{Text: "ended by signal 9 (exit code 137)", Drift: true, Since: ended}},
		},
		"stopped": {
			[]plan.Desired{want(nil)},
			stopped, nil, plan.Start, false,
			[]plan.Reason{{Text: "stopped", Since: ended}},
		},
		"backs off": {
			[]plan.Desired{want(nil)},
			waiting, nil, plan.Start, true,
			[]plan.Reason{{Text: "exited with code 3; its restart policy is about to start it again", Drift: true, Since: ended}},
		},
		"never started": {
			[]plan.Desired{want(nil)},
			ending(have(want(nil)), container.StatusCreated, ""), nil, plan.Start, false,
			[]plan.Reason{{Text: "created, but never started"}},
		},
		"died and changed": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Config.StopTimeout = time.Minute })},
			killed, nil, plan.Start, false,
			[]plan.Reason{
				{Text: "ended by signal 9 (exit code 137)", Drift: true, Since: ended},
				{Property: "stop_timeout", Old: "10s", New: "1m"},
			},
		},
		"job done": {[]plan.Desired{job}, ending(have(job), container.StatusCompleted, ""), nil, plan.Keep, false, nil},
		"job failed": {
			[]plan.Desired{job},
			ending(have(job), container.StatusFailed, "dependency db: exited with code 3"), nil, plan.Start, false,
			[]plan.Reason{{Text: "failed: dependency db: exited with code 3", Since: ended}},
		},
		"job done, another check": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Config.Job, d.Config.Restart.Policy = true, container.RestartOnFailure })},
			ending(have(job), container.StatusCompleted, ""), nil, plan.Update, false,
			[]plan.Reason{{Property: "restart", Old: "never", New: "on-failure"}},
		},
		"environment": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Config.Env = []string{"LOG_LEVEL=debug", "NEW=1"} })},
			have(want(nil)), nil, plan.Replace, false,
			[]plan.Reason{{Property: "env.LOG_LEVEL", Old: "info", New: "debug"}, {Property: "env.NEW", New: "1"}},
		},
		"environment of a connection": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Config.Env = []string{"LOG_LEVEL=info", "DB_PORT=5433"}
				d.Injected = map[string]string{"DB_PORT": "db"}
			})},
			have(want(func(d *plan.Desired) { d.Config.Env = []string{"LOG_LEVEL=info", "DB_PORT=5432"} })), nil, plan.Replace, false,
			[]plan.Reason{{Property: "env.DB_PORT", Old: "5432", New: "5433", Text: "from db"}},
		},
		"image on disk": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Image.Digest = "sha256:2" })},
			have(want(nil)), nil, plan.Replace, true,
			[]plan.Reason{{Property: "image", Old: "sha256:1", New: "sha256:2", Text: "api.tar changed on disk", Drift: true}},
		},
		"another pin": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Image = state.Image{Source: "tar://api.tar@sha256:2", Digest: "sha256:2"} })},
			have(want(func(d *plan.Desired) { d.Image.Source += "@sha256:1" })), nil, plan.Replace, true,
			[]plan.Reason{{Property: "image", Old: "sha256:1", New: "sha256:2", Text: "api.tar changed on disk", Drift: true}},
		},
		"another image": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Image = state.Image{Source: "file://api", Digest: "sha256:2"} })},
			have(want(nil)), nil, plan.Replace, false,
			[]plan.Reason{{Property: "image", Old: "sha256:1", New: "sha256:2", Text: "tar://api.tar → file://api"}},
		},
		"image away": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Image.Digest = "" })},
			have(want(nil)), nil, plan.Keep, true,
			[]plan.Reason{{Property: "image", Text: "api.tar is not there any more", Drift: true}},
		},
		"limits": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Config.Resources = container.Resources{Memory: 128 << 20, MemorySwap: 1, CPUs: 0.5, CPUWeight: 3, PIDs: 4, IO: &container.IO{Weight: 5, ReadBPS: 2e6}}
			})},
			have(want(func(d *plan.Desired) { d.Config.Resources.Memory = 64 << 20 })), nil, plan.Update, false,
			[]plan.Reason{
				{Property: "cpu", New: 0.5},
				{Property: "cpu_weight", New: 3},
				{Property: "io.read_bps", New: "2MB"},
				{Property: "io.weight", New: 5},
				{Property: "memory", Old: "64MiB", New: "128MiB"},
				{Property: "memory_swap", New: "1"},
				{Property: "pids", New: 4},
			},
		},
		"ulimits": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Config.Resources.Rlimits = []container.Rlimit{{Name: "nofile", Soft: 1024, Hard: 4096}, {Name: "core", Soft: -1, Hard: -1}}
			})},
			have(want(nil)), nil, plan.Replace, false,
			[]plan.Reason{{Property: "ulimits.core", New: "-1"}, {Property: "ulimits.nofile", New: "1024:4096"}},
		},
		"restart policy": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Config.Restart = container.Restart{Policy: container.RestartOnFailure, Max: 3}
			})},
			have(want(nil)), nil, plan.Update, false,
			[]plan.Reason{{Property: "restart", Old: "never", New: "on-failure:3"}},
		},
		"health check": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Config.Health = &container.Health{TCP: 80, Interval: time.Minute, Timeout: time.Second, Retries: 3}
			})},
			have(want(func(d *plan.Desired) {
				d.Config.Health = &container.Health{HTTP: ":80/", Interval: 2 * time.Hour, Timeout: time.Second, Retries: 3}
			})), nil, plan.Update, false,
			[]plan.Reason{
				{Property: "healthcheck.http", Old: ":80/"},
				{Property: "healthcheck.interval", Old: "2h", New: "1m"},
				{Property: "healthcheck.tcp", New: 80},
			},
		},
		"network": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Config.Network.Links = []string{"db", "queue"}
				d.Config.Network.Expose = []container.Exposure{{Address: "::1", HostPort: 53, ContainerPort: 5353, Protocol: "udp"}}
				d.DependsOn = []string{"db", "queue"}
			})},
			have(want(func(d *plan.Desired) { d.Config.Network.Links, d.DependsOn = []string{"db"}, []string{"db"} })), nil, plan.Update, false,
			[]plan.Reason{
				{Property: "expose", New: []string{"[::1]:53:5353/udp"}},
				{Property: "links", Old: []string{"db"}, New: []string{"db", "queue"}},
				{Property: "starts_after", Old: []string{"db"}, New: []string{"db", "queue"}},
			},
		},
		"only the order": {
			[]plan.Desired{want(nil)},
			have(want(func(d *plan.Desired) { d.DependsOn = []string{"db"} })), nil, plan.Update, false,
			[]plan.Reason{{Property: "starts_after", Old: []string{"db"}}},
		},
		"mounts and files": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Config.Mounts = []container.Mount{
					{Kind: container.MountBind, Source: "/srv", Target: "/srv", ReadOnly: true},
					{Kind: container.MountVolume, Source: "data", Target: "/data"},
					{Kind: container.MountTmpfs, Target: "/tmp", Size: 64 << 20},
					{Kind: container.MountTmpfs, Target: "/run"},
				}
				d.Config.Files = []container.File{{Path: "/a", Content: []byte("abc"), Mode: 0o400}}
			})},
			have(want(nil)), nil, plan.Replace, false,
			[]plan.Reason{
				{Property: "files./a", New: "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad, mode 0400"},
				{Property: "tmpfs", New: []string{"/tmp:64MiB", "/run"}},
				{Property: "volumes", New: []string{"/srv:/srv:ro", "data:/data"}},
			},
		},
		"secret": {
			[]plan.Desired{secret("two", "info")},
			have(secret("one", "info")), nil, plan.Replace, false,
			[]plan.Reason{{Property: "env.TOKEN", Text: "a secret changed"}},
		},
		"secret and more": {
			[]plan.Desired{secret("two", "debug")},
			have(secret("one", "info")), nil, plan.Replace, false,
			[]plan.Reason{{Property: "env.LOG_LEVEL", Old: "info", New: "debug"}, {Property: "env.TOKEN", Text: "a secret changed"}},
		},
		"secret, older state": {
			[]plan.Desired{secret("two", "info")},
			older, nil, plan.Replace, false,
			[]plan.Reason{{Text: "a secret changed, or it was deployed under another key or by another version of ctst"}},
		},
		"secret is literal now": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Config.Env = []string{"TOKEN=one", "LOG_LEVEL=info"} })},
			have(secret("one", "info")), nil, plan.Update, false,
			[]plan.Reason{{Property: "env.TOKEN", Old: "${secret.t}", New: "one"}},
		},
		"being stopped": {
			[]plan.Desired{want(nil)}, stopping, nil, plan.Start, true, []plan.Reason{{Text: "stopping", Drift: true}},
		},
		"volume lost": {[]plan.Desired{mounted}, unmounted, lost, plan.Replace, true, []plan.Reason{lostVolume}},
		"volume lost, died": {
			[]plan.Desired{mounted},
			ending(have(mounted), container.StatusExited, "exited with code 1"), lost, plan.Start, true,
			[]plan.Reason{{Text: "exited with code 1", Drift: true, Since: ended}, lostVolume},
		},
		"volume lost in an earlier life": {
			[]plan.Desired{mounted}, have(mounted), plan.Found{"api": {Started: began.Add(-1), Volumes: []string{"data"}}}, plan.Keep, false, nil,
		},
		"volume lost and given up": {
			[]plan.Desired{want(nil)},
			have(mounted), lost, plan.Replace, false,
			[]plan.Reason{{Property: "volumes", Old: []string{"data:/data"}}},
		},
		"image lost": {[]plan.Desired{want(nil)}, have(want(nil)), plan.Found{"api": {Started: began, Image: true}}, plan.Replace, true, []plan.Reason{lostImage}},
		"image of a done job lost": {
			[]plan.Desired{job}, ending(have(job), container.StatusCompleted, ""), plan.Found{"api": {Started: began, Image: true}}, plan.Keep, false, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := &state.State{Serial: 4, Components: map[string]*state.Component{}}
			if tt.have != nil {
				st.Components["api"] = tt.have
			}
			p := plan.Make(key, tt.desired, st, tt.found)
			require.Len(t, p.Changes, 1)
			got := p.Changes[0]
			require.Equal(t, tt.want, got.Action)
			require.Equal(t, tt.reasons, got.Reasons)
			require.Equal(t, tt.drift, got.Drift)
			require.Equal(t, uint64(4), p.Serial)
			require.Equal(t, tt.want == plan.Keep, p.Empty())
			require.Equal(t, tt.want, p.Action("api"))
			text, err := json.Marshal(p)
			require.NoError(t, err)
			require.NotContains(t, string(text), "TOKEN=")
			require.NotContains(t, string(text), `"two"`)
		})
	}
}

func TestDigestNeedsTheKey(t *testing.T) {
	cfg := want(nil)
	require.Equal(t, plan.Digest(key, cfg), plan.Digest(key, cfg))
	require.NotEqual(t, plan.Digest(key, cfg), plan.Digest([]byte("another"), cfg))
}

// TestDiffSeesEverything changes each field of a specification: one that Diff
// does not know would be a change without a reason.
func TestDiffSeesEverything(t *testing.T) {
	var walk func(t *testing.T, path string, field func(*container.Config) reflect.Value)
	walk = func(t *testing.T, path string, field func(*container.Config) reflect.Value) {
		var old, new container.Config
		v := field(&new)
		switch {
		case path == "Name" || path == "Layers" || path == "Resources.Lenient":
			return // what identifies it, what the image's digest stands for, and what says how it is started
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				walk(t, path+"."+v.Type().Field(i).Name, func(c *container.Config) reflect.Value { return field(c).Field(i) })
			}
			return
		case v.Kind() == reflect.Pointer:
			for i := range v.Type().Elem().NumField() {
				walk(t, path+"."+v.Type().Elem().Field(i).Name, func(c *container.Config) reflect.Value {
					p := field(c)
					if p.IsNil() {
						p.Set(reflect.New(p.Type().Elem()))
					}
					return p.Elem().Field(i)
				})
			}
			return
		}
		field(&old) // the pointers on the way
		fill(t, v)
		require.NotEmpty(t, plan.Diff(old, new), path)
	}
	for i := range reflect.TypeFor[container.Config]().NumField() {
		walk(t, reflect.TypeFor[container.Config]().Field(i).Name, func(c *container.Config) reflect.Value {
			return reflect.ValueOf(c).Elem().Field(i)
		})
	}
}

// fill gives a field a value that is not its zero value.
func fill(t *testing.T, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint16, reflect.Uint32:
		v.SetUint(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf("y"))
	default:
		t.Fatalf("a kind of field that is new: %s", v.Kind())
	}
}

// TestDigestIsStable: a digest that came out another way would have every
// project that runs replaced by the next version.
func TestDigestIsStable(t *testing.T) {
	d := plan.Desired{Image: state.Image{Source: "tar://x", Digest: "sha256:1"}, Config: container.Config{
		Name: "api", Args: []string{"/api"}, Env: []string{"A=1"}, ReadOnly: true, Layers: []container.Layer{{Digest: "x"}},
		Mounts:    []container.Mount{{Kind: container.MountVolume, Source: "d", Target: "/d"}},
		Resources: container.Resources{Rlimits: []container.Rlimit{{Name: "nofile", Soft: 1, Hard: 2}}},
		Network:   container.Network{Mode: container.NetworkProject, Links: []string{"db"}},
		Health:    &container.Health{TCP: 80}, Restart: container.Restart{Policy: container.RestartAlways},
		StopSignal: "SIGINT", StopTimeout: time.Second, Labels: map[string]string{"a": "b"},
	}}
	require.Equal(t, "cc53ed2817b3c61b9701dbbf7c3e1341ae83a8d3e60d48c1f0acf0da61535cfe", plan.Digest(key, d))
	d.Config.Resources.Rlimits = nil
	require.Equal(t, "ae42095d8d7e3647e7e83ed6a3a56daba836f333a3a4c2b7b2e002b76ff525ad", plan.Digest(key, d))
}
