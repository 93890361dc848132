package sandbox_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/core/seccomp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// initSpecs are containers with an init, in users of the host's and of its own.
func initSpecs(t *testing.T, dir string) map[string]func(args ...string) sandbox.Spec {
	return map[string]func(args ...string) sandbox.Spec{
		"host's users": func(args ...string) sandbox.Spec {
			s := spec(t, dir, args...)
			s.Init = true
			return s
		},
		"own users": func(args ...string) sandbox.Spec {
			s := userSpec(t, dir, args...)
			s.Init = true
			return s
		},
	}
}

func TestInit(t *testing.T) {
	dir := image(t)
	for name, withInit := range initSpecs(t, dir) {
		t.Run(name, func(t *testing.T) {
			s := withInit("probe", "one", "", "two three")
			s.Env = []string{"PATH=/empty::/bin", "A=b=c", ""}
			s.UID, s.GID = 1000, 1001
			s.Capabilities = capability.Of(capability.NET_RAW)
			s.Filter = defaultFilter(t, s.Capabilities)
			r := observe(t, s)
			require.Equal(t, []string{"probe", "one", "", "two three"}, r.Args)
			require.Equal(t, []string{"PATH=/empty::/bin", "A=b=c"}, r.Env, "Go leaves out the empty word")
			require.Equal(t, 2, r.PID)
			require.Equal(t, 1, r.SID, "the session is that of the init")
			require.Equal(t, 1000, r.UID)
			require.Equal(t, "1", r.Status["NoNewPrivs"])
			require.Equal(t, "2", r.Status["Seccomp"])
			for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
				got, err := capability.Decode(r.Status[set])
				require.NoError(t, err)
				require.Equal(t, s.Capabilities, got, set)
			}
			for _, signals := range []string{"SigBlk", "SigIgn", "SigPnd", "ShdPnd"} {
				require.Equal(t, "0000000000000000", r.Status[signals], signals)
			}
			require.Len(t, r.Files, 3, "%v", r.Files)
		})
	}
}

// Process 1 is small and cannot be changed: what it runs is sealed.
func TestInitProcess(t *testing.T) {
	for name, withInit := range initSpecs(t, image(t)) {
		t.Run(name, func(t *testing.T) {
			chmod, open := "chmod /proc/1/exe: operation not permitted", "open /proc/1/exe: permission denied"
			if name == "host's users" { // whose root the file belongs to
				chmod, open = "<nil>", "open /proc/1/exe: text file busy"
			}
			require.Equal(t, `init "init\x00init\x00a\x00" 0 1 2 <nil>
2 2
`+chmod+"\n"+open+"\n", output(t, withInit("init", "a")))

			s := withInit()
			s.UID, s.Capabilities = 1000, capability.Of(capability.NET_RAW)
			s.Filter = defaultFilter(t, s.Capabilities)
			p := running(t, s)
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
			require.NoError(t, err)
			for _, line := range []string{"Name:\tinit", "CapBnd:\t0000000000002000", "CapEff:\t0000000000002000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
				require.Contains(t, string(status), line+"\n")
			}
			require.NotContains(t, string(status), "Uid:\t0")
			exe, err := os.OpenFile(fmt.Sprintf("/proc/%d/exe", p.PID()), os.O_RDONLY, 0)
			require.NoError(t, err)
			defer exe.Close()
			seals, err := unix.FcntlInt(exe.Fd(), unix.F_GET_SEALS, 0)
			require.NoError(t, err)
			require.Equal(t, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL, seals)
		})
	}
}

func TestInitReaps(t *testing.T) {
	const many = "100"
	dir := image(t)
	require.Equal(t, many+"\n", output(t, spec(t, dir, "orphans", many)), "without an init")
	for name, withInit := range initSpecs(t, dir) {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, "0\n", output(t, withInit("orphans", many)))
		})
	}
}

func TestInitExitStatus(t *testing.T) {
	for name, withInit := range initSpecs(t, image(t)) {
		t.Run(name, func(t *testing.T) {
			for _, test := range []struct {
				args string
				want int
			}{
				{"exit 0", 0},
				{"exit 7", 7},
				{"exit 255", 255},
				{"kill 9", 128 + 9},
				{"kill 15", 128 + 15},
			} {
				p, _ := start(t, withInit(strings.Fields(test.args)...))
				exit, err := p.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, container.ExitStatus{Code: test.want}, exit, test.args)
			}
		})
	}
}

