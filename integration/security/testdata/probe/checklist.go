package main

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// address of something that a system call reads, which stays there.
func address[T any](v *T) uintptr {
	kept = append(kept, v)
	return uintptr(unsafe.Pointer(v))
}

var kept []any

// text is the address of a C string.
func text(s string) uintptr {
	b, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	return address(b)
}

func checklist() []item {
	here := unix.AT_FDCWD
	now := func() *unix.Timespec {
		var ts unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_REALTIME, &ts) // cannot fail with this clock
		return &ts
	}
	return []item{
		// Mounts and roots.
		{"mount a tmpfs", func() error { return unix.Mount("none", "/tmp", "tmpfs", 0, "") }},
		{"make a tmpfs with fsopen", func() error { _, err := unix.Fsopen("tmpfs", 0); return err }},
		{"make the root writable", func() error { return unix.Mount("none", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
		{"unmount what hides /proc/keys", func() error { return unix.Unmount("/proc/keys", unix.MNT_DETACH) }},
		{"mount cgroup v1 for its release agent", func() error { return unix.Mount("none", "/tmp", "cgroup", 0, "memory") }},
		{"clone a mount with open_tree", func() error { _, err := unix.OpenTree(here, "/", unix.OPEN_TREE_CLONE); return err }},
		{"pivot_root", func() error { return unix.PivotRoot("/", "/tmp") }},
		{"chroot", func() error { return unix.Chroot("/") }},

		// Namespaces.
		{"make a user namespace", func() error { return child(&syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}, self) }},
		{"make a mount namespace", call(unix.SYS_UNSHARE, unix.CLONE_NEWNS)},
		{"make a network namespace", call(unix.SYS_UNSHARE, unix.CLONE_NEWNET)},
		{"make a namespace with clone3", call(unix.SYS_CLONE3, 0, 0)},
		{"enter a namespace with setns", func() error {
			fd, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return errors.Join(unix.Setns(fd, unix.CLONE_NEWNET), unix.Close(fd))
		}},

		// Other processes.
		{"signal a process that is not the container's", func() error { return unix.Kill(-1, 0) }},
		{"see a process that is not the container's", others},
		{"trace a child of one's own", func() error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			return tracedChild()
		}},
		{"take a process's descriptor with pidfd_getfd", func() error {
			fd, err := unix.PidfdOpen(1, 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 1, 0)
			return errors.Join(err, unix.Close(fd))
		}},

		// Privileges.
		{"gain a capability with capset", raised},
		{"gain one from a file with capabilities", scratch(func(name string) error {
			v3 := []byte{1, 0, 0, 3, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
			return unix.Setxattr(name, "security.capability", v3, 0)
		})},
		{"become another user", func() error {
			return child(&syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, NoSetGroups: true}}, self)
		}},
		{"take other groups", func() error {
			return child(&syscall.SysProcAttr{Credential: &syscall.Credential{Groups: []uint32{1000}}}, self)
		}},
		{"give a file away", scratch(func(name string) error { return os.Chown(name, 1000, 1000) })},
		{"make a file set-uid", scratch(func(name string) error { return os.Chmod(name, 0o755|os.ModeSetuid) })},
		{"raise a hard limit", func() error {
			var l unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
				return err
			}
			l.Max++
			return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
		}},
		{"be protected from the killer of low memory", func() error {
			return os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
		}},

		// The kernel.
		{"load a module", call(unix.SYS_INIT_MODULE, 0, 0, text(""))},
		{"load a module from a file", call(unix.SYS_FINIT_MODULE, ^uintptr(0), text(""), 0)},
		{"unload a module", call(unix.SYS_DELETE_MODULE, text("no such module"), 0)},
		{"load another kernel", call(unix.SYS_KEXEC_LOAD, 0, 0, 0, ^uintptr(0))},
		{"reboot", call(unix.SYS_REBOOT, 0, 0, 0, 0)},
		{"use bpf", call(unix.SYS_BPF, ^uintptr(0), 0, 0)},
		{"use performance counters", call(unix.SYS_PERF_EVENT_OPEN, 0, 0, ^uintptr(0), ^uintptr(0), 0)},
		{"use io_uring", call(unix.SYS_IO_URING_SETUP, 0, 0)},
		{"use userfaultfd", call(unix.SYS_USERFAULTFD, 1)},
		{"add a key", call(unix.SYS_ADD_KEY, text("user"), text("probe"), 0, 0, 0)},
		{"read keys", call(unix.SYS_KEYCTL, 0, ^uintptr(2), 0)},
		{"open a file by its handle", call(unix.SYS_OPEN_BY_HANDLE_AT, ^uintptr(0), 0, 0)},
		{"watch the whole file system with fanotify", func() error {
			fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT, 0)
			if err == nil {
				err = unix.Close(fd)
			}
			return err
		}},
		{"set the clock", func() error { return unix.ClockSettime(unix.CLOCK_REALTIME, now()) }},
		{"adjust the clock", func() error { _, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_TICK, Tick: 10000}); return err }},
		{"set the host name", func() error {
			name, err := os.Hostname()
			if err != nil {
				return err
			}
			return unix.Sethostname([]byte(name))
		}},
		{"use swap space", call(unix.SYS_SWAPON, text("/no such file"), 0)},
		{"account for processes", call(unix.SYS_ACCT, text("/no such file"))},
		{"read the kernel's log", call(unix.SYS_SYSLOG, 10, 0, 0)},
		{"change the personality", call(unix.SYS_PERSONALITY, 0x0040000)},
		{"run with real-time priority", func() error {
			param := struct{ priority int32 }{1}
			return call(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, address(&param))()
		}},

		// /proc and /sys.
		{"write /proc/sys/kernel/core_pattern", locked("/proc/sys/kernel/core_pattern")},
		{"write /proc/sys/kernel/modprobe", locked("/proc/sys/kernel/modprobe")},
		{"write /proc/sys/vm/panic_on_oom", locked("/proc/sys/vm/panic_on_oom")},
		{"write /proc/sys/fs/binfmt_misc/register", locked("/proc/sys/fs/binfmt_misc/register")},
		{"write /proc/sys/net/ipv4/ip_unprivileged_port_start", locked("/proc/sys/net/ipv4/ip_unprivileged_port_start")},
		{"write /proc/sysrq-trigger", locked("/proc/sysrq-trigger")},
		{"read /proc/kcore", hidden("/proc/kcore")},
		{"read /proc/keys", hidden("/proc/keys")},
		{"read /proc/interrupts", hidden("/proc/interrupts")},
		{"read /proc/timer_list", hidden("/proc/timer_list")},
		{"read /sys/firmware", hidden("/sys/firmware")},
		{"write /sys/fs/cgroup/cgroup.procs", locked("/sys/fs/cgroup/cgroup.procs")},
		{"write /sys/fs/cgroup/release_agent", locked("/sys/fs/cgroup/release_agent")},
		{"write /sys/kernel/uevent_helper", locked("/sys/kernel/uevent_helper")},
		{"write /sys/power/state", locked("/sys/power/state")},
		{"change one's id map", func() error { return os.WriteFile("/proc/self/uid_map", []byte("0 0 1"), 0) }},
		{"read /proc/meminfo, which is the machine's", shows("/proc/meminfo")},
		{"read /proc/cpuinfo, which is the machine's", shows("/proc/cpuinfo")},
		{"read /proc/sys/kernel/random/boot_id, which is the machine's", shows("/proc/sys/kernel/random/boot_id")},

		// Devices and files.
		{"open /dev/mem", open("/dev/mem", unix.O_RDONLY)},
		{"open /dev/kmsg", open("/dev/kmsg", unix.O_RDONLY)},
		{"open /dev/kvm", open("/dev/kvm", unix.O_RDWR)},
		{"open /dev/fuse", open("/dev/fuse", unix.O_RDWR)},
		{"open /dev/net/tun", open("/dev/net/tun", unix.O_RDWR)},
		{"make a device node", func() error { return unix.Mknod("/tmp/probe-node", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1))) }},
		{"open a new terminal", open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY)},
		{"type into the terminal with TIOCSTI", func() error {
			letter := byte('x')
			return call(unix.SYS_IOCTL, 0, unix.TIOCSTI, address(&letter))()
		}},
		{"overwrite the running program", open(self, unix.O_WRONLY)},
		{"write into the root file system", open("/probe-file", unix.O_WRONLY|unix.O_CREAT)},
		{"write /etc/hosts", open("/etc/hosts", unix.O_WRONLY)},
		{"write into /tmp", scratch(func(string) error { return nil })},
		{"run a program from /tmp", ownProgram},
		{"share memory in /dev/shm", func() error {
			return errors.Join(os.WriteFile("/dev/shm/probe", nil, 0o600), os.Remove("/dev/shm/probe"))
		}},

		// The network.
		{"listen on port 80", func() error {
			l, err := net.Listen("tcp", "127.0.0.1:80")
			if err == nil {
				err = l.Close()
			}
			return err
		}},
		{"open a socket for ping", socket(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)},
		{"open a raw socket", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{"open a packet socket", socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{"open a socket to the kernel's ciphers (AF_ALG)", socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{"open a socket to the hypervisor (AF_VSOCK)", socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{"take down an interface", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
			if err != nil {
				return err
			}
			request, err := unix.NewIfreq("lo")
			if err != nil {
				return err
			}
			request.SetUint16(unix.IFF_UP)
			return errors.Join(call(unix.SYS_IOCTL, uintptr(fd), unix.SIOCSIFFLAGS, address(request))(), unix.Close(fd))
		}},
	}
}

// ownProgram runs a copy of this program.
func ownProgram() error {
	program, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	const copied = "/tmp/probe-copy"
	if err := os.WriteFile(copied, program, 0o755); err != nil {
		return err
	}
	return errors.Join(child(nil, copied), os.Remove(copied))
}
