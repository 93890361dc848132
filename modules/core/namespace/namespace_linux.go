package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// cloneFlags are what unshare(2) and setns(2) call each kind.
var cloneFlags = map[Kind]int{
	Cgroup:  unix.CLONE_NEWCGROUP,
	IPC:     unix.CLONE_NEWIPC,
	Mount:   unix.CLONE_NEWNS,
	Network: unix.CLONE_NEWNET,
	PID:     unix.CLONE_NEWPID,
	User:    unix.CLONE_NEWUSER,
	UTS:     unix.CLONE_NEWUTS,
}

// Open opens a namespace of a process. A process that does not exist is an
// error that matches fs.ErrNotExist. The caller closes the file.
func Open(pid int, kind Kind) (*os.File, error) {
	return open(filepath.Join("/proc", strconv.Itoa(pid), "ns", string(kind)), kind)
}

// Current opens the namespace that new threads of this process are in, which
// is the main thread's: not the one that a surrounding [Do] has entered. The
// caller closes the file.
func Current(kind Kind) (*os.File, error) {
	return open(filepath.Join("/proc/self/ns", string(kind)), kind)
}

// OpenPinned opens the namespace that [Pin] keeps at path. A path that does
// not exist, or that is an ordinary file because its mount is gone (after a
// reboot), is an error that matches fs.ErrNotExist. The caller closes the
// file.
func OpenPinned(path string, kind Kind) (*os.File, error) {
	ns, err := open(path, kind)
	if err != nil {
		return nil, err
	}
	if err := checkKind(ns, kind); err != nil {
		return nil, errors.Join(&Error{Op: "open", Kind: kind, Target: path, Err: err}, ns.Close())
	}
	return ns, nil
}

func open(path string, kind Kind) (*os.File, error) {
	if _, ok := cloneFlags[kind]; !ok {
		return nil, &Error{Op: "open", Kind: kind, Target: path, Err: unix.EINVAL}
	}
	ns, err := os.Open(path)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, &Error{Op: "open", Kind: kind, Target: path, Err: err}
	}
	return ns, nil
}

func checkKind(ns *os.File, kind Kind) error {
	ok, err := isNamespace(int(ns.Fd()))
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("no namespace is mounted there: %w", fs.ErrNotExist)
	}
	// NS_GET_NSTYPE, Linux 4.11: ioctl_nsfs(2).
	flag, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_NSTYPE)
	if err != nil {
		return fmt.Errorf("ask for its kind: %w", err)
	}
	if flag != cloneFlags[kind] {
		return fmt.Errorf("a namespace of another kind: %w", unix.EINVAL)
	}
	return nil
}

func isNamespace(fd int) (bool, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return false, err
	}
	return st.Type == unix.NSFS_MAGIC, nil
}

// New creates a namespace of kind Network, UTS, IPC or Cgroup that no process
// is in, and calls setup inside it, as Do does, if that is not nil. When setup
// fails, so does New, with its error. The caller closes the file, and the namespace ends with it
// unless a process has entered it by then or it is pinned.
func New(kind Kind, setup func() error) (*os.File, error) {
	switch kind {
	case Network, UTS, IPC, Cgroup:
	default:
		// The others cannot be left again by a thread, or are not entered by
		// the one that makes them.
		return nil, &Error{Op: "create", Kind: kind, Err: unix.EINVAL}
	}
	var ns *os.File
	err := onThread(kind, func() error {
		if err := unix.Unshare(cloneFlags[kind]); err != nil {
			return &Error{Op: "create", Kind: kind, Err: err}
		}
		var err error
		if ns, err = open(filepath.Join("/proc/thread-self/ns", string(kind)), kind); err != nil {
			return err
		}
		if setup != nil {
			return setup()
		}
		return nil
	})
	if err != nil && ns != nil {
		return nil, errors.Join(err, ns.Close())
	}
	return ns, err
}

// Do calls f on a thread inside the namespace, of kind Network, UTS, IPC or
// Cgroup, and returns f's error. What f does on its own goroutine happens
// there; goroutines that it starts are outside. f runs on a goroutine of its
// own, so it must return: neither panics nor testing's FailNow reach the
// caller. The namespace's file stays the caller's.
func Do(ns *os.File, f func() error) error {
	flag, err := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_NSTYPE)
	if err != nil {
		return &Error{Op: "enter", Target: ns.Name(), Err: err}
	}
	var kind Kind
	for k, v := range cloneFlags {
		if v == flag {
			kind = k
		}
	}
	switch kind {
	case Network, UTS, IPC, Cgroup:
	default:
		return &Error{Op: "enter", Kind: kind, Target: ns.Name(), Err: unix.EINVAL}
	}
	return onThread(kind, func() error {
		if err := unix.Setns(int(ns.Fd()), flag); err != nil {
			return &Error{Op: "enter", Kind: kind, Target: ns.Name(), Err: err}
		}
		return f()
	})
}

