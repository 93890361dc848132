package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unsafe"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/seccomp"
	"golang.org/x/sys/unix"
)

func (s *Spec) check() error {
	switch {
	case s.Mount != nil && (s.Root != nil || s.ReadOnlyRoot || s.RootPropagation != rootfs.Private || len(s.Sysctls) > 0 ||
		len(s.Mounts)+len(s.Devices)+len(s.Masked)+len(s.ReadOnly) > 0):
		return errors.New("sandbox: the specification enters a mount namespace, so nothing can be mounted in it: leave out the root file system, the plan and the sysctls")
	case s.Mount == nil && s.Root == nil:
		return errors.New("sandbox: the specification has no root file system")
	case s.Init && (s.PID.File != nil || s.PID.Host):
		return errors.New("sandbox: an init is the first process of a pid namespace: leave out the init, or the pid namespace to enter")
	case s.Init && s.OOMScoreAdj != nil:
		return errors.New("sandbox: the specification has an init and oom_score_adj, which would be that of the init alone: leave out one of the two")
	case s.Network != nil && s.HostNetwork:
		return errors.New("sandbox: the specification has both a network namespace and the host's")
	case len(s.Hostname) > 64:
		return fmt.Errorf("sandbox: the host name %q is longer than 64 bytes", s.Hostname)
	case len(s.Domainname) > 64:
		return fmt.Errorf("sandbox: the domain name %q is longer than 64 bytes", s.Domainname)
	case s.UTS.Host && s.Hostname+s.Domainname != "":
		return errors.New("sandbox: the specification has a name of its own and the caller's uts namespace: it would rename the host")
	case s.User != nil && s.Scheduler != nil && s.Scheduler.Policy == unix.SCHED_DEADLINE:
		return errors.New("sandbox: a process with deadlines cannot enter a user namespace: leave out one of the two")
	}
	for name, n := range map[string]Namespace{"pid": s.PID, "ipc": s.IPC, "uts": s.UTS, "cgroup": s.CgroupNamespace} {
		if n.File != nil && n.Host {
			return fmt.Errorf("sandbox: the specification has both a %s namespace and the host's", name)
		}
	}
	if err := s.checkSysctls(); err != nil {
		return err
	}
	paths := slices.Concat(s.Masked, s.ReadOnly)
	for _, m := range s.Mounts {
		paths = append(paths, m.Target)
		if err := noNUL("mount "+m.Target, append(m.Options, m.Type)...); err != nil {
			return err
		}
	}
	for _, p := range paths {
		if !path.IsAbs(p) || path.Clean(p) == "/" {
			return fmt.Errorf("sandbox: %q must be an absolute path below the root", p)
		}
	}
	if err := noNUL("paths", append(paths, s.Hostname)...); err != nil {
		return err
	}
	return s.Command.check()
}

func (s *ExecSpec) check() error {
	if s.Terminal != nil && (s.Stdin != nil || s.Stdout != nil || s.Stderr != nil) {
		return errors.New("sandbox: the specification has both a terminal and standard streams")
	}
	return s.Command.check()
}

// checkKernel refuses what the running kernel cannot give.
func (s *Spec) checkKernel() error {
	if s.TimeOffsets == (TimeOffsets{}) {
		return nil
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("sandbox: read the kernel's version: %w", err)
	}
	return checkClocks(unix.ByteSliceToString(name.Release[:]))
}

// checkClocks refuses offsets on a kernel where running a program does not enter
// the time namespace: the program would have the host's clocks, and could not
// start a thread.
func checkClocks(release string) error {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return fmt.Errorf("sandbox: read the kernel's version %q: %w", release, err)
	}
	if major < 6 || major == 6 && minor < 2 {
		return fmt.Errorf("sandbox: give the process other clocks: it needs Linux 6.2, this is %s; leave out the offsets, or boot a newer kernel: %w", release, errors.ErrUnsupported)
	}
	return nil
}

// checkSysctls refuses what is not the container's own.
func (s *Spec) checkSysctls() error {
	for key, value := range s.Sysctls {
		var shared bool
		p := sysctlPath(key)
		switch {
		case path.Clean("/"+p) != "/"+p:
			return fmt.Errorf("sandbox: %q is no name of a sysctl", key)
		case strings.HasPrefix(p, "net/"):
			shared = s.HostNetwork
		case slices.Contains(ipcSysctls, p) || strings.HasPrefix(p, "fs/mqueue/"):
			shared = s.IPC.Host
		case p == "kernel/hostname" || p == "kernel/domainname":
			shared = s.UTS.Host
		case strings.HasPrefix(p, "user/"):
			shared = s.User == nil
		default:
			return fmt.Errorf("sandbox: the sysctl %s belongs to the whole machine and to no namespace: set it on the host with sysctl(8)", key)
		}
		if shared {
			return fmt.Errorf("sandbox: the sysctl %s is the host's where the specification shares its namespace: set it on the host with sysctl(8)", key)
		}
		if err := noNUL("sysctl", key, value); err != nil {
			return err
		}
	}
	return nil
}

