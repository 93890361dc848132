package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
)

// deployment is a project with one component that waits, for executions.
type deployment struct {
	ctst string
	dir  string
	pid  int // of the component's first process
}

// deploy starts a component whose root has a shell.
func deploy(t *testing.T) *deployment {
	t.Helper()
	kerneltest.RequireRoot(t)
	dir := t.TempDir()
	d := &deployment{ctst: filepath.Join(dir, "ctst"), dir: dir}
	build(t, d.ctst, cliPackage)
	app := filepath.Join(dir, "app")
	build(t, app, appPackage)
	root := filepath.Join(dir, "root")
	require.NoError(t, makeRoot(root, app))
	busybox, err := os.ReadFile("/bin/busybox")
	require.NoError(t, err, "the Debian package busybox-static is needed")
	require.NoError(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "bin/busybox"), busybox, 0o755))
	for _, name := range []string{"sh", "stty", "tty", "sleep", "cat", "id", "stat", "yes"} {
		require.NoError(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "x.ctst"), []byte(`COMPONENT one {
    image = "file://./root"
    command = ["/app", "wait"]
    env = { PATH = "/bin" }
}
`), 0o644))
	d.run(t, "run", "-d")
	t.Cleanup(func() { d.run(t, "stop", "--force") })
	var list []struct {
		PID int `json:"pid"`
	}
	require.NoError(t, json.Unmarshal([]byte(d.run(t, "ps", "--json")), &list))
	require.Len(t, list, 1)
	d.pid = list[0].PID
	return d
}

func (d *deployment) command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.ctst, args...)
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "CONTAINUST_CACHE_DIR="+filepath.Join(d.dir, "cache"), "TERM=vt100")
	return cmd
}

// run runs a command that must succeed, and returns what it printed.
func (d *deployment) run(t *testing.T, args ...string) string {
	t.Helper()
	cmd := d.command(args...)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.Output()
	require.NoError(t, err, "%v: %s", args, &talk)
	return string(out)
}

// supervisor is the process id of the project's supervisor.
func (d *deployment) supervisor(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, ".containust/run/supervisor.pid"))
	require.NoError(t, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	return pid
}

// A screen is a terminal of the test's own with a command on it.
type screen struct {
	t      *testing.T
	master *os.File // what a person has
	slave  *os.File
	before unix.Termios
	cmd    *exec.Cmd

	mu   sync.Mutex
	text string // what was printed and not expected yet
	more chan struct{}
}

// start runs ctst with a terminal of 24 rows and 80 columns.
func (d *deployment) start(t *testing.T, args ...string) *screen {
	t.Helper()
	s := &screen{t: t, cmd: d.command(args...), more: make(chan struct{}, 1)}
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	require.NoError(t, err)
	s.master = os.NewFile(uintptr(fd), "master")
	t.Cleanup(func() { s.master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	s.resize(24, 80)
	peer, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC)
	require.Zero(t, errno)
	s.slave = os.NewFile(peer, "slave")
	t.Cleanup(func() { s.slave.Close() })
	s.before = s.settings()
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = s.slave, s.slave, s.slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, s.cmd.Start())
	late := time.AfterFunc(30*time.Second, func() { _ = s.cmd.Process.Kill() }) // a test that waits for it fails then
	t.Cleanup(func() { late.Stop() })
	go s.read()
	return s
}

func (s *screen) read() {
	buf := make([]byte, 4096)
	for {
		n, err := s.master.Read(buf)
		s.mu.Lock()
		s.text += string(buf[:n])
		s.mu.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (s *screen) settings() unix.Termios {
	s.t.Helper()
	settings, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	require.NoError(s.t, err)
	return *settings
}

func (s *screen) resize(rows, cols uint16) {
	s.t.Helper()
	conn, err := s.master.SyscallConn()
	require.NoError(s.t, err)
	require.NoError(s.t, conn.Control(func(fd uintptr) {
		err = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols})
	}))
	require.NoError(s.t, err)
}

func (s *screen) write(keys string) {
	s.t.Helper()
	_, err := s.master.WriteString(keys)
	require.NoError(s.t, err)
}

