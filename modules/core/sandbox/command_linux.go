package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"github.com/containust/containust/modules/core/capability"
	"golang.org/x/sys/unix"
)

// command ends the table with what makes the process what it shall be, and
// its program. The standard streams that c leaves open are rest.
func (t *table) command(c *Command, rest arg) error {
	if c.Dir != "" {
		name := "enter the working directory " + c.Dir
		dir := t.resolve(name, number(unix.AT_FDCWD), c.Dir, unix.O_PATH|unix.O_DIRECTORY)
		t.call(name, unix.SYS_FCHDIR, result(dir))
	}
	umask := uint32(0o022)
	if c.Umask != nil {
		umask = *c.Umask
	}
	t.call("set the file mode mask", unix.SYS_UMASK, number(umask))
	if c.Personality != 0 {
		t.call("set the personality", unix.SYS_PERSONALITY, number(c.Personality))
	}
	if c.NewSession {
		t.call("start a session", unix.SYS_SETSID)
	}
	t.call("start a session keyring", unix.SYS_KEYCTL, number(unix.KEYCTL_JOIN_SESSION_KEYRING), number(0))
	t.on(0, unix.ENOSYS)
	for _, r := range c.Rlimits {
		t.setLimit(r.Resource, unix.Rlimit{Cur: r.Cur, Max: r.Max})
	}
	if err := t.credentials(c); err != nil {
		return err
	}
	t.streams(c, rest)
	t.resetSignals()
	if !t.init {
		t.unblockSignals()
		t.install(c)
		t.programs(c)
		return nil
	}
	program, err := t.prepareInit()
	if err != nil {
		return err
	}
	t.install(c)
	t.runInit(c, program)
	return nil
}

// install installs the filter of c, as late as can be, so that it need not allow
// any step before it.
func (t *table) install(c *Command) {
	if t.filtered = len(c.Filter.Instructions) > 0; t.filtered {
		t.call("install the system call filter", unix.SYS_SECCOMP, number(unix.SECCOMP_SET_MODE_FILTER), number(c.Filter.Flags), t.filter(c.Filter.Instructions))
	}
}

// canLeaveGroups is false in a user namespace whose root is its only id: the
// kernel then keeps everybody in the groups of who made it, which are nobody's
// inside.
var canLeaveGroups = sync.OnceValue(func() bool {
	text, err := os.ReadFile("/proc/self/setgroups")
	return err != nil || strings.TrimSpace(string(text)) != "deny"
})

// credentials leaves the process with the capabilities, user and groups of c,
// for good.
func (t *table) credentials(c *Command) error {
	const dropping, capabilities = "drop capabilities", "set capabilities"
	if !c.AllowNewPrivileges {
		t.call("set no_new_privs", unix.SYS_PRCTL, number(unix.PR_SET_NO_NEW_PRIVS), number(1))
	}
	last, err := capability.Last()
	if err != nil {
		return fmt.Errorf("sandbox: %s: %w", dropping, err)
	}
	has := c.sets()
	all := has.Bounding | has.Permitted | has.Inheritable
	if unknown := all >> (last + 1); unknown != 0 {
		return fmt.Errorf("sandbox: %s: this kernel does not know %v", capabilities, unknown<<(last+1))
	}
	for n := range last + 1 {
		if !has.Bounding.Has(n) {
			t.call(dropping, unix.SYS_PRCTL, number(unix.PR_CAPBSET_DROP), number(n))
		}
	}
	var groups arg
	if len(c.Groups) > 0 {
		groups = t.bytes(string(unsafe.Slice((*byte)(unsafe.Pointer(&c.Groups[0])), 4*len(c.Groups))))
	}
	switch {
	case canLeaveGroups():
		t.call("set groups", unix.SYS_SETGROUPS, number(len(c.Groups)), groups)
	case len(c.Groups) > 0:
		return errors.New("sandbox: set groups: a user without subordinate ids has none to give")
	}
	t.call(capabilities, unix.SYS_PRCTL, number(unix.PR_SET_KEEPCAPS), number(1))
	t.call("set the group", unix.SYS_SETRESGID, number(c.GID), number(c.GID), number(c.GID))
	t.call("set the user", unix.SYS_SETRESUID, number(c.UID), number(c.UID), number(c.UID))
	t.stayUnreadable()

	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	for i := range sets {
		sets[i].Effective = uint32(has.Effective >> (32 * i))
		sets[i].Permitted = uint32(has.Permitted >> (32 * i))
		sets[i].Inheritable = uint32(has.Inheritable >> (32 * i))
	}
	t.call(capabilities, unix.SYS_CAPSET, t.bytes(memory(&header)), t.bytes(memory(&sets)))
	for _, n := range has.Ambient.All() {
		t.call(capabilities, unix.SYS_PRCTL, number(unix.PR_CAP_AMBIENT), number(unix.PR_CAP_AMBIENT_RAISE), number(n), number(0), number(0))
	}
	return nil
}

