//go:build !linux

package rootfs

import (
	"errors"
	"fmt"
	"os"
)

// Folder needs Linux.
func Folder(string, Bind) (*os.File, error) { return nil, unsupported("open a mount") }

// Clone needs Linux.
func Clone(*os.File, Bind) (*os.File, error) { return nil, unsupported("clone a mount") }

// Tmpfs needs Linux.
func Tmpfs([]string, Flags) (*os.File, error) { return nil, unsupported("make a tmpfs") }

// Dev needs Linux.
func Dev([]string, Flags, ...Device) (*os.File, error) { return nil, unsupported("make /dev") }

// Set needs Linux.
func Set(*os.File, Flags) error { return unsupported("change a mount") }

// OpenDevice needs Linux.
func OpenDevice(string) (Device, error) { return Device{}, unsupported("look at a device") }

// Image needs Linux.
func Image([]string) (*os.File, error) { return nil, unsupported("open an image") }

// Make needs Linux.
func (s Scaffold) Make(string, *os.File) error { return unsupported("make a scaffold") }

// Resolve needs Linux.
func Resolve(*os.File, string) (string, error) { return "", unsupported("resolve a path") }

// LookupUser needs Linux.
func LookupUser(*os.File, string) (User, error) { return User{}, unsupported("look up a user") }

func unsupported(operation string) error {
	return fmt.Errorf("rootfs: %s: %w: it needs Linux", operation, errors.ErrUnsupported)
}
