package native_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/container"
)

// Many containers, each with an exec, at once from Create to Remove: none stands
// in another's way, and nothing of them is left.
func TestManyAtOnce(t *testing.T) {
	n := 20
	if os.Getenv("CTST_TEST_LONG") != "" { // as make test-long sets it
		n = 200
	}
	p := newProject(t)
	usual := p.config(t, "", "sleep", "1000")
	life := func(name string) error {
		cfg := usual
		cfg.Name = name
		id, err := p.Create(t.Context(), cfg)
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if _, err := p.Start(t.Context(), id); err != nil {
			return fmt.Errorf("start: %w", err)
		}
		result, err := p.Exec(t.Context(), id, container.ExecOptions{Args: []string{"sh", "-c", "exit 7"}})
		if err == nil && result.Exit.Code != 7 {
			err = fmt.Errorf("exit code %d", result.Exit.Code)
		}
		if err != nil {
			return fmt.Errorf("exec: %w", err)
		}
		if err := p.Stop(t.Context(), id, container.StopOptions{}); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
		return p.Remove(t.Context(), id, container.RemoveOptions{})
	}
	began := time.Now()
	errs := make(chan error, n)
	for i := range n {
		go func() {
			name := fmt.Sprintf("c%d", i)
			if err := life(name); err != nil {
				errs <- fmt.Errorf("%s: %w", name, err)
				return
			}
			errs <- nil
		}()
	}
	var all []error
	for range n {
		all = append(all, <-errs)
	}
	require.NoError(t, errors.Join(all...))
	t.Logf("%d lives at once: %v", n, time.Since(began))

	infos, err := p.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, infos)
	h, err := cgroup.Find()
	require.NoError(t, err)
	for _, dir := range []string{filepath.Join(h.Mount, cgroup.Path(p.opts.Project, "*/")), filepath.Join(p.opts.RunDir, "containers/*")} {
		left, err := filepath.Glob(dir)
		require.NoError(t, err)
		require.Empty(t, left)
	}
}
