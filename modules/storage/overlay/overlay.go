// Package overlay joins layers to one file system, as a detached mount: a
// descriptor that is attached wherever, and in whichever mount namespace, it is
// needed.
//
//	mnt, err := overlay.Mount(ctx, overlay.Spec{Lower: []overlay.Layer{{Path: base}, {Path: top}}})
//	defer mnt.Close()
//	err = unix.MoveMount(int(mnt.Fd()), "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH)
//
// Only the new mount interface is used (fsopen, fsconfig, fsmount), by
// descriptors, so no path of a layer is ever parsed, and up to 500 layers work.
// Closing the descriptor of a mount that was not attached unmounts it.
//
// Linux 6.8; before, down to 5.11, some 16 layers. Mapped owners need 5.19 and
// file systems that can do it, see idmap.Mount. Needs CAP_SYS_ADMIN, in
// a user namespace is enough, whose notes then are in user.* attributes.
// Elsewhere errors.ErrUnsupported. Safe for concurrent use.
package overlay

import (
	"fmt"
	"os"
	"strconv"
)

// Layer is a folder that is one layer. It must not change while it is mounted.
type Layer struct {
	Path string

	// Shifted says that the files' owners are host ids already, so that
	// Spec.User does not apply.
	Shifted bool
}

// Spec says what to mount.
type Spec struct {
	Lower []Layer // lowest first, at least one

	// Upper takes what is written, and Work is an empty folder on the same
	// file system for the kernel's use. Both or none; without them the mount is
	// read-only. The file system that holds them must support it: an overlay,
	// NFS or 9p does not.
	Upper, Work string

	// User is an open user namespace whose maps say who owns the layers' files:
	// what is root's in a layer is root's inside. Upper is not mapped; it must
	// be a folder of who root is outside. Nil: the owners are as on disk.
	User *os.File

	ReadOnly bool // the mount, even with an Upper
}

// Error says which step of a mount the kernel refused.
type Error struct {
	Op      string // the system call, or "open"
	Option  string // of the mount: "lowerdir", "upperdir", …; may be empty
	Path    string // of the layer, where it is about one
	Message string // what the kernel said about it; may be empty
	Err     error  // usually a syscall.Errno
}

func (e *Error) Error() string {
	s := "mount overlay: " + e.Op
	if e.Option != "" {
		s += " " + e.Option
	}
	if e.Path != "" {
		s += " " + strconv.Quote(e.Path)
	}
	if e.Message != "" {
		return fmt.Sprintf("%s: %v (%s)", s, e.Err, e.Message)
	}
	return fmt.Sprintf("%s: %v", s, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
