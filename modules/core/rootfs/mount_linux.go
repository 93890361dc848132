package rootfs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
)

// Folder opens the file or folder at a host path as a detached mount. The
// caller closes it.
func Folder(path string, bind Bind) (*os.File, error) {
	f, err := openTree(unix.AT_FDCWD, path, path, 0, bind)
	if err != nil {
		return nil, fmt.Errorf("rootfs: open %s as a mount: %w", path, err)
	}
	return f, nil
}

// Clone makes a detached mount of an open file or folder, which may be opened
// with O_PATH. What is mounted is exactly what f refers to: it was checked by
// whoever opened it, and no path is looked up again. The caller keeps f and
// closes the result.
func Clone(f *os.File, bind Bind) (*os.File, error) {
	clone, err := openTree(int(f.Fd()), "", f.Name(), unix.AT_EMPTY_PATH, bind)
	if err != nil {
		return nil, fmt.Errorf("rootfs: open %s as a mount: %w", f.Name(), err)
	}
	return clone, nil
}

func openTree(dir int, path, name string, flags uint, bind Bind) (*os.File, error) {
	flags |= unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC
	if bind.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(dir, path, flags)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	if bind.ReadOnly {
		bind.Flags |= ReadOnly
	}
	// The clone of a shared mount is shared too: what is mounted inside it
	// would show up on the host.
	attr := bind.Flags.attr()
	attr.Attr_clr |= bind.Clear.Attrs() &^ attr.Attr_set
	attr.Propagation = bind.Propagation.Bits()
	if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Set adds flags to a detached mount and to all below it.
func Set(mount *os.File, flags Flags) error {
	attr := flags.attr()
	if err := unix.MountSetattr(int(mount.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return fmt.Errorf("rootfs: set the flags of %s: %w", mount.Name(), err)
	}
	return nil
}

// Attrs returns the flags as MOUNT_ATTR_ bits of mount_setattr(2).
func (f Flags) Attrs() uint64 {
	var attrs uint64
	for _, m := range [...]struct {
		flag Flags
		attr uint64
	}{
		{ReadOnly, unix.MOUNT_ATTR_RDONLY},
		{NoSuid, unix.MOUNT_ATTR_NOSUID},
		{NoDev, unix.MOUNT_ATTR_NODEV},
		{NoExec, unix.MOUNT_ATTR_NOEXEC},
		{NoSymlinks, unix.MOUNT_ATTR_NOSYMFOLLOW},
		{NoDirAtime, unix.MOUNT_ATTR_NODIRATIME},
		{RelAtime, unix.MOUNT_ATTR_RELATIME},
		{NoAtime, unix.MOUNT_ATTR_NOATIME},
		{StrictAtime, unix.MOUNT_ATTR_STRICTATIME},
	} {
		if f&m.flag != 0 {
			attrs |= m.attr
		}
	}
	return attrs
}

// Cleared returns the MOUNT_ATTR_ bits that mount_setattr(2) must clear to set
// the flags: the three kinds of access time are one setting.
func (f Flags) Cleared() uint64 {
	if f&(RelAtime|NoAtime|StrictAtime) != 0 {
		return unix.MOUNT_ATTR__ATIME
	}
	return 0
}

func (f Flags) attr() unix.MountAttr {
	return unix.MountAttr{Attr_set: f.Attrs(), Attr_clr: f.Cleared()}
}

// Bits returns the propagation as mount_setattr(2) takes it.
func (p Propagation) Bits() uint64 {
	return [...]uint64{Private: unix.MS_PRIVATE, Slave: unix.MS_SLAVE, Shared: unix.MS_SHARED, Unbindable: unix.MS_UNBINDABLE}[p]
}

// Tmpfs makes an empty tmpfs as a detached mount, with options of tmpfs(5)
// such as "size=64m" and "mode=1777". The caller closes it.
func Tmpfs(options []string, flags Flags) (*os.File, error) {
	f, err := newMount("tmpfs", options, flags)
	if err != nil {
		return nil, fmt.Errorf("rootfs: make a tmpfs: %w", err)
	}
	return f, nil
}

// newMount makes a detached mount of a new file system.
func newMount(kind string, options []string, flags Flags) (*os.File, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fs)
	for _, option := range options {
		key, value, isString := strings.Cut(option, "=")
		if isString {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return nil, fmt.Errorf("option %q: %w", option, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(flags.Attrs()))
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), kind), nil
}

// devices are the nodes of every /dev; see Documentation/admin-guide/devices.txt
// of Linux for the numbers.
var devices = [...]struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3},
	{"zero", 1, 5},
	{"full", 1, 7},
	{"random", 1, 8},
	{"urandom", 1, 9},
	{"tty", 5, 0},
}

