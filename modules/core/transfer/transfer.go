// Package transfer copies files into and out of root file systems that somebody
// hostile may be changing meanwhile: those of running containers.
//
//	from := transfer.Place{Root: root, Path: "/var/log"} // root: of a container, opened
//	to := transfer.Place{Root: slash, Path: "/srv/logs"}  // slash: this machine's own
//	copied, err := transfer.Copy(ctx, from, to, transfer.Options{})
//
// A path is resolved by the kernel inside its root (openat2, RESOLVE_IN_ROOT): no
// link leads out of it, however fast it is exchanged, and none of /proc leads
// anywhere. Between folders it goes on by open folders only. What is no file of
// somebody's is neither read nor written: devices, pipes, and the file systems of
// the kernel, such as /proc, /sys and /dev/pts.
//
// Copied are folders, regular files and symbolic links, with their permissions and
// times, but never set-user-id and set-group-id bits: a container's file would
// become a program of whoever copies it.
//
// Platform: Linux 5.6; elsewhere the error matches errors.ErrUnsupported.
// Privileges: who may read and write the files; to write for an [Owner], its
// user's, or root. Functions are safe for concurrent use.
package transfer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Place is somewhere in a root file system.
type Place struct {
	Root *os.File // opened with O_PATH or to read; stays the caller's
	Path string   // inside Root, from there, with or without a leading slash
}

// Options are of Copy, Pack and Unpack. The zero value works.
type Options struct {
	// Follow: a source that is a symbolic link means what it leads to. Links below
	// it stay links.
	Follow bool
	// Owner is who everything that is written belongs to; nil: the caller.
	Owner *Owner
}

// Owner is a user and a group, as the writing process's namespace numbers them.
type Owner struct{ UID, GID uint32 }

// Copied counts what was copied.
type Copied struct {
	Files int   // folders and links are not counted
	Bytes int64 // of their content
}

// ErrNoFile is matched by the error for what cannot be copied since it is no file
// of somebody's: a device, a pipe, a socket, or a file of the kernel's.
var ErrNoFile = errors.New("not a file, a folder or a link, or the kernel's own")

// Error tells which operation on which path failed.
type Error struct {
	Op   string // "find", "read", "write", ...
	Path string // inside the root
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Op, e.Path, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrIsFolder and the following are how a source and a destination do not fit.
var (
	ErrIsFolder  = errors.New("a folder cannot take the place of a file")
	ErrNoFolder  = fmt.Errorf("there is no such folder: %w", fs.ErrNotExist)
	ErrNotFolder = errors.New("it is not a folder")
)
