//go:build !linux

package namespace

import (
	"errors"
	"os"
)

// Open opens a namespace of a process. It needs Linux.
func Open(pid int, kind Kind) (*os.File, error) { return nil, unsupported("open", kind) }

// Current opens a namespace of the calling process. It needs Linux.
func Current(kind Kind) (*os.File, error) { return nil, unsupported("open", kind) }

// OpenPinned opens a namespace that Pin keeps. It needs Linux.
func OpenPinned(path string, kind Kind) (*os.File, error) { return nil, unsupported("open", kind) }

// New creates a namespace. It needs Linux.
func New(kind Kind, setup func() error) (*os.File, error) { return nil, unsupported("create", kind) }

// Pin keeps a namespace at a path. It needs Linux.
func Pin(ns *os.File, path string) error { return unsupported("pin", "") }

// Unpin ends what Pin began. It needs Linux.
func Unpin(path string) error { return unsupported("unpin", "") }

// Do calls a function inside a namespace. It needs Linux.
func Do(ns *os.File, f func() error) error { return unsupported("enter", "") }

// InMount calls a function in a mount namespace of its own. It needs Linux.
func InMount(f func() error) error { return unsupported("create", Mount) }

// Identify returns a namespace's identity. It needs Linux.
func Identify(ns *os.File) (ID, error) { return ID{}, unsupported("identify", "") }

// Same tells whether two files are the same namespace. It needs Linux.
func Same(a, b *os.File) (bool, error) { return false, unsupported("identify", "") }

func unsupported(op string, kind Kind) error {
	return &Error{Op: op, Kind: kind, Err: errors.ErrUnsupported}
}
