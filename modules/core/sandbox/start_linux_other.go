//go:build linux && !amd64 && !arm64

package sandbox

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// start exists in assembly for amd64 and arm64 only.
func start(*header) (pid int64) { return -int64(unix.ENOSYS) }

// initCode exists in assembly for amd64 and arm64 only.
func initCode() unsafe.Pointer { return nil }

// walkerCode exists in assembly for amd64 and arm64 only.
func walkerCode() unsafe.Pointer { return nil }
