package sandbox

import (
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/containust/containust/modules/core/rootfs"
	"golang.org/x/sys/unix"
)

// newTable returns an empty table with room for what most launches need.
func newTable() *table {
	return &table{
		steps:          make([]step, 0, 256),
		data:           make([]datum, 0, 256),
		clonesDetached: clonesDetached(),
	}
}

// clonesDetached tells whether this kernel can clone a mount that is attached
// nowhere (Linux 6.15). It costs a mount, so it is asked for once.
var clonesDetached = sync.OnceValue(func() bool {
	f, err := rootfs.Tmpfs(nil, 0)
	if err != nil {
		return false // and a launch will say why
	}
	defer f.Close()
	clone, err := rootfs.Clone(f, rootfs.Bind{})
	if err != nil {
		return false
	}
	return clone.Close() == nil
})

// launch fills the table for a container's first process.
func (t *table) launch(spec *Spec) error {
	if err := spec.check(); err != nil {
		return err
	}
	if err := t.namespaces(spec); err != nil {
		return err
	}
	null, err := t.root(spec)
	if err != nil {
		return err
	}
	if spec.Hostname != "" {
		t.call("set the host name", unix.SYS_SETHOSTNAME, t.text(spec.Hostname), number(len(spec.Hostname)))
	}
	if spec.Domainname != "" {
		t.call("set the domain name", unix.SYS_SETDOMAINNAME, t.text(spec.Domainname), number(len(spec.Domainname)))
	}
	t.init = spec.Init
	return t.command(&spec.Command, null)
}

