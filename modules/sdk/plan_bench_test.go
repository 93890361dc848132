package sdk_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

// BenchmarkPlan plans 10,000 components with 20,000 links, with 100 folders as
// their images: from the text of the file to the plan, against a state in which
// each component is there and one setting of it was another.
func BenchmarkPlan(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("folders are read on Linux")
	}
	const components, images = 10_000, 100
	dir := b.TempDir()
	for i := range images {
		require.NoError(b, os.MkdirAll(filepath.Join(dir, "images", fmt.Sprint(i)), 0o755))
	}
	var text strings.Builder
	for i := range components {
		fmt.Fprintf(&text, `COMPONENT c%d {
    image   = "file://./images/%[2]d"
    command = ["/app", "--listen", ":8080"]
    port    = 8080
    env     = { LOG_LEVEL = "info", NAME = "${self.name}" }
    restart = "on-failure"
    healthcheck = { http = ":8080/healthz", interval = "2s" }
}
`, i, i%images)
	}
	for i := 2; i < components; i++ {
		fmt.Fprintf(&text, "CONNECT c%d -> c%d, c%d\n", i, i/2, i/3)
	}
	file := filepath.Join(dir, "app.ctst")
	require.NoError(b, os.WriteFile(file, []byte(text.String()), 0o600))
	opts := sdk.Options{File: file, CacheDir: filepath.Join(dir, "cache")}
	e, err := sdk.Open(opts)
	require.NoError(b, err)
	d, err := e.Plan(b.Context(), sdk.PlanOptions{})
	require.NoError(b, err)

	stateDir := e.Project().StateDir
	require.NoError(b, os.MkdirAll(stateDir, 0o700))
	store := state.NewStore(stateDir)
	key, err := store.Key()
	require.NoError(b, err)
	st := &state.State{Project: e.Project().Project, Components: map[string]*state.Component{}}
	for _, want := range d.Desired {
		want.Shown.Restart.Policy = container.RestartAlways
		st.Components[want.Config.Name] = &state.Component{
			Spec: want.Shown, Digest: plan.Digest(key, want), Image: want.Image, DependsOn: want.DependsOn,
			Status: container.StatusExited, Reason: "stopped", Stopped: true, Started: time.Now(),
		}
	}
	require.NoError(b, store.Save(st))

	b.ReportAllocs()
	for b.Loop() {
		e, err := sdk.Open(opts)
		require.NoError(b, err)
		d, err := e.Plan(b.Context(), sdk.PlanOptions{})
		require.NoError(b, err)
		require.Equal(b, components, d.Plan.Count(plan.Start))
		order, err := plan.Order(d.Desired)
		require.NoError(b, err)
		require.NotEmpty(b, order)
		_, err = fmt.Fprint(io.Discard, d.Document())
		require.NoError(b, err)
	}
}