func TestInitPassesSignals(t *testing.T) {
	for name, withInit := range initSpecs(t, image(t)) {
		t.Run(name, func(t *testing.T) {
			for sig, want := range map[syscall.Signal]int{
				unix.SIGTERM: 43, // the program's answer
				unix.SIGHUP:  128 + int(unix.SIGHUP),
				unix.SIGINT:  128 + int(unix.SIGINT),
			} {
				p := running(t, withInit())
				require.NoError(t, p.Signal(sig))
				exit, err := p.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, exit.Code, "%v", sig)
			}

			p, r := start(t, withInit("hear"))
			require.NoError(t, r.(*os.File).SetReadDeadline(time.Now().Add(20*time.Second)))
			lines := bufio.NewScanner(r)
			for sig := syscall.Signal(0); sig <= 64; sig++ {
				switch sig {
				case unix.SIGKILL, unix.SIGSTOP, unix.SIGPROF, 32, 33, 34: // the last four are not for a Go program
					continue
				case unix.SIGCHLD: // the init's own
					require.NoError(t, p.Signal(sig))
					continue
				}
				want := itoa(int(sig))
				if sig == 0 {
					want = "ready"
				}
				require.NoError(t, p.Signal(sig))
				for lines.Scan() && lines.Text() == itoa(int(unix.SIGURG)) && sig != unix.SIGURG {
					continue // Go's own
				}
				require.Equal(t, want, lines.Text(), lines.Err())
			}
		})
	}
	t.Run("not to other processes", func(t *testing.T) {
		s := spec(t, image(t))
		s.Init = true
		p := running(t, s)
		r, w, err := os.Pipe()
		require.NoError(t, err)
		defer r.Close()
		other, err := sandbox.Exec(t.Context(), p, sandbox.ExecSpec{
			Command: sandbox.Command{Args: []string{"/bin/wait"}, Stdout: w},
		}, sandbox.Options{})
		require.NoError(t, w.Close())
		require.NoError(t, err)
		endWith(t, other)
		line, err := bufio.NewReader(r).ReadString('\n')
		require.NoError(t, err, line)
		require.NoError(t, p.Signal(unix.SIGTERM))
		// First, because a pid namespace ends when all in it were waited for.
		exit, err := other.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 128+9, exit.Code, "it ended with the container")
		exit, err = p.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, 43, exit.Code)
	})
}

// An init that is killed ends the container, whatever the command does.
func TestInitKilled(t *testing.T) {
	for name, withInit := range initSpecs(t, image(t)) {
		t.Run(name, func(t *testing.T) {
			s := withInit("wait")
			p, r := start(t, s)
			reader := bufio.NewReader(r)
			line, err := reader.ReadString('\n')
			require.NoError(t, err, line)
			require.NoError(t, p.Signal(unix.SIGKILL))
			exit, err := p.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, container.ExitStatus{Code: 137, Signal: 9}, exit)
			_, err = reader.ReadString('\n')
			require.ErrorIs(t, err, io.EOF, "nobody has the output any more")
		})
	}
}

// A filter that does not allow what an init calls is told before the command
// runs.
func TestInitFilter(t *testing.T) {
	dir := image(t)
	launch := func(t *testing.T, action seccomp.Action, call string) error {
		profile := seccomp.Profile{
			DefaultAction: seccomp.Allow, Architectures: seccomp.Default().Architectures,
			Entries: []seccomp.Entry{{Names: []string{call}, Action: action}},
		}
		program, err := profile.Compile(seccomp.Options{})
		require.NoError(t, err)
		s := spec(t, dir, "exit", "0")
		s.Init, s.Filter = true, program
		p, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
		require.Nil(t, p)
		return err
	}
	const hint = "; the system call filter must allow what an init calls: execveat, fcntl, rt_sigtimedwait, wait4, kill, close, clone, setpgid, rt_sigprocmask, write, execve, exit_group; allow them, or leave out the init"
	for _, call := range []string{"fcntl", "rt_sigtimedwait", "wait4", "kill", "close", "clone", "setpgid", "rt_sigprocmask"} {
		err := launch(t, seccomp.Errno(uint16(unix.EPERM)), call)
		require.EqualError(t, err, "sandbox: run the init: "+call+": operation not permitted"+hint)
		require.ErrorIs(t, err, fs.ErrPermission)
		var step *sandbox.StepError
		require.ErrorAs(t, err, &step)
		err = launch(t, seccomp.KillProcess, call)
		require.ErrorIs(t, err, sandbox.ErrKilled, call)
		require.ErrorContains(t, err, hint)
	}
	require.EqualError(t, launch(t, seccomp.Errno(uint16(unix.ENOSYS)), "execveat"), "sandbox: run the init: function not implemented"+hint)
	require.ErrorIs(t, launch(t, seccomp.Errno(uint16(unix.EPERM)), "write"), sandbox.ErrKilled, "it cannot even tell")
}