// expect waits until the screen shows what matches the pattern, takes it off
// with all before it, and returns that.
func (s *screen) expect(pattern string) string {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	deadline := time.After(20 * time.Second)
	for {
		s.mu.Lock()
		if at := re.FindStringIndex(s.text); at != nil {
			seen := s.text[:at[1]]
			s.text = s.text[at[1]:]
			s.mu.Unlock()
			return seen
		}
		text := s.text
		s.mu.Unlock()
		select {
		case <-s.more:
		case <-deadline:
			require.FailNow(s.t, "not on the screen", "%s in %q", pattern, text)
		}
	}
}

// raw waits until ctst has taken the terminal over.
func (s *screen) raw() {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.settings().Lflag&unix.ICANON == 0 }, 20*time.Second, time.Millisecond)
}

// ends waits for ctst, which must have left the terminal as it was.
func (s *screen) ends(code int) {
	s.t.Helper()
	err := s.cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		require.NoError(s.t, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Equal(s.t, code, s.cmd.ProcessState.ExitCode(), "%s", s.text)
	require.Equal(s.t, s.before, s.settings(), "the terminal's settings")
}

func TestExecTerminal(t *testing.T) {
	d := deploy(t)
	sh := func(t *testing.T, script string) *screen {
		t.Helper()
		return d.start(t, "exec", "-it", "one", "/bin/sh", "-c", script)
	}

	t.Run("is one", func(t *testing.T) {
		s := sh(t, "test -t 0 && test -t 1 && test -t 2 && tty; echo x >/dev/tty; exit 3")
		s.expect("/dev/pts/[0-9]+\r\nx\r\n")
		s.ends(3)
	})
	t.Run("size", func(t *testing.T) {
		s := sh(t, "trap 'stty size; exit' WINCH; stty size; while :; do sleep 0.02; done")
		s.expect("24 80\r\n")
		s.resize(50, 132)
		s.expect("50 132\r\n")
		s.ends(0)
	})
	t.Run("Ctrl-C", func(t *testing.T) {
		s := d.start(t, "exec", "-it", "one", "/bin/sleep", "1000")
		s.raw()
		s.write("\x03")
		s.ends(130)
	})
	t.Run("Ctrl-C without -i", func(t *testing.T) {
		s := d.start(t, "exec", "-t", "one", "/bin/sh", "-c", "echo ready; exec sleep 1000")
		s.expect("ready\r+\n")
		s.write("\x03")
		s.ends(130)
	})
	t.Run("job control", func(t *testing.T) {
		s := d.start(t, "exec", "-it", "-e", "PS1=> ", "one", "/bin/sh")
		s.expect("> ")
		s.write("sh -c 'echo run\"\"ning; sleep 1000'\n")
		s.expect("running\r\n")
		s.write("\x1a")
		s.expect("Stopped")
		s.write("kill -9 %1\nexit 7\nexit 7\n") // at first it may only warn of the stopped job
		s.ends(7)
	})
	t.Run("settings", func(t *testing.T) {
		s := sh(t, "stty -echo; echo password:; read x; stty echo; echo got $x; read y; echo and $y")
		s.expect("password:\r\n")
		s.write("secret\n")
		require.Equal(t, "got secret\r\n", s.expect("got secret\r\n"), "no echo")
		s.write("shown\n")
		require.Equal(t, "shown\r\nand shown\r\n", s.expect("and shown\r\n"))
		s.ends(0)
	})
	t.Run("user, folder and environment", func(t *testing.T) {
		const script = "id -u; pwd; echo $TERM $WORD; stat -c %u:%g:%a $(tty); echo opened >/dev/tty"
		s := d.start(t, "exec", "-it", "-u", "guest", "-w", "/tmp", "-e", "WORD=given", "one", "/bin/sh", "-c", script)
		s.expect("1000\r\n/tmp\r\nvt100 given\r\n1000:5:620\r\nopened\r\n")
		s.ends(0)
		s = d.start(t, "exec", "-it", "-e", "TERM=dumb", "one", "/bin/sh", "-c", "echo $TERM")
		s.expect("dumb\r\n")
		s.ends(0)
	})
	t.Run("much output", func(t *testing.T) {
		s := sh(t, "yes 0123456789 | head -n 20000; echo the end")
		require.Len(t, strings.ReplaceAll(s.expect("the end\r\n"), "\r", ""), 20000*11+len("the end\n"))
		s.ends(0)
	})
	t.Run("left behind", func(t *testing.T) {
		s := sh(t, "trap '' HUP; sleep 1000 & echo started")
		s.expect("started\r\n")
		s.ends(0)
	})
	t.Run("no such command", func(t *testing.T) {
		s := d.start(t, "exec", "-it", "one", "/no/such")
		s.expect("/no/such")
		s.ends(127)
	})
	t.Run("SIGTERM", func(t *testing.T) {
		s := sh(t, "trap 'echo hung up >/tmp/term; exit' HUP; echo ready; while :; do sleep 0.02; done")
		s.expect("ready\r\n")
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGTERM))
		s.ends(143)
		d.reads(t, "/tmp/term", "hung up\n")
	})
	t.Run("SIGKILL", func(t *testing.T) {
		s := sh(t, "trap 'echo hung up >/tmp/kill; exit' HUP; echo ready; while :; do sleep 0.02; done")
		s.expect("ready\r\n")
		require.NoError(t, s.cmd.Process.Kill())
		require.Error(t, s.cmd.Wait())
		d.reads(t, "/tmp/kill", "hung up\n")
	})
	t.Run("the terminal goes away", func(t *testing.T) {
		s := sh(t, "trap 'echo hung up >/tmp/gone; exit' HUP; echo ready; while :; do sleep 0.02; done")
		s.expect("ready\r\n")
		require.NoError(t, s.slave.Close())
		require.NoError(t, s.master.Close())
		require.Error(t, s.cmd.Wait())
		require.Equal(t, 129, s.cmd.ProcessState.ExitCode())
		d.reads(t, "/tmp/gone", "hung up\n")
	})
	t.Run("the supervisor dies", func(t *testing.T) {
		kerneltest.RequireKernel(t, 6, 15) // before, how a process ended is its parent's to know
		s := sh(t, "echo ready; read x; echo got $x; exit 7")
		s.expect("ready\r\n")
		require.NoError(t, syscall.Kill(d.supervisor(t), syscall.SIGKILL))
		s.write("still here\n")
		s.expect("got still here\r\n")
		s.ends(7)
	})
	t.Run("the supervisor dies, and then the command before ctst sees it", func(t *testing.T) {
		kerneltest.RequireKernel(t, 6, 15)
		s := sh(t, "echo ready; until test -e /tmp/go; do sleep 0.02; done; exit 7")
		s.expect("ready\r\n")
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
		require.NoError(t, syscall.Kill(d.supervisor(t), syscall.SIGKILL))
		require.NoError(t, os.WriteFile(filepath.Join("/proc", strconv.Itoa(d.pid), "root/tmp/go"), nil, 0o644))
		time.Sleep(300 * time.Millisecond)
		require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT))
		s.ends(7)
	})
}

