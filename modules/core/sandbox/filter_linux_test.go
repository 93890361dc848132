package sandbox_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/core/seccomp"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

func defaultFilter(t testing.TB, caps capability.Set) seccomp.Program {
	t.Helper()
	program, err := seccomp.Default().Compile(seccomp.Options{Capabilities: caps})
	require.NoError(t, err)
	return program
}

// denied are calls that the default profile denies, and the error that they get.
// Without the filter they fail in another way, or not at all.
func denied() map[string]syscall.Errno {
	calls := map[string]syscall.Errno{
		fmt.Sprintf("%d,%d,%d", unix.SYS_SOCKET, unix.AF_ALG, unix.SOCK_SEQPACKET):       unix.EPERM,
		fmt.Sprintf("%d,%d,%d", unix.SYS_SOCKET, 1<<32|unix.AF_ALG, unix.SOCK_SEQPACKET): unix.EPERM,
		fmt.Sprintf("%d,%d,%d", unix.SYS_SOCKET, unix.AF_VSOCK, unix.SOCK_STREAM):        unix.EPERM,
		fmt.Sprintf("%d,%d", unix.SYS_UNSHARE, 0):                                        unix.EPERM,
		fmt.Sprintf("%d,%d", unix.SYS_CLONE, unix.CLONE_NEWUSER|unix.CLONE_THREAD):       unix.EPERM,
		fmt.Sprintf("%d,0,0", unix.SYS_CLONE3):                                           unix.ENOSYS,
		fmt.Sprintf("%d,0,%#x", unix.SYS_KEYCTL, uint64(1<<64-1)-2):                      unix.EPERM,
		fmt.Sprintf("%d,99", unix.SYS_BPF):                                               unix.EPERM,
		fmt.Sprintf("%d,0", unix.SYS_IO_URING_SETUP):                                     unix.EPERM,
		fmt.Sprintf("%d,1", unix.SYS_USERFAULTFD):                                        unix.EPERM, // UFFD_USER_MODE_ONLY
		fmt.Sprintf("%d,%#x", unix.SYS_PERSONALITY, 0x0040000):                           unix.EPERM,
	}
	if runtime.GOARCH == "amd64" {
		calls["x86:102,1"] = unix.EPERM                             // socketcall: socket
		calls["x86:359,38,5"] = unix.EPERM                          // socket AF_ALG
		calls["x86:310,0"] = unix.EPERM                             // unshare
		calls[fmt.Sprint(0x40000000+unix.SYS_UNSHARE)] = unix.EPERM // of x32
	}
	return calls
}

func keys(m map[string]syscall.Errno) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	return list
}

// callErrors are what the probe tells about system calls.
func callErrors(t *testing.T, out string) map[string]syscall.Errno {
	t.Helper()
	got := map[string]syscall.Errno{}
	for line := range strings.Lines(out) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), ": ")
		got[name] = syscall.Errno(atoi(t, number))
	}
	return got
}

