package integration

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/containust/containust/modules/core/cgroup/scope"
	"github.com/containust/containust/modules/core/kerneltest"
)

// TestSystemd runs the scripts for a machine that systemd runs, as root or as a
// user with a manager.
func TestSystemd(t *testing.T) {
	if !scope.Booted() {
		kerneltest.Missing(t, "systemd", "needs a machine that systemd runs")
	}
	bin := t.TempDir()
	build(t, filepath.Join(bin, "ctst"), cliPackage)
	build(t, filepath.Join(bin, "app"), appPackage)
	manager, top := "--system", "/sys/fs/cgroup/machine.slice"
	if os.Geteuid() != 0 {
		m, err := scope.Ask(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		manager, top = "--user", filepath.Join(m.Dir, "user.slice")
	}
	files, err := filepath.Glob("testdata/script/systemd_*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: files, RequireExplicitExec: true, Cmds: commands(filepath.Join(bin, "app")),
		Setup: func(env *testscript.Env) error {
			err := setup(env, bin)
			env.Setenv("XDG_RUNTIME_DIR", os.Getenv("XDG_RUNTIME_DIR"))
			env.Setenv("MANAGER", manager)
			env.Setenv("TOP", top)
			return err
		},
	})
}