// reads waits until a file in the component has the content.
func (d *deployment) reads(t *testing.T, name, want string) {
	t.Helper()
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(d.pid), "root", name))
		return err == nil && string(text) == want
	}, 20*time.Second, 10*time.Millisecond, name)
}

// A program inside never gets at the terminal of who started it: neither to put
// keys into it, nor to read or change it.
func TestExecKeepsOurTerminal(t *testing.T) {
	d := deploy(t)
	for _, flags := range [][]string{{"-it"}, {"-t"}, {"-i"}, nil} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			s := d.start(t, append(append([]string{"exec"}, flags...), "one", "/app", "inject", "rm -rf /")...)
			s.expect("injected: .*\n")
			s.ends(0)
			settings := s.settings()
			settings.Lflag &^= unix.ICANON // else an unfinished line does not count
			require.NoError(t, unix.IoctlSetTermios(int(s.slave.Fd()), unix.TCSETS, &settings))
			n, err := unix.IoctlGetInt(int(s.slave.Fd()), unix.TIOCINQ)
			require.NoError(t, err)
			require.Zero(t, n, "bytes that a shell would read next")
		})
	}
	s := d.start(t, "exec", "-i", "one", "/bin/sh", "-c", "test -t 0 || test -t 1 || test -t 2 || read x; echo got $x; echo and >&2")
	s.write("words\n")
	s.expect("got words\r\nand\r\n")
	s.ends(0)
}

