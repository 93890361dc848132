package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
)

// OpenDevice describes the device at a host path, with its mode and owner. A
// symbolic link is followed: /dev/cdrom is the drive. Anything but a device is an
// error that says what it is.
func OpenDevice(name string) (Device, error) {
	// Opening a device for more than its path can have effects.
	fd, err := unix.Open(name, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return Device{}, &fs.PathError{Op: "open the device", Path: name, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Device{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	d := Device{
		Path: path.Clean(name), Mode: fs.FileMode(st.Mode).Perm(), UID: st.Uid, GID: st.Gid,
		Major: unix.Major(uint64(st.Rdev)), Minor: unix.Minor(uint64(st.Rdev)), //nolint:unconvert // 32 bits wide on some machines
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
	case unix.S_IFBLK:
		d.Block = true
	case unix.S_IFDIR:
		return Device{}, fmt.Errorf("%s is a folder and not a device: name the devices in it one by one", name)
	default:
		return Device{}, fmt.Errorf("%s is not a device", name)
	}
	return d, nil
}

// addDevices makes nodes in a new /dev that nobody else sees yet, and folders
// on the way to them.
func addDevices(dev *os.File, devices []Device) (err error) {
	if len(devices) == 0 {
		return nil
	}
	if idmap.Confined() {
		return fmt.Errorf("make the device %s: nobody can in a user namespace: %w", devices[0].Path, errors.ErrUnsupported)
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", dev.Fd()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, d := range devices {
		if err := addDevice(root, dev, d); err != nil {
			return fmt.Errorf("make the device %s: %w", d.Path, err)
		}
	}
	return nil
}

func addDevice(root *os.Root, dev *os.File, d Device) error {
	name, ok := strings.CutPrefix(path.Clean(d.Path), "/dev/")
	if !ok {
		return errors.New("it must be below /dev")
	}
	owner, err := dev.Stat()
	if err != nil {
		return err
	}
	st := owner.Sys().(*syscall.Stat_t)
	if err := makeFolders(root, path.Dir(name), int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	// One of the standard ones, or named twice.
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	kind := uint32(unix.S_IFCHR)
	if d.Block {
		kind = unix.S_IFBLK
	}
	folder, err := root.Open(path.Dir(name))
	if err != nil {
		return err
	}
	defer folder.Close()
	if err := unix.Mknodat(int(folder.Fd()), path.Base(name), kind|uint32(d.Mode.Perm()), int(unix.Mkdev(d.Major, d.Minor))); err != nil {
		return err
	}
	// The umask of the process took its part of the mode.
	return errors.Join(root.Lchown(name, int(d.UID), int(d.GID)), root.Chmod(name, d.Mode.Perm()))
}

// makeFolders makes a folder below a root and those above it.
func makeFolders(root *os.Root, name string, uid, gid int) error {
	if name == "." {
		return nil
	}
	if err := makeFolders(root, path.Dir(name), uid, gid); err != nil {
		return err
	}
	err := root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return errors.Join(err, root.Lchown(name, uid, gid), root.Chmod(name, 0o755))
}