func TestDefaultFilter(t *testing.T) {
	dir := image(t)
	want := denied()
	s := spec(t, dir, append([]string{"call"}, keys(want)...)...)
	s.Filter = defaultFilter(t, 0)
	require.Equal(t, want, callErrors(t, output(t, s)))

	t.Run("the same calls without it", func(t *testing.T) {
		s := spec(t, dir, append([]string{"call"}, keys(want)...)...)
		for call, errno := range callErrors(t, output(t, s)) {
			if call == fmt.Sprint(0x40000000+unix.SYS_UNSHARE) && errno == unix.ENOSYS {
				continue // this kernel has no x32
			}
			require.NotEqual(t, want[call], errno, call)
		}
	})
	t.Run("exec", func(t *testing.T) {
		s := spec(t, dir)
		s.Filter = defaultFilter(t, 0)
		p := running(t, s)
		out, exit := execute(t, p, sandbox.Command{Args: append([]string{"call"}, keys(want)...), Filter: s.Filter})
		require.Equal(t, container.ExitStatus{}, exit)
		require.Equal(t, want, callErrors(t, out))
	})
	t.Run("what is allowed", func(t *testing.T) {
		want := map[string]syscall.Errno{
			fmt.Sprintf("%d,2,1", unix.SYS_SOCKET):                  0,
			fmt.Sprintf("%d,16,3", unix.SYS_SOCKET):                 0,
			fmt.Sprintf("%d,%#x", unix.SYS_PERSONALITY, 0xffffffff): 0,
			// There is no process 0. Who is traced stands still at its next signal,
			// and the runtime sends itself some.
			fmt.Sprintf("%d,%d,0", unix.SYS_PTRACE, unix.PTRACE_ATTACH): unix.ESRCH,
		}
		if runtime.GOARCH == "amd64" {
			want["x86:20"], want["x86:359,2,1"] = 0, 0 // getpid, socket AF_INET
		}
		s := spec(t, dir, append([]string{"call"}, keys(want)...)...)
		s.Filter = defaultFilter(t, 0)
		require.Equal(t, want, callErrors(t, output(t, s)))
	})
	t.Run("calls that are newer than the profile do not exist", func(t *testing.T) {
		s := spec(t, dir, "call", "600", "0x3fffffff")
		s.Filter = defaultFilter(t, 0)
		require.Equal(t, map[string]syscall.Errno{"600": unix.ENOSYS, "0x3fffffff": unix.ENOSYS}, callErrors(t, output(t, s)))
	})
	t.Run("capabilities open calls", func(t *testing.T) {
		s := spec(t, dir, "call", fmt.Sprintf("%d,0", unix.SYS_UNSHARE))
		s.Capabilities = capability.Of(capability.SYS_ADMIN)
		s.Filter = defaultFilter(t, s.Capabilities)
		require.Equal(t, map[string]syscall.Errno{fmt.Sprintf("%d,0", unix.SYS_UNSHARE): 0}, callErrors(t, output(t, s)))
	})
	t.Run("it is at work, and alone", func(t *testing.T) {
		s := spec(t, dir, "probe")
		s.UID, s.GID = 1000, 1000
		s.Filter = defaultFilter(t, 0)
		r := observe(t, s)
		require.Equal(t, "2", r.Status["Seccomp"], "SECCOMP_MODE_FILTER")
		require.Equal(t, "1", r.Status["Seccomp_filters"])
		own, err := os.ReadFile("/proc/self/status")
		require.NoError(t, err)
		require.Regexp(t, `(?m)^Seccomp:\t0$`, string(own), "the caller, whose memory the child shared, has none")
	})
}

// parseFilter compiles a profile for a test.
func parseFilter(t *testing.T, profile string) seccomp.Program {
	t.Helper()
	p, err := seccomp.Parse([]byte(profile))
	require.NoError(t, err)
	program, err := p.Compile(seccomp.Options{})
	require.NoError(t, err)
	return program
}

func TestFilterActions(t *testing.T) {
	dir := image(t)
	for action, want := range map[string]container.ExitStatus{
		"SCMP_ACT_KILL_PROCESS": {Code: 128 + 31, Signal: 31},
		"SCMP_ACT_LOG":          {},
		"SCMP_ACT_TRACE":        {},
	} {
		t.Run(action, func(t *testing.T) {
			s := spec(t, dir, "call", fmt.Sprint(unix.SYS_GETPGID))
			s.Filter = parseFilter(t, fmt.Sprintf(`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
				"syscalls": [{"name": "getpgid", "action": %q}]}`, action))
			p, _ := start(t, s)
			exit, err := p.Wait(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, exit)
		})
	}
	t.Run("trace without a tracer", func(t *testing.T) {
		s := spec(t, dir, "call", fmt.Sprint(unix.SYS_GETPGID))
		s.Filter = parseFilter(t, `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "getpgid", "action": "SCMP_ACT_TRACE"}]}`)
		require.Equal(t, fmt.Sprintf("%d: %d\n", unix.SYS_GETPGID, unix.ENOSYS), output(t, s))
	})
}