// sets are the process's five sets of capabilities.
func (c *Command) sets() CapabilitySets {
	if c.CapabilitySets != nil {
		return *c.CapabilitySets
	}
	all := CapabilitySets{Bounding: c.Capabilities, Effective: c.Capabilities, Permitted: c.Capabilities}
	// Root gets its capabilities from the bounding set when it runs a program.
	// Others need ambient ones, which must be inheritable.
	if c.UID != 0 {
		all.Inheritable, all.Ambient = c.Capabilities, c.Capabilities
	}
	return all
}

// standing gives the process its place among others, as long as it has the
// power to.
func (t *table) standing(c *Command) {
	if c.CPUs != nil {
		var set unix.CPUSet
		for _, n := range c.CPUs {
			set.Set(n)
		}
		t.call("set the processors", unix.SYS_SCHED_SETAFFINITY, number(0), number(unsafe.Sizeof(set)), t.bytes(memory(&set)))
	}
	if p := c.IOPriority; p != nil {
		const thisProcess, classShift = 1, 13 // <linux/ioprio.h>
		t.call("set the i/o priority", unix.SYS_IOPRIO_SET, number(thisProcess), number(0), number(int(p.Class)<<classShift|p.Level))
	}
	if s := c.Scheduler; s != nil {
		attr := unix.SchedAttr{
			Policy: s.Policy, Flags: s.Flags, Nice: s.Nice, Priority: s.Priority,
			Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period, Size: unix.SizeofSchedAttr,
		}
		t.call("set the scheduler", unix.SYS_SCHED_SETATTR, number(0), t.bytes(memory(&attr)), number(0))
	}
}

// stayUnreadable follows a change of credentials, which makes the shared memory
// as dumpable as the system's fs.suid_dumpable says.
func (t *table) stayUnreadable() {
	t.call("stay unreadable", unix.SYS_PRCTL, number(unix.PR_SET_DUMPABLE), number(0))
}

func (t *table) setLimit(resource int, limit unix.Rlimit) {
	t.call("set the limit "+rlimitName(resource), unix.SYS_PRLIMIT64, number(0), number(resource), t.bytes(memory(&limit)), number(0))
}

// streams puts the standard streams in place and leaves no other file open.
func (t *table) streams(c *Command, rest arg) {
	const name = "set the standard streams"
	var sources [3]arg
	for i, f := range []*os.File{c.Stdin, c.Stdout, c.Stderr} {
		if f == nil {
			sources[i] = rest
			continue
		}
		sources[i] = t.file(f)
		// A low number may be overwritten before its turn comes.
		if n := sources[i].n; n < 3 && n != uint64(i) {
			sources[i] = result(t.call(name, unix.SYS_FCNTL, sources[i], number(unix.F_DUPFD_CLOEXEC), number(3)))
		}
	}
	for i, source := range sources {
		if source == number(i) {
			t.call(name, unix.SYS_FCNTL, source, number(unix.F_SETFD), number(0))
		} else {
			t.call(name, unix.SYS_DUP3, source, number(i), number(0))
		}
	}
	t.call("close all other files", unix.SYS_CLOSE_RANGE, number(3), number(^uint32(0)), number(unix.CLOSE_RANGE_CLOEXEC))
}

// lastSignal is the kernel's _NSIG. The real-time signals that C libraries keep
// to themselves may have been ignored by a caller's caller too.
const lastSignal = 64

// resetSignals undoes what the process inherits of signals that the caller
// ignores, as under nohup(1).
func (t *table) resetSignals() {
	const name = "reset signals"
	action := t.bytes(strings.Repeat("\x00", 32)) // struct sigaction: SIG_DFL
	for sig := unix.Signal(1); sig <= lastSignal; sig++ {
		if sig != unix.SIGKILL && sig != unix.SIGSTOP {
			t.call(name, unix.SYS_RT_SIGACTION, number(sig), action, number(0), number(8))
		}
	}
}

// unblockSignals undoes what was done for the clone.
func (t *table) unblockSignals() {
	const name = "reset signals"
	none := t.bytes(strings.Repeat("\x00", 8))
	t.call(name, unix.SYS_RT_SIGPROCMASK, number(unix.SIG_SETMASK), none, number(0), number(8))
}

// defaultPath is where programs are looked for without a PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// elsewhere are the errors of a place where the program is not, as for execvp(3):
// it may be in the next. The assembly of the init program knows them too.
var elsewhere = []syscall.Errno{unix.ENOENT, unix.ENOTDIR, unix.EACCES, unix.ELOOP, unix.ENAMETOOLONG}

// programs tries to run the program wherever it may be.
func (t *table) programs(c *Command) {
	t.program = c.Args[0]
	places := c.places()
	argv, envp := t.argv(c.Args), t.envp(c.Env)
	for i, place := range places {
		t.call("run "+place, unix.SYS_EXECVE, t.text(place), argv, envp)
		if i < len(places)-1 {
			t.on(0, elsewhere...)
		}
	}
}

// places are the paths that the program may have.
func (c *Command) places() (places []string) {
	if strings.Contains(c.Args[0], "/") {
		return c.Args[:1]
	}
	for _, dir := range strings.Split(pathOf(c.Env), ":") {
		if dir == "" {
			dir = "."
		}
		places = append(places, dir+"/"+c.Args[0])
	}
	return places
}

// pathOf returns the PATH of an environment.
func pathOf(env []string) string {
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			return value
		}
	}
	return defaultPath
}
