package transfer

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"strconv"

	"golang.org/x/sys/unix"
)

// object is something in a root, held by a descriptor that neither reads nor
// writes it.
type object struct {
	path string
	fd   int // O_PATH
	stat unix.Stat_t
}

func (o *object) kind() uint32 { return o.stat.Mode & unix.S_IFMT }

func (o *object) close() { _ = unix.Close(o.fd) } // it was never written to

// find opens what is at a place.
func find(p Place, follow bool) (*object, error) {
	flags := uint64(unix.O_PATH)
	if !follow {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := openIn(p.Root, p.Path, flags)
	if err != nil {
		return nil, &Error{Op: "find", Path: p.Path, Err: plain(err)}
	}
	return newObject(fd, p.Path)
}

// openFolder opens the folder at a place, to be a root.
func openFolder(p Place) (*os.File, error) {
	fd, err := openIn(p.Root, p.Path, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, &Error{Op: "find", Path: p.Path, Err: plain(err)}
	}
	return os.NewFile(uintptr(fd), p.Path), nil
}

// newObject takes over a descriptor.
func newObject(fd int, path string) (*object, error) {
	o := &object{path: path, fd: fd}
	err := unix.Fstat(fd, &o.stat)
	if err == nil {
		err = checkKind(fd, o.kind())
	}
	if err != nil {
		o.close()
		return nil, &Error{Op: "find", Path: path, Err: err}
	}
	return o, nil
}

// checkKind refuses what is no file of somebody's.
func checkKind(fd int, kind uint32) error {
	switch kind {
	case unix.S_IFDIR, unix.S_IFREG, unix.S_IFLNK:
	default:
		return ErrNoFile
	}
	var s unix.Statfs_t
	if err := unix.Fstatfs(fd, &s); err != nil {
		return err
	}
	switch s.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEVPTS_SUPER_MAGIC,
		unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.NSFS_MAGIC, unix.EFIVARFS_MAGIC,
		unix.BINFMTFS_MAGIC, unix.PSTOREFS_MAGIC, mqueueMagic, configfsMagic:
		return ErrNoFile
	}
	return nil
}

// File systems that x/sys has no name for (linux/magic.h, fs/configfs/mount.c).
const (
	mqueueMagic   = 0x19800202
	configfsMagic = 0x62656570
)

// attempts bounds how often a path is tried that somebody keeps changing: the
// kernel says EAGAIN then (openat2(2)).
const attempts = 128

// openIn opens a path inside a root.
func openIn(root *os.File, name string, flags uint64) (fd int, err error) {
	how := unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	for range attempts {
		fd, err = unix.Openat2(int(root.Fd()), path.Clean("/"+name), &how)
		if err != unix.EAGAIN && err != unix.EINTR {
			break
		}
	}
	return fd, err
}

// reopen opens the very object that a descriptor holds, to read it or to look into
// it.
func reopen(fd, flags int) (*os.File, error) {
	opened, err := unix.Open("/proc/self/fd/"+strconv.Itoa(fd), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(opened), "file"), nil
}

// plain replaces what the kernel says of a path by what a person means.
func plain(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return fs.ErrNotExist
	}
	return err
}