// Nothing but the program runs under the filter: a profile need not allow what
// a launch does, but execve.
func TestFilterErrors(t *testing.T) {
	dir := image(t)
	launch := func(t *testing.T, change func(*sandbox.Spec)) error {
		s := spec(t, dir, "exit", "0")
		change(&s)
		p, err := sandbox.Launch(t.Context(), s, sandbox.Options{})
		if err == nil {
			endWith(t, p)
		}
		return err
	}
	t.Run("execve denied", func(t *testing.T) {
		for _, action := range []string{"SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRACE"} {
			err := launch(t, func(s *sandbox.Spec) {
				s.Filter = parseFilter(t, fmt.Sprintf(`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "execve", "action": %q}]}`, action))
			})
			require.EqualError(t, err, "sandbox: the system call filter does not let execve happen, so no program could be started; allow it in the profile")
		}
	})
	t.Run("new privileges", func(t *testing.T) {
		change := func(s *sandbox.Spec) { s.Filter, s.AllowNewPrivileges = defaultFilter(t, 0), true }
		require.ErrorContains(t, launch(t, change), "cannot go with new privileges")
		require.NoError(t, launch(t, func(s *sandbox.Spec) {
			change(s)
			s.Capabilities = capability.Of(capability.SYS_ADMIN)
		}))
	})
	t.Run("too long", func(t *testing.T) {
		err := launch(t, func(s *sandbox.Spec) { s.Filter.Instructions = make([]bpf.RawInstruction, 4097) })
		require.ErrorContains(t, err, "4097 instructions, and the kernel takes 4096")
	})
	t.Run("no program of the kernel's", func(t *testing.T) {
		err := launch(t, func(s *sandbox.Spec) { s.Filter.Instructions = make([]bpf.RawInstruction, 1) })
		require.EqualError(t, err, "sandbox: install the system call filter: invalid argument")
	})
	t.Run("the program is missing, in several places", func(t *testing.T) {
		err := launch(t, func(s *sandbox.Spec) {
			s.Filter, s.Args, s.Env = defaultFilter(t, 0), []string{"nothing"}, []string{"PATH=/bin:/empty:/none"}
		})
		var failed *sandbox.ExecError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, 127, failed.ExitCode())
	})
	t.Run("not even an end is allowed", func(t *testing.T) {
		// Some execve is, but not that of the launch, and its child cannot exit.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		s := spec(t, dir, "exit", "0")
		s.Filter = parseFilter(t, `{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 13, "syscalls": [
			{"name": "execve", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]}]}`)
		_, err := sandbox.Launch(ctx, s, sandbox.Options{})
		var failed *sandbox.ExecError
		require.ErrorAs(t, err, &failed)
		require.True(t, errors.Is(err, unix.EACCES), "%v", err)
	})
}

// A launch with the default filter beside one without. The filter is compiled
// before: a program does so once for each set of capabilities.
func BenchmarkLaunchFilter(b *testing.B) {
	dir := image(b)
	for name, filter := range map[string]seccomp.Program{"none": {}, "default": defaultFilter(b, 0)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				root, err := rootfs.Folder(dir, rootfs.Bind{})
				require.NoError(b, err)
				p, err := sandbox.Launch(b.Context(), sandbox.Spec{
					Root: root, Plan: rootfs.Default(), Command: sandbox.Command{Args: []string{"/bin/exit", "0"}, Filter: filter},
				}, sandbox.Options{})
				require.NoError(b, err)
				_, err = p.Wait(b.Context())
				require.NoError(b, err)
				require.NoError(b, p.Close())
				require.NoError(b, root.Close())
			}
		})
	}
}

// The cost of a system call under the default filter: getppid, which is always
// allowed, and personality, whose argument the filter looks at.
func BenchmarkFilteredCall(b *testing.B) {
	dir := image(b)
	for call, number := range map[string]int{"getppid": unix.SYS_GETPPID, "personality": unix.SYS_PERSONALITY} {
		for name, filter := range map[string]seccomp.Program{"none": {}, "default": defaultFilter(b, 0)} {
			b.Run(call+"/"+name, func(b *testing.B) {
				s := spec(b, dir, "repeat", itoa(b.N), fmt.Sprintf("%d,%#x", number, 0xffffffff))
				s.Filter = filter
				b.ResetTimer()
				output(b, s)
			})
		}
	}
}
