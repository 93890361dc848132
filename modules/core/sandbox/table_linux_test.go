package sandbox

import (
	"encoding/binary"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/seccomp"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// stderr is descriptor 2 also under `go test -json`, where os.Stderr is that of
// the standard output.
var stderr = os.NewFile(2, "/dev/stderr")

// The table for a container is reviewed as text: no step may move or vanish
// unseen.
func TestTableGolden(t *testing.T) {
	was := os.Stderr
	os.Stderr = stderr
	t.Cleanup(func() { os.Stderr = was })
	tab := &table{clonesDetached: true}
	spec := &Spec{
		Root:         os.Stdin, // any files, with known numbers
		Network:      os.Stdout,
		ReadOnlyRoot: true,
		Plan: rootfs.Plan{
			Mounts: []rootfs.Mount{
				{Target: "/proc", Type: "proc", Flags: rootfs.NoSuid | rootfs.NoDev | rootfs.NoExec},
				{Target: "/tmp", Type: "tmpfs", Options: []string{"mode=1777", "noswap"}},
				{Target: "/data", Source: os.Stderr, Flags: rootfs.ReadOnly},
			},
			Masked:   []string{"/proc/kcore"},
			ReadOnly: []string{"/proc/sys"},
		},
		Hostname: "web",
		Command: Command{
			Args: []string{"server", "-v"}, Env: []string{"PATH=/a:/b:", "SECRET=x"}, Dir: "/data",
			UID: 1000, GID: 100, Groups: []uint32{7, 8},
			Capabilities: capability.Of(capability.NET_RAW, capability.CHOWN),
			Rlimits:      []Rlimit{{Resource: unix.RLIMIT_NOFILE, Cur: 64, Max: 128}},
			NewSession:   true,
			Stdout:       os.Stdin,
			Filter:       seccomp.Program{Instructions: make([]bpf.RawInstruction, 3), Flags: seccomp.LogActions},
		},
	}
	require.NoError(t, tab.launch(spec))
	golden(t, "launch", tab.String())

	tab = &table{clonesDetached: true}
	require.NoError(t, tab.launch(&Spec{
		Root: os.Stdin, User: os.Stdout, Network: os.Stderr,
		Command: Command{Args: []string{"/server"}},
	}))
	golden(t, "user", tab.String())

	umask := uint32(0o077)
	tab = &table{clonesDetached: true}
	require.NoError(t, tab.launch(&Spec{
		Root: os.Stdin, User: os.Stdout, Domainname: "example",
		Plan: rootfs.Plan{Mounts: []rootfs.Mount{
			{Target: "/a", Source: os.Stderr, Flags: rootfs.NoAtime, Top: rootfs.ReadOnly, Propagation: rootfs.Slave},
			{Target: "/b", Type: "tmpfs", Flags: rootfs.StrictAtime, Propagation: rootfs.Unbindable},
		}},
		RootPropagation: rootfs.Shared,
		Sysctls:         map[string]string{"net.ipv4.ip_forward": "1", "kernel.shmmax": "2"},
		PID:             Namespace{File: os.Stdin}, IPC: Namespace{File: os.Stdin}, UTS: Namespace{}, CgroupNamespace: Namespace{Host: true},
		TimeOffsets: TimeOffsets{Boottime: -time.Millisecond},
		Command: Command{
			Args: []string{"/server"}, Umask: &umask, Personality: 8,
			IOPriority: &IOPriority{Class: IOBestEffort, Level: 7}, Scheduler: &Scheduler{Policy: unix.SCHED_BATCH, Nice: 5}, CPUs: []int{0},
			CapabilitySets: &CapabilitySets{Bounding: capability.Of(capability.CHOWN)},
		},
	}))
	golden(t, "general", tab.String())

	tab = &table{}
	require.NoError(t, tab.launch(&Spec{Mount: os.Stdin, PID: Namespace{File: os.Stdin}, Command: Command{Args: []string{"/server"}}}))
	golden(t, "enter", tab.String())

	tab = &table{}
	t.Cleanup(func() { tab.close() })
	require.NoError(t, tab.launch(&Spec{
		Root: os.Stdin, User: os.Stdout, Init: true,
		Command: Command{
			Args: []string{"server", "-v"}, Env: []string{"PATH=/a:/b", "SECRET=x"},
			Filter: seccomp.Program{Instructions: make([]bpf.RawInstruction, 3)},
		},
	}))
	golden(t, "init", strings.ReplaceAll(tab.String(), fmt.Sprintf("fcntl(%d, 1030, 4) # prepare", tab.opened[0].Fd()), "fcntl($init, 1030, 4) # prepare"))

	tab = &table{}
	require.NoError(t, tab.exec(os.Stdout, &ExecSpec{Command: Command{Args: []string{"/bin/sh"}, AllowNewPrivileges: true}}, nil))
	golden(t, "exec", tab.String())

	tab = &table{}
	withTerminal := &ExecSpec{Command: Command{Args: []string{"/bin/sh"}, UID: 1000, NewSession: true}, Terminal: &Terminal{Rows: 24, Cols: 80}}
	y := &tty{spec: withTerminal.Terminal, pts: os.Stdin, here: os.Stdout, away: os.Stderr}
	require.NoError(t, tab.exec(os.Stdout, withTerminal, y))
	golden(t, "terminal", tab.String())
}

// golden compares with a file. Some flags have other numbers on other machines,
// and how many capabilities there are depends on the kernel.
func golden(t *testing.T, name, got string) {
	t.Helper()
	last, err := capability.Last()
	require.NoError(t, err)
	if runtime.GOARCH != "amd64" {
		t.Skip("the golden files have the numbers of amd64")
	}
	if last != capability.CHECKPOINT_RESTORE {
		t.Skipf("the golden files have %d capabilities, this kernel %d", capability.CHECKPOINT_RESTORE+1, last+1)
	}
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

func TestLayout(t *testing.T) {
	// The numbers in the assembly.
	require.EqualValues(t, 96, unsafe.Sizeof(op{}))
	require.EqualValues(t, 56, unsafe.Offsetof(op{}.refs))
	require.EqualValues(t, 64, unsafe.Offsetof(op{}.tolerate))
	require.EqualValues(t, 72, unsafe.Offsetof(op{}.otherwise))
	require.EqualValues(t, 80, unsafe.Offsetof(op{}.flags))
	require.EqualValues(t, 88, unsafe.Offsetof(op{}.result))
	require.EqualValues(t, 8, unsafe.Offsetof(header{}.errno))
	require.EqualValues(t, 16, unsafe.Offsetof(header{}.all))
	require.EqualValues(t, 24, unsafe.Offsetof(header{}.old))
	require.EqualValues(t, 32, unsafe.Offsetof(header{}.first))
	require.EqualValues(t, 40, unsafe.Offsetof(header{}.clone))
	require.EqualValues(t, 88, unsafe.Sizeof(cloneArgs{}))
	require.EqualValues(t, 32, unsafe.Sizeof(unix.MountAttr{}))
	require.EqualValues(t, 128, unsafe.Sizeof(childInfo{}))
}

// What a user namespace may not do any more is done before, or refused by name.
func TestRaise(t *testing.T) {
	var own unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_RTPRIO, &own))
	tab := &table{}
	require.NoError(t, tab.raise([]Rlimit{{Resource: unix.RLIMIT_RTPRIO, Max: own.Max}}, true))
	require.Empty(t, tab.steps, "nothing to raise")
	err := tab.raise([]Rlimit{{Resource: unix.RLIMIT_RTPRIO, Max: own.Max + 1}}, true)
	if _, failed := err.(*RlimitError); failed { //nolint:errorlint // a wrapped one would say more
		require.EqualError(t, err, fmt.Sprintf("sandbox: raise the hard limit rtprio to %[2]d: this process has %[1]d, and to raise that takes CAP_SYS_RESOURCE; ask for %[1]d or less", own.Max, own.Max+1))
		require.ErrorIs(t, err, fs.ErrPermission)
		require.Empty(t, tab.steps)
	} else {
		require.NoError(t, err)
		want := unix.Rlimit{Cur: own.Cur, Max: own.Max + 1}
		require.Equal(t, fmt.Sprintf("  0 prlimit64(0, %d, {%x}) # set the limit rtprio\n", unix.RLIMIT_RTPRIO, memory(&want)), tab.String())
	}

	err = tab.raise([]Rlimit{{Resource: unix.RLIMIT_NOFILE, Cur: 2, Max: 1}}, false)
	require.EqualError(t, err, "sandbox: the soft limit nofile = 2 is above the hard limit 1: lower the one or raise the other")
	require.ErrorIs(t, err, fs.ErrInvalid)
	require.Error(t, tab.raise([]Rlimit{{Resource: unix.RLIMIT_NOFILE, Max: RlimitInfinity}}, false), "files are never unlimited")
	require.ErrorContains(t, Rlimit{Resource: unix.RLIMIT_NOFILE, Max: 1 << 40}.checkFiles(&RlimitError{Name: "nofile", Max: 1 << 40}),
		"sandbox: raise the hard limit nofile to 1099511627776: the sysctl fs.nr_open of this machine is ")
}

