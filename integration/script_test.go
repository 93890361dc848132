package integration

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/containust/containust/integration/traces"
	"github.com/containust/containust/modules/core/kerneltest"
)

// cliPackage is the command under test, and appPackage what its containers run.
const (
	cliPackage = "github.com/containust/containust/modules/cli/cmd/ctst"
	appPackage = "./testdata/app"
)

// TestScripts runs the scripts in testdata/script on the real binary. Those
// named kernel_* deploy, and need Linux and root; those named limits_* also need
// all controllers of cgroup v2, as the guest of `make test-vm` has them.
func TestScripts(t *testing.T) {
	bin := os.Getenv(binEnv)
	if bin == "" {
		bin = t.TempDir()
		build(t, filepath.Join(bin, exe("ctst")), cliPackage)
		build(t, filepath.Join(bin, "app"), appPackage, "GOOS=linux")
	}
	app := filepath.Join(bin, "app")

	run := func(t *testing.T, pattern string) {
		files, err := filepath.Glob(filepath.Join("testdata", "script", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no scripts %s: %v", pattern, err)
		}
		testscript.Run(t, testscript.Params{
			Files:               files,
			RequireExplicitExec: true,
			Condition: func(name string) (bool, error) {
				switch name {
				case "root":
					return os.Geteuid() == 0, nil
				case "alone": // without subordinate ids
					return strings.HasSuffix(t.Name(), "/alone"), nil
				}
				return false, fmt.Errorf("unknown condition %q", name)
			},
			Setup: func(env *testscript.Env) error { return setup(env, bin) },
			Cmds:  commands(app),
		})
	}
	t.Run("portable", func(t *testing.T) { run(t, "cli_*.txtar") })
	t.Run("kernel", func(t *testing.T) {
		kerneltest.RequireRoot(t)
		run(t, "kernel_*.txtar")
	})
	t.Run("limits", func(t *testing.T) {
		kerneltest.RequireRoot(t)
		kerneltest.RequireLimits(t)
		run(t, "limits_*.txtar")
	})
	t.Run("rootless", func(t *testing.T) {
		if os.Geteuid() != 0 {
			kerneltest.RequireRootless(t)
			run(t, "kernel_*.txtar")
			run(t, "rootless_*.txtar")
			return
		}
		dir := userFolder(t, bin)
		kerneltest.AsUser(t, dir, "^TestScripts$/^rootless$", binEnv+"="+filepath.Join(dir, "bin"))
	})
	t.Run("alone", func(t *testing.T) {
		if os.Geteuid() != 0 {
			kerneltest.RequireRootless(t)
			run(t, "kernel_*.txtar")
			run(t, "alone_*.txtar")
			return
		}
		dir := userFolder(t, bin)
		kerneltest.AsUserAlone(t, dir, "^TestScripts$/^alone$", binEnv+"="+filepath.Join(dir, "bin"))
	})
}

// userFolder copies what the scripts need to where another user can have it: the
// test's own folder may be root's alone, and so may the machine's.
func userFolder(t *testing.T, bin string) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{bin: "bin", "testdata": "testdata"} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// binEnv names the folder that has the programs already, for who cannot build.
const binEnv = "CTST_TEST_BIN"

func exe(name string) string {
	if runtime.GOOS == "windows" {
		return name + ".exe"
	}
	return name
}

// build builds a program without cgo, with more in its environment.
func build(t *testing.T, output, pkg string, env ...string) {
	t.Helper()
	if err := kerneltest.Build(output, pkg, env...); err != nil {
		t.Fatal(err)
	}
}

// setup gives a script its own store, a free port in $PORT, and an end: what it
// deployed is stopped, also when it failed half-way.
func setup(env *testscript.Env, bin string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	env.Setenv("PORT", strconv.Itoa(port))
	env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
	env.Setenv("CONTAINUST_CACHE_DIR", filepath.Join(env.WorkDir, ".cache"))
	if os.Geteuid() != 0 {
		if err := os.Mkdir(filepath.Join(env.WorkDir, ".run"), 0o700); err != nil {
			return err
		}
		env.Setenv("XDG_RUNTIME_DIR", filepath.Join(env.WorkDir, ".run"))
	}
	env.Defer(func() {
		projects, err := traces.Below(env.WorkDir)
		if err != nil {
			env.T().Log("find projects: ", err)
		}
		for _, p := range projects {
			cmd := exec.Command(filepath.Join(bin, exe("ctst")), "-f", p.File, "--state-dir", p.StateDir, "stop", "--force")
			cmd.Env = append(os.Environ(), env.Vars...)
			if out, err := cmd.CombinedOutput(); err != nil {
				env.T().Log(fmt.Sprintf("stop %s: %v\n%s", p.File, err, out))
			}
		}
	})
	return nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

// commands are what the scripts know beside testscript's own.
func commands(app string) map[string]scriptCommand {
	return map[string]scriptCommand{
		// status CODE PROGRAM ARG… runs a program that must exit with the code.
		"status": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < 2 {
				ts.Fatalf("usage: status CODE PROGRAM ARG…")
			}
			want, err := strconv.Atoi(args[0])
			ts.Check(err)
			if got := exitCode(ts, ts.Exec(args[1], args[2:]...)); got != want {
				ts.Fatalf("exit code %d, want %d", got, want)
			}
		},
		// until PROGRAM ARG… runs a program until it succeeds.
		"until": func(ts *testscript.TestScript, neg bool, args []string) {
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
				err := ts.Exec(args[0], args[1:]...)
				if (err == nil) != neg {
					return
				}
				if time.Now().After(deadline) {
					ts.Fatalf("20 s of %s: %v", strings.Join(args, " "), err)
				}
			}
		},
		// root FOLDER… makes root file systems with the test's program in them.
		"root": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, arg := range args {
				ts.Check(makeRoot(ts.MkAbs(arg), app))
			}
		},
		// archive FILE FOLDER writes a folder as a tar archive.
		"archive": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(writeArchive(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
		},
		// digest VARIABLE FILE puts a file's digest into the environment.
		"digest": func(ts *testscript.TestScript, _ bool, args []string) {
			content, err := os.ReadFile(ts.MkAbs(args[1]))
			ts.Check(err)
			sum := sha256.Sum256(content)
			ts.Setenv(args[0], "sha256:"+hex.EncodeToString(sum[:]))
		},
		// truncate FILE cuts a file in the middle.
		"truncate": func(ts *testscript.TestScript, _ bool, args []string) {
			info, err := os.Stat(ts.MkAbs(args[0]))
			ts.Check(err)
			ts.Check(os.Truncate(ts.MkAbs(args[0]), info.Size()/2))
		},
		// replace OLD NEW FILE edits a file.
		"replace": func(ts *testscript.TestScript, _ bool, args []string) {
			text, err := os.ReadFile(ts.MkAbs(args[2]))
			ts.Check(err)
			if !strings.Contains(string(text), args[0]) {
				ts.Fatalf("%s does not contain %q", args[2], args[0])
			}
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(strings.ReplaceAll(string(text), args[0], args[1])), 0o644))
		},
		// ports VARIABLE… puts a free port into each variable.
		"ports": func(ts *testscript.TestScript, _ bool, args []string) {
			for _, arg := range args {
				port, err := freePort()
				ts.Check(err)
				ts.Setenv(arg, strconv.Itoa(port))
			}
		},
		// occupy listens on 127.0.0.1:$PORT until the script ends.
		"occupy": func(ts *testscript.TestScript, _ bool, _ []string) {
			l, err := net.Listen("tcp", "127.0.0.1:"+ts.Getenv("PORT"))
			ts.Check(err)
			ts.Defer(func() { ts.Check(l.Close()) })
		},
		"killpid": killPID,
		"pid":     writePID,
		"machine": machine,
		"serve":   serve,
	}
}

