package security

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/kerneltest"
)

var update = flag.Bool("update", false, "rewrite golden files and docs/security.md")

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
		dir, err := os.MkdirTemp("", "security-")
		require.NoError(t, err)
		require.NoError(t, os.Chmod(dir, 0o755))
		programs.dir = dir
	}
	path := filepath.Join(programs.dir, filepath.Base(pkg))
	if _, err := os.Stat(path); err == nil {
		return path
	}
	require.NoError(t, kerneltest.Build(path, pkg))
	return path
}

func ctst(t *testing.T) string {
	return built(t, "github.com/containust/containust/modules/cli/cmd/ctst")
}

func probe(t *testing.T) string { return built(t, "./testdata/probe") }

// project is a folder with an image, root, that holds the probe as /probe, and
// whatever the command makes of it.
type project struct {
	dir string
	env []string
}

// newProject makes a project of one file. At the end it is stopped.
func newProject(t *testing.T, file string) *project {
	t.Helper()
	kerneltest.RequireRoot(t)
	p := &project{dir: t.TempDir()}
	p.env = append(os.Environ(), "CONTAINUST_CACHE_DIR="+filepath.Join(p.dir, ".cache"))
	p.write(t, "x.ctst", file)
	p.write(t, "root/etc/passwd", "root:x:0:0::/:/\nguest:x:1000:1000::/:/\n")
	program, err := os.ReadFile(probe(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(p.path("root/probe"), program, 0o755))
	require.NoError(t, os.Chmod(p.path("root"), 0o755))
	t.Cleanup(func() {
		if _, err := os.Stat(p.path(".containust/state.json")); err == nil {
			p.ctst(t, "stop", "--force")
		}
	})
	return p
}

func (p *project) path(name string) string { return filepath.Join(p.dir, name) }

func (p *project) write(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(p.path(name)), 0o755))
	require.NoError(t, os.WriteFile(p.path(name), []byte(text), 0o644))
}

// replace edits the project's file.
func (p *project) replace(t *testing.T, old, by string) {
	t.Helper()
	text, err := os.ReadFile(p.path("x.ctst"))
	require.NoError(t, err)
	require.Contains(t, string(text), old)
	p.write(t, "x.ctst", strings.ReplaceAll(string(text), old, by))
}

// link puts a link in place of what is there.
func (p *project) link(t *testing.T, target, name string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(p.path(name)))
	require.NoError(t, os.MkdirAll(filepath.Dir(p.path(name)), 0o755))
	require.NoError(t, os.Symlink(target, p.path(name)))
}

// try runs the command in the project and returns all that it wrote.
func (p *project) try(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), ctst(t), args...)
	cmd.Dir, cmd.Env = p.dir, p.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// ctst runs the command, which must succeed, and returns its standard output.
func (p *project) ctst(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(ctst(t), args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.dir, p.env, &out, &errs
	require.NoError(t, cmd.Run(), "ctst %v\n%s%s", args, &out, &errs)
	return out.String()
}

// logs waits until a component has ended, and returns what it wrote.
func (p *project) logs(t *testing.T, name string) string {
	t.Helper()
	require.Eventually(t, func() bool { return p.status(t, name).PID == 0 }, 20*time.Second, 10*time.Millisecond)
	return p.ctst(t, "logs", name)
}

type status struct {
	ID  string `json:"id"`
	PID int    `json:"pid"`
}

func (p *project) all(t *testing.T) []status {
	t.Helper()
	var list []status
	require.NoError(t, json.Unmarshal([]byte(p.ctst(t, "ps", "--all", "--json")), &list))
	return list
}

func (p *project) status(t *testing.T, name string) status {
	t.Helper()
	for _, s := range p.all(t) {
		if s.ID == name {
			return s
		}
	}
	require.Fail(t, "there is no component "+name)
	return status{}
}

// proc reads a file about a component's process.
func (p *project) proc(t *testing.T, name, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.status(t, name).PID), file))
	require.NoError(t, err)
	return string(text)
}

// fingerprint is everything about what lies below a folder that must not change.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all.WriteString(describe(path, info))
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all.Write(text)
		}
		return nil
	}))
	return all.String()
}

// canary makes a folder of the host that nothing in a container may reach, and
// fails the test if it is another one in the end. It is where a container has
// nothing of its own.
func canary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var", "canary-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), []byte("canary"), 0o600))
	before := fingerprint(t, dir)
	t.Cleanup(func() { require.Equal(t, before, fingerprint(t, dir), "something reached the host") })
	return dir
}

// golden compares what was seen with a file in testdata, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "after a look: go test ./integration/security -update")
}

func describe(path string, info fs.FileInfo) string {
	st := stat(info)
	return strings.Join([]string{
		path, info.Mode().String(), strconv.Itoa(int(st.Uid)), strconv.Itoa(int(st.Gid)),
		strconv.FormatUint(st.Ino, 10), info.ModTime().String(), "\n",
	}, " ")
}

func stat(info fs.FileInfo) *syscall.Stat_t { return info.Sys().(*syscall.Stat_t) }

// namespace says which namespace a process is in.
func namespace(t *testing.T, pid int, name string) string {
	t.Helper()
	target, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "ns", name))
	require.NoError(t, err)
	return target
}