// root gives the process its root file system, and returns its null device.
func (t *table) root(spec *Spec) (null arg, err error) {
	if spec.Mount != nil { // it was entered, with all that is there
		return t.null(number(unix.AT_FDCWD), nil), nil
	}
	root := t.file(spec.Root)
	t.attachRoot(root)
	dev, mounted, err := t.mounts(root, spec)
	if err != nil {
		return arg{}, err
	}
	null = t.null(root, dev)
	t.sysctls(spec.Sysctls)
	t.mask(mounted, null, spec.Masked)
	t.makeReadOnly(mounted, spec.ReadOnly)
	if spec.ReadOnlyRoot {
		t.setAttr("make the root file system read-only", root, 0, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	}
	t.pivot()
	if spec.RootPropagation != rootfs.Private {
		// Not before: a root that is shared cannot be changed.
		t.setAttr("set the propagation of the root file system", number(unix.AT_FDCWD), 0, unix.MountAttr{Propagation: spec.RootPropagation.Bits()})
	}
	return null, nil
}

// sysctls writes kernel parameters, through a /proc that nothing of the image
// lies over.
func (t *table) sysctls(values map[string]string) {
	if len(values) == 0 {
		return
	}
	proc := t.newFileSystem("make a file system for sysctls", "proc", nil, rootfs.NoSuid|rootfs.NoDev|rootfs.NoExec)
	for _, key := range slices.Sorted(maps.Keys(values)) {
		name := "set the sysctl " + key
		file := t.open(name, proc, "sys/"+sysctlPath(key), unix.O_WRONLY, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_SYMLINKS|unix.RESOLVE_NO_XDEV)
		t.write(name, result(file), values[key])
	}
}

func (t *table) write(name string, file arg, text string) {
	t.call(name, unix.SYS_WRITE, file, t.text(text), number(len(text)))
}

// exec fills the table for a further process, with a terminal where y is set.
func (t *table) exec(namespaces *os.File, spec *ExecSpec, y *tty) error {
	if err := spec.check(); err != nil {
		return err
	}
	if err := t.raise(spec.Rlimits, true); err != nil {
		return err
	}
	t.standing(&spec.Command)
	const name = "enter the container"
	flags := unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWNET
	if t.otherTime {
		flags |= unix.CLONE_NEWTIME // takes memory of its own, whose clocks it changes
	}
	t.call(name, unix.SYS_SETNS, t.file(namespaces), number(flags))
	// Last, because a container may share a network namespace that its own user
	// namespace has no power over.
	t.call(name, unix.SYS_SETNS, t.file(namespaces), number(unix.CLONE_NEWUSER))
	t.on(rootSteps, unix.EINVAL) // it shares the caller's
	t.becomeRoot()
	// A process does not change its own pid namespace, only its children's.
	t.fork("clone inside the container", 0)
	if y != nil {
		command := spec.Command
		command.NewSession = false // the terminal comes with one
		return t.command(&command, t.terminal(y, &command))
	}
	return t.command(&spec.Command, t.null(number(unix.AT_FDCWD), nil))
}

// namespaces enters those that are given and makes the others. With a user
// namespace, that one owns what is made: the steps after that have power inside
// and none outside.
func (t *table) namespaces(spec *Spec) error {
	if err := t.raise(spec.Rlimits, spec.User != nil); err != nil {
		return err
	}
	t.standing(&spec.Command)
	var clocks arg
	if spec.TimeOffsets != (TimeOffsets{}) {
		// Opened as long as the process may.
		clocks = result(t.open("open the clocks' offsets", number(unix.AT_FDCWD), "/proc/self/timens_offsets", unix.O_WRONLY, 0))
	}
	fresh := t.enter(spec)
	if spec.User != nil {
		t.call("enter the user namespace", unix.SYS_SETNS, t.file(spec.User), number(unix.CLONE_NEWUSER))
		t.becomeRoot()
	}
	if spec.TimeOffsets != (TimeOffsets{}) {
		// The process itself is in it only once it runs its program.
		t.call("make a time namespace", unix.SYS_UNSHARE, number(unix.CLONE_NEWTIME))
		t.write("set the clocks' offsets", clocks, spec.TimeOffsets.String())
	}
	switch {
	case spec.User != nil:
		t.fork("make namespaces", fresh)
	case fresh&unix.CLONE_NEWPID != 0:
		t.cloneFlags = unix.CLONE_NEWPID
	}
	if spec.User == nil {
		// Here and not in the clone, which holds up the caller's thread, and where
		// a cgroup namespace would be rooted in the caller's cgroup.
		if fresh &^= unix.CLONE_NEWPID; fresh != 0 {
			t.call("make namespaces", unix.SYS_UNSHARE, number(fresh))
		}
		if spec.PID.File != nil {
			// A process does not change its own pid namespace, only its children's.
			t.fork("clone inside the pid namespace", 0)
		}
	}
	if fresh&unix.CLONE_NEWNET != 0 {
		t.bringUpLoopback()
	}
	return nil
}

// enter enters the namespaces that are given, but for the user namespace, and
// returns the flags of those that have to be made.
func (t *table) enter(spec *Spec) (fresh uint64) {
	for _, n := range [...]struct {
		name string
		from Namespace
		flag uint64
	}{
		{"network", Namespace{File: spec.Network, Host: spec.HostNetwork}, unix.CLONE_NEWNET},
		{"pid", spec.PID, unix.CLONE_NEWPID},
		{"ipc", spec.IPC, unix.CLONE_NEWIPC},
		{"uts", spec.UTS, unix.CLONE_NEWUTS},
		{"cgroup", spec.CgroupNamespace, unix.CLONE_NEWCGROUP},
		{"mount", Namespace{File: spec.Mount}, unix.CLONE_NEWNS},
	} {
		switch {
		case n.from.File != nil:
			t.call("enter the "+n.name+" namespace", unix.SYS_SETNS, t.file(n.from.File), number(n.flag))
		case !n.from.Host:
			fresh |= n.flag
		}
	}
	return fresh
}

// rootSteps is how many steps becomeRoot has.
const rootSteps = 3

// becomeRoot makes the child root of the user namespace that it has entered:
// until then it is nobody there, though with all power.
func (t *table) becomeRoot() {
	const name = "become root in the user namespace"
	t.call(name, unix.SYS_SETRESGID, number(0), number(0), number(0))
	t.call(name, unix.SYS_SETRESUID, number(0), number(0), number(0))
	t.stayUnreadable()
}

// raise finds out whether the limits can be set, and with before raises hard
// limits, which takes power outside of the user namespace that comes next. The
// limits themselves are set at the end: until then they could be in the way.
func (t *table) raise(limits []Rlimit, before bool) error {
	for _, r := range limits {
		var own unix.Rlimit
		if err := unix.Prlimit(0, r.Resource, nil, &own); err != nil {
			return fmt.Errorf("sandbox: read the limit %s: %w", rlimitName(r.Resource), err)
		}
		if err := r.check(own.Max); err != nil {
			return err
		}
		if before && r.Max > own.Max {
			t.setLimit(r.Resource, unix.Rlimit{Cur: own.Cur, Max: r.Max})
		}
	}
	return nil
}

func (t *table) bringUpLoopback() {
	const name = "bring up the loopback interface"
	s := t.call(name, unix.SYS_SOCKET, number(unix.AF_INET), number(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC), number(0))
	request := struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{name: [unix.IFNAMSIZ]byte{'l', 'o'}, flags: unix.IFF_UP}
	t.call(name, unix.SYS_IOCTL, result(s), number(unix.SIOCSIFFLAGS), t.bytes(memory(&request)))
}

// attachRoot puts the root over "/" of the new mount namespace, which a pivot
// turns around later. Over "/" and not elsewhere because that exists on every
// host, and hides nothing that a later mount must see.
func (t *table) attachRoot(root arg) {
	const private, name = "make mounts private", "attach the root file system"
	t.call(private, unix.SYS_MOUNT, t.text(""), t.text("/"), number(0), number(unix.MS_REC|unix.MS_PRIVATE), number(0))
	// A clone of a shared mount is shared too.
	t.setAttr(private, root, unix.AT_RECURSIVE, unix.MountAttr{Propagation: unix.MS_PRIVATE})
	t.attach(name, root, number(unix.AT_FDCWD), "/")
	t.call(name, unix.SYS_FCHDIR, root)
}

// place is an attached mount and the path that it was meant for.
type place struct {
	path  string
	mount arg
}

// places are the root and the mounts over it.
type places []place

// find returns the innermost mount that a path was meant to be in, and the path
// below it. What the image's links make of the mount's own path by now does not
// matter.
func (all places) find(p string) (mount arg, below string) {
	p = path.Clean(p)
	longest := -1
	for _, at := range all {
		rest, ok := strings.CutPrefix(p, strings.TrimSuffix(at.path, "/")+"/")
		if ok && len(at.path) >= longest {
			longest, mount, below = len(at.path), at.mount, rest
		}
	}
	return mount, below
}

// mounts attaches what the specification mounts over the root.
func (t *table) mounts(root arg, spec *Spec) (dev *os.File, mounted places, err error) {
	mounted = places{{"/", root}}
	for _, m := range spec.Mounts {
		name := "mount " + m.Target
		var source arg
		switch {
		case m.Source != nil:
			source = t.file(m.Source)
			t.setAttr(name, source, unix.AT_RECURSIVE, unix.MountAttr{
				Attr_set: m.Flags.Attrs(), Attr_clr: m.Flags.Cleared(), Propagation: m.Propagation.Bits(),
			})
		case m.Type == rootfs.TypeDev && dev != nil:
			return nil, nil, fmt.Errorf("sandbox: %s: the specification mounts %q twice", name, m.Type)
		case m.Type == rootfs.TypeDev:
			options := m.Options
			if spec.User != nil {
				options = append([]string{fmt.Sprintf("uid=%d", spec.RootUID), fmt.Sprintf("gid=%d", spec.RootGID)}, options...)
			}
			if dev, err = rootfs.Dev(options, m.Flags, spec.Devices...); err != nil {
				return nil, nil, fmt.Errorf("sandbox: %s: %w", name, err)
			}
			source = t.file(t.own(dev))
		case m.Type == "sysfs" && spec.User != nil && spec.HostNetwork:
			// A sysfs shows a network namespace, and only who owns that may
			// make one.
			sys, err := rootfs.Folder("/sys", rootfs.Bind{ReadOnly: true, Recursive: true, Flags: m.Flags})
			if err != nil {
				return nil, nil, fmt.Errorf("sandbox: %s: %w", name, err)
			}
			source = t.file(t.own(sys))
		default:
			source = t.newFileSystem(name, m.Type, m.Options, m.Flags)
		}
		if m.Source == nil && m.Propagation != rootfs.Private {
			t.setAttr(name, source, 0, unix.MountAttr{Propagation: m.Propagation.Bits()})
		}
		if m.Top != 0 {
			t.setAttr(name, source, 0, unix.MountAttr{Attr_set: m.Top.Attrs(), Attr_clr: m.Top.Cleared()})
		}
		// Resolved in the root, whatever links the image has there.
		target := t.resolve(name, root, m.Target, unix.O_PATH)
		t.attach(name, source, result(target), "")
		mounted = append(mounted, place{path.Clean(m.Target), source})
		if m.Type == rootfs.TypeDev && m.Source == nil {
			if err := t.devices(dev, m.Flags); err != nil {
				return nil, nil, err
			}
		}
	}
	return dev, mounted, nil
}

// devices mounts the host's nodes over the files in dev that stand for them,
// where none could be made.
func (t *table) devices(dev *os.File, flags rootfs.Flags) error {
	nodes, err := rootfs.Devices(flags)
	if err != nil {
		return fmt.Errorf("sandbox: mount devices: %w", err)
	}
	for _, node := range slices.Sorted(maps.Keys(nodes)) {
		name := "mount /dev/" + node
		place := t.open(name, t.file(dev), node, unix.O_PATH, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_SYMLINKS)
		t.attach(name, t.file(t.own(nodes[node])), result(place), "")
	}
	return nil
}

// newFileSystem returns a detached mount of a new file system.
func (t *table) newFileSystem(name, kind string, options []string, flags rootfs.Flags) arg {
	fs := result(t.call(name, unix.SYS_FSOPEN, t.text(kind), number(unix.FSOPEN_CLOEXEC)))
	for _, option := range options {
		key, value, isString := strings.Cut(option, "=")
		if isString {
			t.call(name, unix.SYS_FSCONFIG, fs, number(unix.FSCONFIG_SET_STRING), t.text(key), t.text(value), number(0))
		} else {
			t.call(name, unix.SYS_FSCONFIG, fs, number(unix.FSCONFIG_SET_FLAG), t.text(key), number(0), number(0))
		}
	}
	t.call(name, unix.SYS_FSCONFIG, fs, number(unix.FSCONFIG_CMD_CREATE), number(0), number(0), number(0))
	return result(t.call(name, unix.SYS_FSMOUNT, fs, number(unix.FSMOUNT_CLOEXEC), number(flags.Attrs())))
}

// attach moves a detached mount to a path, or with an empty path over the file
// that target is.
func (t *table) attach(name string, source, target arg, at string) {
	flags := unix.MOVE_MOUNT_F_EMPTY_PATH
	if at == "" {
		flags |= unix.MOVE_MOUNT_T_EMPTY_PATH
	}
	t.call(name, unix.SYS_MOVE_MOUNT, source, t.text(""), target, t.text(at), number(flags))
}

// clone returns a detached mount of what an open file is.
func (t *table) clone(name string, file arg, flags int) arg {
	return result(t.call(name, unix.SYS_OPEN_TREE, file, t.text(""),
		number(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|flags)))
}

// setAttr changes a mount, and with AT_RECURSIVE those below it.
func (t *table) setAttr(name string, mount arg, flags int, attr unix.MountAttr) {
	t.call(name, unix.SYS_MOUNT_SETATTR, mount, t.text(""), number(unix.AT_EMPTY_PATH|flags),
		t.bytes(memory(&attr)), number(unsafe.Sizeof(attr)))
}

// resolve opens a path inside a root.
func (t *table) resolve(name string, root arg, p string, flags int) int {
	return t.open(name, root, p, flags, unix.RESOLVE_IN_ROOT|unix.RESOLVE_NO_MAGICLINKS)
}

func (t *table) open(name string, dir arg, p string, flags, resolve int) int {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: uint64(resolve)}
	i := t.call(name, unix.SYS_OPENAT2, dir, t.text(p), t.bytes(memory(&how)), number(unix.SizeofOpenHow))
	// What a confined lookup answers when anything on the machine was renamed
	// or mounted while it went through a "..".
	t.last().again = true
	return i
}

