package faults

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/integration/traces"
	"github.com/containust/containust/modules/core/kerneltest"
)

// patience is what a busy machine may take for what takes no time.
const patience = 30 * time.Second

// longEnv makes the suite try many more moments; make test-long sets it.
const longEnv = "CTST_TEST_LONG"

func rounds(usual, long int) int {
	if os.Getenv(longEnv) != "" {
		return long
	}
	return usual
}

// programs are built once, into a folder that TestMain removes.
var programs struct {
	sync.Mutex
	dir string
}

func TestMain(m *testing.M) {
	code := kerneltest.Main(m, kerneltest.Leaks{})
	if programs.dir != "" {
		_ = os.RemoveAll(programs.dir) // in a temporary folder
	}
	os.Exit(code)
}

// built returns the path of a static program.
func built(t *testing.T, pkg string) string {
	t.Helper()
	programs.Lock()
	defer programs.Unlock()
	if programs.dir == "" {
		dir, err := os.MkdirTemp("", "faults-")
		require.NoError(t, err)
		programs.dir = dir
	}
	path := filepath.Join(programs.dir, filepath.Base(pkg))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	require.NoError(t, kerneltest.Build(path, pkg))
	return path
}

// project is a folder with an image, root, that holds the program of the script
// tests as /app.
type project struct {
	dir string
	env []string
}

// newProject makes a project of one file in a folder. At the end it is stopped,
// and nothing may be left of it.
func newProject(t *testing.T, dir, file string) *project {
	t.Helper()
	kerneltest.RequireRoot(t)
	p := &project{dir: dir, env: append(os.Environ(), "CONTAINUST_CACHE_DIR="+filepath.Join(dir, ".cache"))}
	p.write(t, "x.ctst", file)
	program, err := os.ReadFile(built(t, "github.com/containust/containust/integration/testdata/app"))
	require.NoError(t, err)
	require.NoError(t, os.Mkdir(p.path("root"), 0o755))
	require.NoError(t, os.WriteFile(p.path("root/app"), program, 0o755))
	t.Cleanup(func() {
		if _, err := os.Stat(p.path(".containust")); err == nil {
			p.ctst(t, "stop", "--force")
			p.clean(t)
		}
	})
	return p
}

func (p *project) path(name string) string { return filepath.Join(p.dir, name) }

func (p *project) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.path(name), []byte(text), 0o644))
}

func (p *project) command(t *testing.T, args ...string) *exec.Cmd {
	cmd := exec.Command(built(t, "github.com/containust/containust/modules/cli/cmd/ctst"), args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	return cmd
}

// try runs the command and returns all that it wrote, and its exit code.
func (p *project) try(t *testing.T, args ...string) (said string, code int) {
	t.Helper()
	cmd := p.command(t, args...)
	out, err := cmd.CombinedOutput()
	require.NotNil(t, cmd.ProcessState, "%v", err)
	return string(out), cmd.ProcessState.ExitCode()
}

// ctst runs the command, which must succeed, and returns all that it wrote.
func (p *project) ctst(t *testing.T, args ...string) string {
	t.Helper()
	said, code := p.try(t, args...)
	require.Zero(t, code, "ctst %v\n%s", args, said)
	return said
}

// killed starts the command and kills it after a random part of the time.
func (p *project) killed(t *testing.T, within time.Duration, args ...string) {
	t.Helper()
	cmd := p.command(t, args...)
	require.NoError(t, cmd.Start())
	time.Sleep(rand.N(within))
	_ = cmd.Process.Kill() // which may have ended
	_ = cmd.Wait()
}

// component is what ps says of one.
type component struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	PID    int    `json:"pid"`
}

// components asks for all, and holds what is said against the kernel: what runs
// has a process, and what does not has none. What ended just then is asked again.
func (p *project) components(t *testing.T) (found map[string]component) {
	t.Helper()
	require.Eventually(t, func() bool {
		found = p.list(t)
		for _, c := range found {
			if c.Status == "running" && !traces.Alive(c.PID) {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond, "what runs has a process: %v", found)
	return found
}

func (p *project) list(t *testing.T) map[string]component {
	t.Helper()
	out, err := p.command(t, "ps", "--all", "--json").Output()
	require.NoError(t, err)
	var list []component
	require.NoError(t, json.Unmarshal(out, &list))
	found := map[string]component{}
	for _, c := range list {
		found[c.ID] = c
		switch c.Status {
		case "running", "starting", "stopping": // the latter may have one
		default:
			require.Zero(t, c.PID, c.ID)
		}
	}
	return found
}

// running requires that exactly the named components run.
func (p *project) running(t *testing.T, names ...string) map[string]component {
	t.Helper()
	found := p.components(t)
	var run []string
	for name, c := range found {
		if c.Status == "running" {
			run = append(run, name)
		}
	}
	slices.Sort(run)
	require.Equal(t, names, run)
	return found
}

// clean requires that nothing of the project is on the machine, or soon will be.
func (p *project) clean(t *testing.T) {
	t.Helper()
	projects, err := traces.Below(p.path(".containust"))
	require.NoError(t, err)
	var left []string
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		left = nil
		for _, project := range projects {
			found, err := traces.Of(project, "")
			require.NoError(t, err)
			for kind, of := range found {
				for _, what := range of {
					left = append(left, kind+" "+what)
				}
			}
		}
		if left == nil {
			return
		}
	}
	require.Empty(t, left, "left behind")
}

// kill ends the project's own processes that are there.
func (p *project) kill(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile(p.path(".containust/run/" + name + ".pid"))
		if err != nil {
			continue
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		require.NoError(t, err)
		// The number may be another's by now.
		command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err == nil && strings.Contains(string(command), p.dir) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// median is about how long the command takes here and now.
func (p *project) median(t *testing.T, prepare func(), args ...string) time.Duration {
	t.Helper()
	var times []time.Duration
	for range 3 {
		prepare()
		began := time.Now()
		p.ctst(t, args...)
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	return times[1]
}

// archive returns a folder as a tar archive.
func archive(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	require.NoError(t, w.AddFS(os.DirFS(dir)))
	require.NoError(t, w.Close())
	return b.Bytes()
}
