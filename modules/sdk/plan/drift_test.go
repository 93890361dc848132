package plan_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

func TestLook(t *testing.T) {
	dir := t.TempDir()
	layer := filepath.Join(dir, "layer")
	require.NoError(t, os.MkdirAll(plan.VolumeDir(dir, "kept"), 0o700))
	require.NoError(t, os.Mkdir(layer, 0o700))
	with := func(layer string, volumes ...string) *state.Component {
		c := have(want(nil))
		c.Spec.Layers = []container.Layer{{Path: layer}, {}}
		for _, v := range volumes {
			c.Spec.Mounts = append(c.Spec.Mounts, container.Mount{Kind: container.MountVolume, Source: v, Target: "/" + v})
		}
		// Neither a folder of the host nor memory is the project's to lose.
		c.Spec.Mounts = append(c.Spec.Mounts, container.Mount{Kind: container.MountBind, Source: filepath.Join(dir, "none"), Target: "/none"},
			container.Mount{Kind: container.MountTmpfs, Target: "/tmp"})
		return c
	}
	never := with(layer, "gone")
	never.Started = time.Time{}
	found, err := plan.Look(dir, &state.State{Components: map[string]*state.Component{
		"whole": with(layer, "kept"), "half": with(layer, "gone", "kept", "gone"), "bare": with(filepath.Join(dir, "no-layer"), "kept"), "never": never,
	}})
	require.NoError(t, err)
	require.Equal(t, plan.Found{
		"half": {Started: began, Volumes: []string{"gone"}}, "bare": {Started: began, Image: true},
	}, found)

	if os.Geteuid() > 0 { // neither root nor Windows, where modes don't keep out
		require.NoError(t, os.Chmod(dir, 0))
		t.Cleanup(func() { _ = os.Chmod(dir, 0o700) })
		_, err := plan.Look(dir, &state.State{Components: map[string]*state.Component{"half": with(layer, "gone")}})
		require.ErrorIs(t, err, os.ErrPermission, "what cannot be seen is not gone")
	}
}
