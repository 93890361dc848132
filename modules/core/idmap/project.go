package idmap

import (
	"errors"
	"fmt"
)

// DefaultRegistry is the file that says which project has which ranges of this
// host's ids.
const DefaultRegistry = "/run/containust/ids.json"

// Project has ranges of this host's ids, one a container.
type Project struct {
	// Name identifies the project on this host.
	Name string
	// Holder is a path that exists for as long as the project may use its
	// ranges. When it is gone without a [Project.Free], as after a crash and a
	// cleaning hand, they are free.
	Holder string
	// Registry is the path of the host's allocation file; empty is
	// DefaultRegistry.
	Registry string
	// Host returns what the host's ids are used for, as [Look] finds it; nil makes
	// each call look for itself.
	Host func() *Host
}

// TakenError is a range that somebody else has.
type TakenError struct {
	First uint32 // host id; the range has Size of them
	By    string // "project shop", "/etc/subuid", "process 4711"
}

// Error implements error.
func (e *TakenError) Error() string {
	return fmt.Sprintf("the ids %d–%d are in use by %s", e.First, e.First+(Size-1), e.By)
}

// ErrNoRange is matched when no range of host ids is free.
var ErrNoRange = errors.New("no free range of 65536 user ids")

// MountError is a mount whose owners cannot be mapped.
type MountError struct {
	Path       string // of what is mounted, where it is known
	Recursive  bool   // with what is mounted below it
	FileSystem string // "ext4", or its number where it has no name here
	Since      string // the first Linux that can map this file system; empty: none can
	Err        error  // a syscall.Errno
}

// Error implements error.
func (e *MountError) Error() string {
	s := fmt.Sprintf("map the owners of %s: %v", e.Path, e.Err)
	switch {
	case e.FileSystem == "":
		return s
	case e.Since == "":
		return fmt.Sprintf("%s: its file system, %s, does not support it", s, e.FileSystem)
	}
	s = fmt.Sprintf("%s: its file system, %s, supports it since Linux %s", s, e.FileSystem, e.Since)
	if e.Recursive {
		s += "; or one that is mounted below it does not"
	}
	return s
}

// Unwrap returns the cause.
func (e *MountError) Unwrap() error { return e.Err }
