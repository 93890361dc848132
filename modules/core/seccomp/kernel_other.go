//go:build !linux

package seccomp

import (
	"errors"
	"fmt"
	"math"
)

// Available needs Linux; elsewhere its error matches [errors.ErrUnsupported].
func Available() error {
	return fmt.Errorf("seccomp: ask for filters: %w: they need Linux", errors.ErrUnsupported)
}

// runningKernel is as new as it can be: it is not the one that the program is
// for.
func runningKernel() (Kernel, error) { return Kernel{Major: math.MaxInt}, nil }