// A table of calls with known answers finds out what the assembly does with
// arguments, references, tolerated errors and jumps.
func TestInterpreter(t *testing.T) {
	run := func(fill func(*table)) error {
		tab := &table{program: "/none"}
		fill(tab)
		p, err := tab.run(t.Context(), nil, Options{})
		require.Nil(t, p, "the last step is no program")
		require.Error(t, err)
		return err
	}
	fail := func(tab *table) { tab.call("the end", unix.SYS_CLOSE, number(-1)) }

	t.Run("each argument may be a result", func(t *testing.T) {
		// mmap of the second page of a file has six arguments, and the child's
		// memory is ours: we see what it mapped.
		page := os.Getpagesize()
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, []byte(strings.Repeat("a", page)+strings.Repeat("b", page)), 0o600))
		memory, err := unix.Mmap(-1, 0, page, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
		require.NoError(t, err)
		defer unix.Munmap(memory)
		require.EqualError(t, run(func(tab *table) {
			echo := func(n int) arg { // umask returns what it was told before
				tab.call("tell", unix.SYS_UMASK, number(n))
				return result(tab.call("hear", unix.SYS_UMASK, number(0)))
			}
			fd := result(tab.open("open", number(unix.AT_FDCWD), file, unix.O_RDONLY, 0))
			offset := result(tab.call("seek", unix.SYS_LSEEK, fd, number(page), number(unix.SEEK_SET)))
			where := result(tab.call("same place", unix.SYS_MREMAP, number(uintptr(unsafe.Pointer(&memory[0]))), number(page), number(page), number(0)))
			tab.call("map", unix.SYS_MMAP, where, echo(0o777), echo(unix.PROT_READ), echo(unix.MAP_PRIVATE|unix.MAP_FIXED), fd, offset)
			fail(tab)
		}), "sandbox: the end: bad file descriptor")
		require.Equal(t, strings.Repeat("b", page), string(memory))
	})
	t.Run("tolerated", func(t *testing.T) {
		require.EqualError(t, run(func(tab *table) {
			tab.call("first", unix.SYS_CLOSE, number(-1))
			tab.on(2, unix.ENOENT, unix.EBADF)
			tab.call("left out", unix.SYS_CLOSE, number(-1))
			tab.call("left out", unix.SYS_CLOSE, number(-1))
			fail(tab)
		}), "sandbox: the end: bad file descriptor")
	})
	t.Run("not tolerated", func(t *testing.T) {
		require.EqualError(t, run(func(tab *table) {
			tab.call("first", unix.SYS_CLOSE, number(-1))
			tab.on(0, unix.ENOENT)
			fail(tab)
		}), "sandbox: first: bad file descriptor")
	})
	t.Run("jump", func(t *testing.T) {
		require.EqualError(t, run(func(tab *table) {
			tab.jump("over", 1)
			tab.call("left out", unix.SYS_CLOSE, number(-1))
			fail(tab)
		}), "sandbox: the end: bad file descriptor")
	})
	t.Run("large error", func(t *testing.T) {
		require.EqualError(t, run(func(tab *table) {
			// ENOTSOCK is 88: no bit of a mask.
			tab.call("no socket", unix.SYS_LISTEN, result(tab.open("a file", number(unix.AT_FDCWD), "/", unix.O_RDONLY, 0)), number(1))
			tab.on(0, unix.Errno(88&63))
			fail(tab)
		}), "sandbox: no socket: socket operation on non-socket")
	})
	t.Run("killed", func(t *testing.T) {
		require.ErrorIs(t, run(func(tab *table) {
			pid := tab.call("who am I", unix.SYS_GETPID)
			tab.call("kill", unix.SYS_KILL, result(pid), number(unix.SIGKILL))
			fail(tab)
		}), ErrKilled)
	})
	t.Run("only the files of the table are open", func(t *testing.T) {
		other, err := os.Open("/")
		require.NoError(t, err)
		defer other.Close()
		require.EqualError(t, run(func(tab *table) {
			tab.call("a file of the table", unix.SYS_FCNTL, tab.file(os.Stderr), number(unix.F_GETFD))
			tab.call("another file", unix.SYS_FCNTL, number(other.Fd()), number(unix.F_GETFD))
		}), "sandbox: another file: bad file descriptor")
	})
	t.Run("unreadable", func(t *testing.T) {
		require.EqualError(t, run(func(tab *table) {
			dumpable := result(tab.call("ask", unix.SYS_PRCTL, number(unix.PR_GET_DUMPABLE)))
			tab.call("map as many bytes", unix.SYS_MMAP, number(0), dumpable, number(unix.PROT_READ),
				number(unix.MAP_ANONYMOUS|unix.MAP_PRIVATE), number(-1), number(0))
			tab.on(1, unix.EINVAL) // none
			tab.call("the child is readable", unix.SYS_CLOSE, number(-1))
			fail(tab)
		}), "sandbox: the end: bad file descriptor")
	})
	t.Run("fork", func(t *testing.T) {
		require.EqualError(t, run(func(tab *table) {
			tab.call("fork", unix.SYS_CLONE3)
			tab.last().fork = true
			fail(tab)
		}), "sandbox: the end: bad file descriptor")
	})
	t.Run("the intermediate process is killed", func(t *testing.T) {
		require.ErrorIs(t, run(func(tab *table) {
			pid := tab.call("who am I", unix.SYS_GETPID)
			tab.call("kill", unix.SYS_KILL, result(pid), number(unix.SIGKILL))
			tab.call("fork", unix.SYS_CLONE3)
			tab.last().fork = true
			fail(tab)
		}), ErrKilled)
	})
}