// ipcSysctls are those of an ipc namespace, beside fs/mqueue.
var ipcSysctls = []string{
	"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem", "kernel/shmall", "kernel/shmmax",
	"kernel/shmmni", "kernel/shm_rmid_forced",
}

// sysctlPath is a parameter's name as a path below /proc/sys. As in sysctl(8),
// the first of the two signs is the one between the parts, and the other stands
// for it inside of one: net.ipv4.conf.eth0/1.forwarding.
func sysctlPath(key string) string {
	if i := strings.IndexAny(key, "./"); i >= 0 && key[i] == '/' {
		return key
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, key)
}

func (c *Command) check() error {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return errors.New("sandbox: the specification has no program")
	}
	if c.Dir != "" && !path.IsAbs(c.Dir) {
		return fmt.Errorf("sandbox: the working directory %q is not absolute", c.Dir)
	}
	if err := checkFilter(c); err != nil {
		return err
	}
	if err := c.checkStanding(); err != nil {
		return err
	}
	if s := c.CapabilitySets; s != nil {
		switch {
		case c.Capabilities != 0:
			return errors.New("sandbox: the specification says its capabilities twice")
		case s.Effective&^s.Permitted != 0:
			return fmt.Errorf("sandbox: %v cannot be effective, for it is not permitted", s.Effective&^s.Permitted)
		case s.Ambient&^(s.Permitted&s.Inheritable) != 0:
			return fmt.Errorf("sandbox: %v cannot be ambient, for it is not permitted and inheritable", s.Ambient&^(s.Permitted&s.Inheritable))
		}
	}
	if c.UID == ^uint32(0) || c.GID == ^uint32(0) {
		return errors.New("sandbox: 4294967295 is no user or group id")
	}
	return noNUL("the command", slices.Concat(c.Args, c.Env, []string{c.Dir})...)
}

// checkStanding finds numbers that are out of range.
func (c *Command) checkStanding() error {
	switch {
	case c.Umask != nil && *c.Umask > 0o777:
		return fmt.Errorf("sandbox: the file mode mask %#o is none: it has three octal digits", *c.Umask)
	case c.OOMScoreAdj != nil && (*c.OOMScoreAdj < -1000 || *c.OOMScoreAdj > 1000):
		return fmt.Errorf("sandbox: oom_score_adj is -1000 to 1000, not %d", *c.OOMScoreAdj)
	case c.IOPriority != nil && (c.IOPriority.Class < IONone || c.IOPriority.Class > IOIdle || c.IOPriority.Level < 0 || c.IOPriority.Level > 7):
		return fmt.Errorf("sandbox: an i/o priority has a class and a level of 0 to 7, not class %d, level %d", c.IOPriority.Class, c.IOPriority.Level)
	case c.CPUs != nil && len(c.CPUs) == 0:
		return errors.New("sandbox: the list of processors is empty: name one, or leave out the list")
	}
	for _, n := range c.CPUs {
		if most := 8 * int(unsafe.Sizeof(unix.CPUSet{})); n < 0 || n >= most {
			return fmt.Errorf("sandbox: there is no processor %d: the numbers are 0 to %d", n, most-1)
		}
	}
	return nil
}

// checkFilter finds what would only show when the filter is at work already.
func checkFilter(c *Command) error {
	switch n := len(c.Filter.Instructions); {
	case n == 0:
		return nil
	case n > seccomp.MaxInstructions:
		return fmt.Errorf("sandbox: the system call filter has %d instructions, and the kernel takes %d", n, seccomp.MaxInstructions)
	case c.Filter.NoExec:
		return errors.New("sandbox: the system call filter does not let execve happen, so no program could be started; allow it in the profile")
	case c.AllowNewPrivileges && !c.sets().Effective.Has(capability.SYS_ADMIN):
		return errors.New("sandbox: a system call filter cannot go with new privileges: it would confuse set-uid programs; leave out one of the two, or add CAP_SYS_ADMIN")
	}
	return nil
}

// noNUL refuses what a C string would cut short.
func noNUL(what string, words ...string) error {
	for _, w := range words {
		if strings.ContainsRune(w, 0) {
			return fmt.Errorf("sandbox: %s: %q contains a NUL byte: %w", what, w, unix.EINVAL)
		}
	}
	return nil
}