// What an execution may do is what the component's own process may.
func TestExecIsLikeTheFirst(t *testing.T) {
	d := deploy(t)
	for _, flags := range []string{"-t", "-it", ""} {
		t.Run(flags, func(t *testing.T) {
			s := d.start(t, strings.Fields("exec "+flags+" one /bin/sleep 1000")...)
			var pid int
			require.Eventually(t, func() bool { pid = d.other(t, "sleep"); return pid != 0 }, 20*time.Second, 5*time.Millisecond)
			require.Equal(t, attributes(t, d.pid), attributes(t, pid))
			require.Equal(t, "2", attributes(t, pid)["Seccomp"])
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
			s.ends(137)
		})
	}
}

// other finds a process of the component that runs a program, on the host.
func (d *deployment) other(t *testing.T, program string) int {
	t.Helper()
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", d.pid))
	require.NoError(t, err)
	dirs, err := filepath.Glob("/proc/[0-9]*")
	require.NoError(t, err)
	for _, dir := range dirs {
		link, err := os.Readlink(dir + "/ns/pid")
		comm, err2 := os.ReadFile(dir + "/comm")
		if err == nil && err2 == nil && link == ns && string(comm) == program+"\n" {
			pid, err := strconv.Atoi(filepath.Base(dir))
			require.NoError(t, err)
			return pid
		}
	}
	return 0
}

// attributes are what confines a process.
func attributes(t *testing.T, pid int) map[string]string {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	all := map[string]string{}
	names, err := filepath.Glob(dir + "ns/*")
	require.NoError(t, err)
	for _, name := range names {
		all["ns/"+filepath.Base(name)], err = os.Readlink(name)
		require.NoError(t, err)
	}
	require.Len(t, all, 10, "namespaces")
	for _, name := range []string{"cgroup", "uid_map", "gid_map", "setgroups", "limits", "oom_score_adj"} {
		text, err := os.ReadFile(dir + name)
		require.NoError(t, err)
		// A Go program raises its own limit of open files.
		all[name] = regexp.MustCompile(`Max open files.*`).ReplaceAllString(string(text), "")
	}
	status, err := os.ReadFile(dir + "status")
	require.NoError(t, err)
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		switch key {
		case "Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs",
			"Seccomp", "Seccomp_filters", "Umask":
			all[key] = strings.TrimSpace(value)
		}
	}
	require.Len(t, all, 10+6+12)
	return all
}

// Many at once leave nothing: no file in the supervisor, no child of it, no
// terminal.
func TestManyExecs(t *testing.T) {
	d := deploy(t)
	d.run(t, "exec", "one", "/app", "say", "x") // what is made once is made
	supervisor := d.supervisor(t)
	open := func() int {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", supervisor))
		require.NoError(t, err)
		return len(entries)
	}
	before := open()

	var all sync.WaitGroup
	errs := make([]error, 100)
	screens := make([]*screen, len(errs))
	for i := range errs {
		script := fmt.Sprintf("echo number %d; exit %d", i, i)
		if i%2 == 0 {
			screens[i] = d.start(t, "exec", "-it", "one", "/bin/sh", "-c", script)
			continue
		}
		all.Go(func() {
			out, err := d.command("exec", "one", "/bin/sh", "-c", script).Output()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != i || string(out) != fmt.Sprintf("number %d\n", i) {
				errs[i] = fmt.Errorf("%d: %w: %q", i, err, out)
			}
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
	for i := 0; i < len(screens); i += 2 {
		screens[i].expect(fmt.Sprintf("number %d\r\n", i))
		screens[i].ends(i)
	}

	require.Eventually(t, func() bool { return open() <= before }, 10*time.Second, 10*time.Millisecond, "files of the supervisor")
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", supervisor, supervisor))
	require.NoError(t, err)
	for child := range strings.FieldsSeq(string(children)) {
		require.Equal(t, strconv.Itoa(d.pid), child, "a child of the supervisor")
	}
	terminals, err := os.ReadDir(fmt.Sprintf("/proc/%d/root/dev/pts", d.pid))
	require.NoError(t, err)
	require.Len(t, terminals, 1, "ptmx alone: %v", terminals)
}