// FuzzArena checks that what the kernel reads from an arena is what the table
// says, for any strings.
func FuzzArena(f *testing.F) {
	f.Add("a", "b\xff", "", uint8(3))
	f.Add("/proc/self", "PATH=/bin", strings.Repeat("x", 5000), uint8(0))
	f.Fuzz(func(t *testing.T, a, b, c string, extra uint8) {
		a, b, c = cString(a), cString(b), cString(c)
		tab := &table{}
		first := tab.call("one", unix.SYS_OPENAT2, tab.text(a), tab.bytes(b), number(int(extra)))
		tab.call("two", unix.SYS_EXECVE, tab.text(c), tab.argv([]string{a, b, c}), tab.envp(nil), result(first))
		tab.on(0, unix.ENOENT)
		filter := []bpf.RawInstruction{{Op: 6, Jt: extra, K: uint32(len(a))}, {Jf: extra}}
		tab.call("three", unix.SYS_EXECVE, tab.argv([]string{c}), tab.filter(filter))
		if tab.String() == "" || strings.Count(tab.String(), "\n") != 3 {
			t.Fatalf("not a line for each step:\n%s", tab)
		}
		front := make([]step, int(extra)%8)
		arena, err := newArena(tab, len(front))
		if err != nil {
			t.Fatal(err)
		}
		defer arena.free()
		arena.assemble(front, tab)
		ops := arena.ops[len(front):]
		equal := func(want, got string) {
			if want != got {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
		equal(a, readString(arena, ops[0].args[0]))
		equal(b, string(bytesAt(arena, ops[0].args[1], len(b))))
		equal(fmt.Sprint(extra), fmt.Sprint(ops[0].args[2]))
		equal(c, readString(arena, ops[1].args[0]))
		length, code := readFilter(arena, ops[2].args[1])
		equal(fmt.Sprint(filter, len(filter)), fmt.Sprint(code, length))
		equal(fmt.Sprint([]string{a, b, c}), fmt.Sprint(readVector(arena, ops[1].args[1])))
		equal(fmt.Sprint([]string{}), fmt.Sprint(readVector(arena, ops[1].args[2])))
		equal(fmt.Sprint([]string{c}), fmt.Sprint(readVector(arena, ops[2].args[0])))
		if ops[1].refs != 1<<3 || ops[1].args[3] != uint64(address(arena, &ops[0].result)) {
			t.Fatalf("the reference is wrong: %+v", ops[1])
		}
		if ops[1].otherwise != address(arena, &ops[2]) {
			t.Fatalf("the jump is wrong: %+v", ops[1])
		}
	})
}

func cString(s string) string {
	s, _, _ = strings.Cut(s, "\x00")
	return s
}

// bytesAt reads an arena at an address.
func bytesAt(a *arena, at uint64, n int) []byte {
	offset := at - uint64(a.base)
	return a.mem[offset : offset+uint64(n)]
}

func readString(a *arena, at uint64) string {
	n := 0
	for bytesAt(a, at, n+1)[n] != 0 {
		n++
	}
	return string(bytesAt(a, at, n))
}

func readFilter(a *arena, at uint64) (length int, code []bpf.RawInstruction) {
	length = int(binary.NativeEndian.Uint16(bytesAt(a, at, 2)))
	at = binary.NativeEndian.Uint64(bytesAt(a, at+8, 8))
	for i := range uint64(length) {
		b := bytesAt(a, at+8*i, 8)
		code = append(code, bpf.RawInstruction{Op: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:])})
	}
	return length, code
}

func readVector(a *arena, at uint64) []string {
	words := []string{}
	for ; ; at += 8 {
		p := binary.NativeEndian.Uint64(bytesAt(a, at, 8))
		if p == 0 {
			return words
		}
		words = append(words, readString(a, p))
	}
}
