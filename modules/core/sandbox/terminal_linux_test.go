package sandbox_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// onTerminal runs a command in a container on a terminal.
func onTerminal(t testing.TB, target *sandbox.Process, c sandbox.Command) (*sandbox.Process, error) {
	t.Helper()
	c.Env = []string{"PATH=/bin"}
	p, err := sandbox.Exec(t.Context(), target,
		sandbox.ExecSpec{Command: c, Terminal: &sandbox.Terminal{Rows: 33, Cols: 77}}, sandbox.Options{})
	if err == nil {
		endWith(t, p)
		t.Cleanup(func() { p.Terminal().Close() })
	}
	return p, err
}

// readTerminal reads until nobody is at the other end any more.
func readTerminal(t testing.TB, master *os.File) string {
	t.Helper()
	out, err := io.ReadAll(master)
	require.ErrorIs(t, err, unix.EIO, "%s", out)
	return strings.ReplaceAll(string(out), "\r\n", "\n")
}

func TestTerminal(t *testing.T) {
	dir := image(t)
	for name, s := range map[string]sandbox.Spec{
		"host's users": spec(t, dir), "own users": userSpec(t, dir),
	} {
		t.Run(name, func(t *testing.T) {
			target := running(t, s)
			for _, uid := range []uint32{0, 1000} {
				p, err := onTerminal(t, target, sandbox.Command{Args: []string{"tty"}, UID: uid, GID: 100})
				require.NoError(t, err)
				require.Equal(t, strings.ReplaceAll(`0 /dev/pts/0 same: true owner: UID 5 -rw--w----
1 /dev/pts/0 same: true owner: UID 5 -rw--w----
2 /dev/pts/0 same: true owner: UID 5 -rw--w----
size: 33 77 errno 0
foreground: true leader: true errno 0
/dev/tty: <nil>
`, "UID", fmt.Sprint(uid)), readTerminal(t, p.Terminal()))
				exit, err := p.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, container.ExitStatus{}, exit)
				require.NoError(t, p.Terminal().Close())
			}
		})
	}
}

// Nothing of the terminal but the standard streams is open in the process.
func TestTerminalFiles(t *testing.T) {
	target := running(t, userSpec(t, image(t)))
	p, err := onTerminal(t, target, sandbox.Command{Args: []string{"probe"}})
	require.NoError(t, err)
	r := decode(t, readTerminal(t, p.Terminal()))
	require.Equal(t, map[string]string{"0": "/dev/pts/0", "1": "/dev/pts/0", "2": "/dev/pts/0"}, r.Files)
}

// What is typed reaches the process, also as a signal, and letting go of the
// terminal ends it.
func TestTerminalKeys(t *testing.T) {
	target := running(t, userSpec(t, image(t)))
	for name, test := range map[string]struct {
		do   func(*os.File) error
		want syscall.Signal
	}{
		"Ctrl-C":    {func(m *os.File) error { _, err := m.WriteString("\x03"); return err }, syscall.SIGINT},
		"Ctrl-\\":   {func(m *os.File) error { _, err := m.WriteString("\x1c"); return err }, syscall.SIGQUIT},
		"let it go": {(*os.File).Close, syscall.SIGHUP},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := onTerminal(t, target, sandbox.Command{Args: []string{"wait"}})
			require.NoError(t, err)
			line := make([]byte, len("ready\r\n"))
			_, err = io.ReadFull(p.Terminal(), line)
			require.NoError(t, err)
			require.Equal(t, "ready\r\n", string(line))
			require.NoError(t, test.do(p.Terminal()))
			exit, err := p.Wait(t.Context())
			require.NoError(t, err)
			if test.want == syscall.SIGQUIT {
				require.Equal(t, container.ExitStatus{Code: 2}, exit, "Go's own answer to SIGQUIT")
				return
			}
			require.Equal(t, container.ExitStatus{Code: 128 + int(test.want), Signal: int(test.want)}, exit)
		})
	}
}

// A container that has something else where its terminals should be gets none.
func TestTerminalReplaced(t *testing.T) {
	dir := image(t)
	fake := filepath.Join(dir, "work", "ptmx")
	require.NoError(t, os.WriteFile(fake, nil, 0o666))
	replace := func(target string, m rootfs.Mount) func(*rootfs.Plan) {
		return func(p *rootfs.Plan) {
			for i := range p.Mounts {
				if p.Mounts[i].Target == target {
					p.Mounts[i] = m
					return
				}
			}
			p.Mounts = append(p.Mounts, m)
		}
	}
	folder := func(path string) *os.File {
		f, err := rootfs.Folder(path, rootfs.Bind{})
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return f
	}
	for name, test := range map[string]struct {
		change func(*rootfs.Plan)
		want   string
	}{
		"a folder": {
			replace("/dev/pts", rootfs.Mount{Target: "/dev/pts", Source: folder(filepath.Dir(fake))}),
			"sandbox: prepare a terminal: use /dev/pts: it is not what the container was started with; start it again, or run the command without a terminal",
		},
		"a device": {
			replace("/dev/pts/ptmx", rootfs.Mount{Target: "/dev/pts/ptmx", Source: folder("/dev/null")}),
			"sandbox: make a terminal: invalid cross-device link",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := spec(t, dir)
			test.change(&s.Plan)
			target := running(t, s)
			_, err := onTerminal(t, target, sandbox.Command{Args: []string{"tty"}})
			require.EqualError(t, err, test.want)
		})
	}

	_, err := sandbox.Exec(t.Context(), running(t, spec(t, dir)), sandbox.ExecSpec{
		Command:  sandbox.Command{Args: []string{"tty"}, Stdout: os.Stdout},
		Terminal: &sandbox.Terminal{},
	}, sandbox.Options{})
	require.EqualError(t, err, "sandbox: the specification has both a terminal and standard streams")
}

// A program that cannot be run leaves no terminal, and neither do many.
func TestTerminalsLeaveNothing(t *testing.T) {
	target := running(t, userSpec(t, image(t)))
	_, err := onTerminal(t, target, sandbox.Command{Args: []string{"/nothing"}})
	var notRun *sandbox.ExecError
	require.ErrorAs(t, err, &notRun)

	var all sync.WaitGroup
	errs := make([]error, 100)
	for i := range errs {
		all.Go(func() { errs[i] = once(t, target) })
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/root/dev/pts", target.PID()))
	require.NoError(t, err)
	require.Len(t, entries, 1, "ptmx alone: %v", entries)
}

// once runs a program on a terminal to its end.
func once(t *testing.T, target *sandbox.Process) error {
	p, err := sandbox.Exec(t.Context(), target, sandbox.ExecSpec{
		Command:  sandbox.Command{Args: []string{"exit", "7"}, Env: []string{"PATH=/bin"}},
		Terminal: &sandbox.Terminal{},
	}, sandbox.Options{})
	if err != nil {
		return err
	}
	exit, err := p.Wait(t.Context())
	if err == nil && exit.Code != 7 {
		err = fmt.Errorf("exit code %d", exit.Code)
	}
	return errors.Join(err, p.Terminal().Close(), p.Close())
}
