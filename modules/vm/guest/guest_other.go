//go:build !linux

package guest

import (
	"errors"
	"fmt"
	"os"
)

var errNotLinux = fmt.Errorf("guest: needs Linux: %w", errors.ErrUnsupported)

// LoadModules loads kernel modules. It needs Linux.
func LoadModules(string) error { return errNotLinux }

// MountDevices mounts what booting needs. It needs Linux.
func MountDevices() error { return errNotLinux }

// SwitchRoot makes a disk the root file system. It needs Linux.
func SwitchRoot(_, _ string) error { return errNotLinux }

// MountKernel mounts the kernel's file systems. It needs Linux.
func MountKernel() error { return errNotLinux }

// LinkUp brings a network interface up. It needs Linux.
func LinkUp(string) error { return errNotLinux }

// OpenPort opens the line to the host. It needs Linux.
func OpenPort(string) (*os.File, error) { return nil, errNotLinux }

// PowerOff switches the machine off. It needs Linux.
func PowerOff() error { return errNotLinux }
