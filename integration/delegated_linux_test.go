package integration

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/cgroup/scope"
	"github.com/containust/containust/modules/core/kerneltest"
)

// Without systemd, an ordinary user's projects have cgroups in the caller's, if
// that was delegated.
func TestDelegated(t *testing.T) {
	if scope.Booted() {
		t.Skip("a user's cgroups come from systemd here")
	}
	if os.Geteuid() != 0 {
		own, err := cgroup.Of(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		bin := os.Getenv(binEnv)
		testscript.Run(t, testscript.Params{
			Files: []string{"testdata/script/delegated_life.txtar"}, RequireExplicitExec: true,
			Cmds: commands(filepath.Join(bin, "app")),
			Setup: func(env *testscript.Env) error {
				env.Setenv("OWN", own)
				return setup(env, bin)
			},
		})
		return
	}
	kerneltest.RequireRoot(t)
	h, err := cgroup.Find()
	if err != nil {
		kerneltest.Missing(t, "cgroup", "%v", err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "testdata"), os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	build(t, filepath.Join(bin, "ctst"), cliPackage)
	build(t, filepath.Join(bin, "app"), appPackage)

	// These tests are in it while the user's run, who are in it by that.
	home := filepath.Join(h.Mount, "containust-delegated-"+strconv.Itoa(os.Getpid()))
	before, err := cgroup.Of(os.Getpid())
	if err == nil {
		err = os.Mkdir(home, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	move := func(to string) error {
		return os.WriteFile(filepath.Join(to, "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0)
	}
	t.Cleanup(func() {
		if err := errors.Join(move(before), os.Remove(home)); err != nil {
			t.Error(err)
		}
	})
	for name, mode := range map[string]os.FileMode{"": 0o777, "cgroup.procs": 0o666, "cgroup.subtree_control": 0o666} {
		if err := os.Chmod(filepath.Join(home, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := move(home); err != nil {
		t.Fatal(err)
	}
	kerneltest.AsUser(t, dir, "^TestDelegated$", binEnv+"="+bin)
}