// onThread calls f on a locked thread and brings the thread back to its
// namespace. A thread that cannot go back ends with its goroutine, which the
// runtime promises for a goroutine that exits while locked; where it has not the
// privilege to, that is no error.
func onThread(kind Kind, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// Others look at /proc/<pid>/ns and take the main thread for the
			// process, and the main thread cannot end alone: leave it as it
			// is. While this goroutine holds it, the next gets another one.
			defer runtime.UnlockOSThread()
			done <- onThread(kind, f)
			return
		}
		before, err := open(filepath.Join("/proc/thread-self/ns", string(kind)), kind)
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = f()
		back := unix.Setns(int(before.Fd()), cloneFlags[kind])
		if errors.Is(back, unix.EPERM) {
			// As in a user namespace that does not own where the thread came
			// from.
			done <- errors.Join(err, before.Close())
			return
		}
		if back != nil {
			err = errors.Join(err, &Error{Op: "leave", Kind: kind, Err: back})
		} else {
			runtime.UnlockOSThread()
		}
		done <- errors.Join(err, before.Close())
	}()
	return <-done
}

// InMount calls f on a thread with a mount namespace of its own, a private copy
// of the caller's, and returns f's error. Mounts that f attaches are seen there
// alone and are gone when it returns; what it opens stays. f runs as that of
// [Do].
func InMount(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// As in onThread: this one cannot end alone.
			defer runtime.UnlockOSThread()
			done <- InMount(f)
			return
		}
		// Not unlocked: the thread ends with its goroutine, and with it the
		// namespace.
		if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
			done <- &Error{Op: "create", Kind: Mount, Err: err}
			return
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			done <- &Error{Op: "separate", Kind: Mount, Err: err}
			return
		}
		done <- f()
	}()
	return <-done
}

// Pin keeps a namespace alive by a bind mount on the file path, which it
// creates, until [Unpin]; it survives every process. The folder must exist. A
// path where a namespace is pinned already is an error that matches
// fs.ErrExist; an ordinary file there is a pin that a reboot ended, and is
// used again.
func Pin(ns *os.File, path string) error {
	failed := func(err error) error { return &Error{Op: "pin", Target: path, Err: err} }
	if ok, err := isNamespace(int(ns.Fd())); err != nil || !ok {
		return failed(errors.Join(err, fmt.Errorf("not a namespace: %w", unix.EINVAL)))
	}
	// O_NOFOLLOW: the mount must be where the caller said.
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o400)
	if err != nil {
		return failed(err)
	}
	defer unix.Close(fd)
	if pinned, err := isNamespace(fd); err != nil {
		return failed(err)
	} else if pinned {
		return failed(fs.ErrExist)
	}
	source := fmt.Sprintf("/proc/thread-self/fd/%d", ns.Fd())
	if err := unix.Mount(source, fmt.Sprintf("/proc/thread-self/fd/%d", fd), "", unix.MS_BIND, ""); err != nil {
		return failed(errors.Join(err, os.Remove(path)))
	}
	return nil
}

// Unpin removes what [Pin] made: the mount and the file. Nothing there is not
// an error.
func Unpin(path string) error {
	// EINVAL: no mount there.
	err := unix.Unmount(path, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return &Error{Op: "unpin", Target: path, Err: err}
	}
	if err := unix.Unlink(path); err != nil && !errors.Is(err, unix.ENOENT) {
		return &Error{Op: "unpin", Target: path, Err: err}
	}
	return nil
}

// Identify returns a namespace's identity: what two files of the same
// namespace have in common.
func Identify(ns *os.File) (ID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &st); err != nil {
		return ID{}, &Error{Op: "identify", Target: ns.Name(), Err: err}
	}
	return ID{Dev: uint64(st.Dev), Ino: st.Ino}, nil //nolint:unconvert // the width of st_dev differs by platform
}

// Same tells whether two files are the same namespace.
func Same(a, b *os.File) (bool, error) {
	x, err := Identify(a)
	if err != nil {
		return false, err
	}
	y, err := Identify(b)
	return x == y, err
}