// An init that can make no process says so.
func TestInitWithoutProcesses(t *testing.T) {
	nproc, err := sandbox.ParseRlimit("nproc")
	require.NoError(t, err)
	s := userSpec(t, image(t), "exit", "0")
	s.Init, s.UID = true, 1000
	s.Filter = defaultFilter(t, 0)
	s.Rlimits = []sandbox.Rlimit{{Resource: nproc, Cur: 1, Max: 1}}
	_, err = sandbox.Launch(t.Context(), s, sandbox.Options{})
	require.EqualError(t, err, "sandbox: run the init: clone: resource temporarily unavailable")
}

func TestInitRefused(t *testing.T) {
	dir := image(t)
	for want, change := range map[string]func(*sandbox.Spec){
		"sandbox: an init is the first process of a pid namespace: leave out the init, or the pid namespace to enter":               func(s *sandbox.Spec) { s.PID.Host = true },
		"sandbox: the specification has an init and oom_score_adj, which would be that of the init alone: leave out one of the two": func(s *sandbox.Spec) { s.OOMScoreAdj = new(int) },
	} {
		s := spec(t, dir, "exit", "0")
		s.Init = true
		change(&s)
		_, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
		require.EqualError(t, err, want)
	}
}

// A machine that forbids programs in memory is told by its setting.
func TestInitForbidden(t *testing.T) {
	kerneltest.RequireRoot(t)
	kerneltest.RequireKernel(t, 6, 3)
	const inside = "CTST_TEST_NOEXEC"
	if os.Getenv(inside) == "" {
		// The setting belongs to a pid namespace, and is never taken back there.
		test := exec.Command("/proc/self/exe", "-test.run=^TestInitForbidden$", "-test.v")
		test.Env = append(os.Environ(), inside+"=1")
		test.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
		out, err := test.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS: TestInitForbidden")
		return
	}
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("proc", "/proc", "proc", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount("/proc", unix.MNT_DETACH)) })
	dir := image(t)
	require.NoError(t, tryInit(t, dir, "1"))
	require.EqualError(t, tryInit(t, dir, "2"),
		"sandbox: prepare the init: the sysctl vm.memfd_noexec of this machine forbids programs in memory (permission denied): set it to 0 or 1, or leave out the init")
}

// tryInit launches with a mode of vm.memfd_noexec.
func tryInit(t *testing.T, dir, mode string) error {
	require.NoError(t, os.WriteFile("/proc/sys/vm/memfd_noexec", []byte(mode), 0))
	s := spec(t, dir, "exit", "0")
	s.Init = true
	p, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
	if err == nil {
		endWith(t, p)
	}
	return err
}

// A launch that is given up leaves nothing, wherever it was.
func TestInitCancelled(t *testing.T) {
	for name, withInit := range initSpecs(t, image(t)) {
		t.Run(name, func(t *testing.T) {
			for i := range rounds(100) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*50*time.Microsecond)
				p, err := sandbox.Launch(ctx, withInit("exit", "5"), sandbox.Options{})
				cancel()
				if err != nil {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					continue
				}
				exit, err := p.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, 5, exit.Code)
				require.NoError(t, p.Close())
			}
		})
	}
}

// The command has the terminal that is its standard input, and its keys.
func TestInitTerminal(t *testing.T) {
	for name, withInit := range initSpecs(t, image(t)) {
		t.Run(name, func(t *testing.T) {
			onTerminal := func(program string) (*sandbox.Process, *os.File) {
				master, slave := newTerminal(t)
				s := withInit(program)
				s.Stdin, s.Stdout, s.Stderr = slave, slave, slave
				p, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
				require.NoError(t, err)
				endWith(t, p)
				require.NoError(t, slave.Close())
				return p, master
			}
			p, master := onTerminal("tty")
			out := readTerminal(t, master)
			require.Contains(t, out, "foreground: true leader: false errno 0\n/dev/tty: <nil>\n")
			exit, err := p.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, container.ExitStatus{}, exit)

			for sig, do := range map[syscall.Signal]func(*os.File) error{
				unix.SIGINT: func(m *os.File) error { _, err := m.WriteString("\x03"); return err },
				unix.SIGHUP: (*os.File).Close,
			} {
				p, master := onTerminal("wait")
				line := make([]byte, len("ready\r\n"))
				_, err := io.ReadFull(master, line)
				require.NoError(t, err)
				require.NoError(t, do(master))
				exit, err := p.Wait(t.Context())
				require.NoError(t, err)
				require.Equal(t, container.ExitStatus{Code: 128 + int(sig)}, exit)
			}
		})
	}
}

// newTerminal makes a terminal of the host's. The caller closes the slave.
func newTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	return master, slave
}