// null opens the container's own null device. The host's would let root in the
// container change the host's, through /proc/self/fd.
func (t *table) null(root arg, dev *os.File) arg {
	const name = "open /dev/null"
	const resolve = unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_SYMLINKS
	where, path := root, "dev/null"
	if dev != nil {
		where, path = t.file(dev), "null"
	}
	opened := result(t.open(name, where, path, unix.O_RDWR, resolve))
	// Not one of the numbers that the standard streams will take.
	return result(t.call(name, unix.SYS_FCNTL, opened, number(unix.F_DUPFD_CLOEXEC), number(3)))
}

// mask hides paths: folders behind an empty file system, files behind the null
// device.
func (t *table) mask(mounted places, null arg, paths []string) {
	if len(paths) == 0 {
		return
	}
	const emptyName = "make an empty file system"
	empty := t.newFileSystem(emptyName, "tmpfs", []string{"mode=0555"},
		rootfs.ReadOnly|rootfs.NoSuid|rootfs.NoDev|rootfs.NoExec)
	if !t.clonesDetached {
		// On the old root, which is still "/": over the new one, a link in the
		// image whose way leads back to it by ".." would end in the empty one,
		// and what it names would not be masked.
		t.attach(emptyName, empty, number(unix.AT_FDCWD), "/proc")
		defer t.call(emptyName, unix.SYS_UMOUNT2, t.text("/proc"), number(unix.MNT_DETACH))
	}
	for _, p := range paths {
		name := "mask " + p
		mount, below := mounted.find(p)
		folder := result(t.resolve(name, mount, below, unix.O_PATH|unix.O_DIRECTORY))
		t.on(3, unix.ENOENT, unix.ENOTDIR)
		t.attach(name, t.clone(name, empty, 0), folder, "")
		t.jump(name, 3)
		file := result(t.resolve(name, mount, below, unix.O_PATH))
		t.on(2, unix.ENOENT)
		t.attach(name, t.clone(name, null, 0), file, "")
	}
}

