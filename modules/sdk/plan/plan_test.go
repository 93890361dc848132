package plan_test

import (
	"testing"

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
		Spec: d.Shown, Digest: plan.Digest(key, d), Image: d.Image,
		Status: container.StatusRunning, PID: 1,
	}
}

func TestMake(t *testing.T) {
	stopped := func(status container.Status, job bool) (plan.Desired, *state.Component) {
		d := want(func(d *plan.Desired) { d.Config.Job = job })
		c := have(d)
		c.Status, c.PID, c.Reason = status, 0, "exited with code 3"
		return d, c
	}
	secret := want(func(d *plan.Desired) { d.Config.Env = []string{"TOKEN=two"} })
	secret.Shown.Env = []string{"TOKEN=${secret.t}"}
	oldSecret := have(want(func(d *plan.Desired) { d.Config.Env = []string{"TOKEN=one"} }))
	oldSecret.Spec.Env = secret.Shown.Env
	exited, exitedState := stopped(container.StatusExited, false)
	done, doneState := stopped(container.StatusCompleted, true)
	failed, failedState := stopped(container.StatusFailed, true)

	for name, tt := range map[string]struct {
		desired []plan.Desired
		have    *state.Component
		want    plan.Change
	}{
		"new":       {[]plan.Desired{want(nil)}, nil, plan.Change{Action: plan.Create}},
		"same":      {[]plan.Desired{want(nil)}, have(want(nil)), plan.Change{Action: plan.Keep}},
		"gone":      {nil, have(want(nil)), plan.Change{Action: plan.Remove, Reasons: []plan.Reason{{Text: "no longer in the file"}}}},
		"not alive": {[]plan.Desired{exited}, exitedState, plan.Change{Action: plan.Start, Reasons: []plan.Reason{{Text: "exited: exited with code 3"}}}},
		"job done":  {[]plan.Desired{done}, doneState, plan.Change{Action: plan.Keep}},
		"job failed": {
			[]plan.Desired{failed},
			failedState,
			plan.Change{Action: plan.Start, Reasons: []plan.Reason{{Text: "failed: exited with code 3"}}},
		},
		"environment": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Config.Env = []string{"LOG_LEVEL=debug", "NEW=1"} })},
			have(want(nil)),
			plan.Change{Action: plan.Replace, Reasons: []plan.Reason{
				{Property: "env.LOG_LEVEL", Old: `"info"`, New: `"debug"`}, {Property: "env.NEW", New: `"1"`},
			}},
		},
		"image": {
			[]plan.Desired{want(func(d *plan.Desired) {
				d.Image.Digest = "sha256:2"
			})},
			have(want(nil)),
			plan.Change{Action: plan.Replace, Reasons: []plan.Reason{{Property: "image", Old: "sha256:1", New: "sha256:2"}}},
		},
		"restart policy": {
			[]plan.Desired{want(func(d *plan.Desired) { d.Config.Restart.Policy = container.RestartAlways })},
			have(want(nil)),
			plan.Change{Action: plan.Update, Reasons: []plan.Reason{{Property: "restart.policy", New: `"always"`}}},
		},
		"secret": {[]plan.Desired{secret}, oldSecret, plan.Change{Action: plan.Replace, Reasons: []plan.Reason{{Text: "a secret changed"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			st := &state.State{Serial: 4, Components: map[string]*state.Component{}}
			if tt.have != nil {
				st.Components["api"] = tt.have
			}
			p := plan.Make(key, tt.desired, st)
			tt.want.Name = "api"
			require.Equal(t, []plan.Change{tt.want}, p.Changes)
			require.Equal(t, uint64(4), p.Serial)
			require.Equal(t, tt.want.Action == plan.Keep, p.Empty())
		})
	}
}

func TestDigestNeedsTheKey(t *testing.T) {
	cfg := want(nil)
	require.Equal(t, plan.Digest(key, cfg), plan.Digest(key, cfg))
	require.NotEqual(t, plan.Digest(key, cfg), plan.Digest([]byte("another"), cfg))
}