var deviceLinks = [...]struct{ name, target string }{
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"ptmx", "pts/ptmx"},
}

// Dev makes a tmpfs for /dev as a detached mount: the nodes null, zero, full,
// random, urandom and tty, the links fd, stdin, stdout, stderr and ptmx, and
// the folders pts, shm and mqueue. All belong to whom the options uid=N and
// gid=N give the folder itself. More devices can be added. It needs CAP_MKNOD. In
// a user namespace nobody has that power: the nodes then are empty files, Devices
// are to be mounted over them, and more is an error that is
// [errors.ErrUnsupported]. The caller closes it.
func Dev(options []string, flags Flags, more ...Device) (*os.File, error) {
	f, err := newMount("tmpfs", append([]string{"mode=0755", "size=64k"}, options...), flags)
	if err != nil {
		return nil, fmt.Errorf("rootfs: make /dev: %w", err)
	}
	err = fillDev(int(f.Fd()))
	if err == nil {
		err = addDevices(f, more)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("rootfs: make /dev: %w", err), f.Close())
	}
	return f, nil
}

// Devices returns what has to be mounted over files of a folder that Dev made:
// the host's nodes, as detached mounts, by name. Empty: nothing. The caller closes
// them.
func Devices(flags Flags) (_ map[string]*os.File, err error) {
	if !idmap.Confined() {
		return nil, nil
	}
	found := map[string]*os.File{}
	defer func() {
		if err != nil {
			for _, f := range found {
				err = errors.Join(err, f.Close())
			}
		}
	}()
	for _, d := range devices {
		node, err := hostDevice("/dev/"+d.name, unix.Mkdev(d.major, d.minor))
		if err != nil {
			return nil, fmt.Errorf("rootfs: %w", err)
		}
		found[d.name], err = Clone(node, Bind{Flags: flags})
		if err := errors.Join(err, node.Close()); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// hostDevice opens a device of the host, if it is that.
func hostDevice(path string, number uint64) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	if err == nil && (st.Mode&unix.S_IFMT != unix.S_IFCHR || uint64(st.Rdev) != number) { //nolint:unconvert // the width of st_rdev differs by platform
		err = errors.New("it is not the device of that name")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	return f, nil
}

func fillDev(dir int) error {
	var owner unix.Stat_t
	if err := unix.Fstat(dir, &owner); err != nil {
		return err
	}
	give := func(name string) error {
		return unix.Fchownat(dir, name, int(owner.Uid), int(owner.Gid), unix.AT_SYMLINK_NOFOLLOW)
	}
	for _, d := range devices {
		const mode = 0o666
		kind := uint32(unix.S_IFCHR)
		if idmap.Confined() {
			kind = unix.S_IFREG
		}
		if err := unix.Mknodat(dir, d.name, kind|mode, int(unix.Mkdev(d.major, d.minor))); err != nil {
			return fmt.Errorf("make the device %s: %w", d.name, err)
		}
		// The umask of the process took its part.
		if err := errors.Join(give(d.name), unix.Fchmodat(dir, d.name, mode, 0)); err != nil {
			return fmt.Errorf("make the device %s: %w", d.name, err)
		}
	}
	for _, l := range deviceLinks {
		if err := unix.Symlinkat(l.target, dir, l.name); err != nil {
			return fmt.Errorf("make the link %s: %w", l.name, err)
		}
		if err := give(l.name); err != nil {
			return fmt.Errorf("make the link %s: %w", l.name, err)
		}
	}
	for _, name := range []string{"pts", "shm", "mqueue"} {
		if err := unix.Mkdirat(dir, name, 0o755); err != nil {
			return fmt.Errorf("make the folder %s: %w", name, err)
		}
		if err := errors.Join(give(name), unix.Fchmodat(dir, name, 0o755, 0)); err != nil {
			return fmt.Errorf("make the folder %s: %w", name, err)
		}
	}
	return nil
}