func (t *table) makeReadOnly(mounted places, paths []string) {
	for _, p := range paths {
		name := "make " + p + " read-only"
		mount, below := mounted.find(p)
		target := result(t.resolve(name, mount, below, unix.O_PATH))
		t.on(3, unix.ENOENT)
		clone := t.clone(name, target, unix.AT_RECURSIVE)
		t.setAttr(name, clone, unix.AT_RECURSIVE, unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
		t.attach(name, clone, target, "")
	}
}

// pivot makes the current folder the root and lets go of the old one.
func (t *table) pivot() {
	const name = "change the root"
	t.call(name, unix.SYS_PIVOT_ROOT, t.text("."), t.text("."))
	// The old root now lies over the new one.
	t.call(name, unix.SYS_UMOUNT2, t.text("."), number(unix.MNT_DETACH))
	t.call(name, unix.SYS_CHDIR, t.text("/"))
	// Where the host had more than one mount over its "/", one would be left
	// here, a ".." away. Then this crosses a mount and the launch ends (EXDEV).
	t.open(name, number(unix.AT_FDCWD), "..", unix.O_PATH, unix.RESOLVE_NO_XDEV)
}

// memory returns the bytes of a value without pointers, as the kernel reads it.
func memory[T any](v *T) string {
	return string(unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v)))
}