func exitCode(ts *testscript.TestScript, err error) int {
	var exit *exec.ExitError
	if err == nil {
		return 0
	}
	if !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	return exit.ExitCode()
}

// makeRoot makes a root file system that holds the program as /app, and /text,
// which cannot be executed.
func makeRoot(dir, app string) error {
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o755); err != nil {
		return err
	}
	program, err := os.ReadFile(app)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "app"), program, 0o755),
		os.WriteFile(filepath.Join(dir, "text"), []byte("text\n"), 0o644),
		os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte("root:x:0:0::/:/\nguest:x:1000:1000::/:/\n"), 0o644),
	)
}

func writeArchive(path, dir string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	return errors.Join(w.AddFS(os.DirFS(dir)), w.Close())
}

// killPID ends processes with SIGKILL: killpid FILE… where each file holds a
// process id. It returns when they are gone.
func killPID(ts *testscript.TestScript, _ bool, args []string) {
	var pids []int
	for _, arg := range args {
		text, err := os.ReadFile(ts.MkAbs(arg))
		ts.Check(err)
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		ts.Check(err)
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		p, err := os.FindProcess(pid)
		ts.Check(err)
		ts.Check(p.Kill())
	}
	for _, pid := range pids {
		for deadline := time.Now().Add(10 * time.Second); traces.Alive(pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				ts.Fatalf("process %d does not go away", pid)
			}
		}
	}
}

// writePID writes the process id of a component that runs: pid NAME FILE.
func writePID(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pid NAME FILE")
	}
	ts.Check(ts.Exec("ctst", "ps", "--json"))
	var list []struct {
		ID  string `json:"id"`
		PID int    `json:"pid"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	for _, c := range list {
		if c.ID == args[0] && c.PID != 0 {
			ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strconv.Itoa(c.PID)+"\n"), 0o644))
			return
		}
	}
	ts.Fatalf("%s does not run: %s", args[0], ts.ReadFile("stdout"))
}
