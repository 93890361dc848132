//go:build !unix

package state

import (
	"errors"
	"os"
)

// Acquire is not to be had on this platform: projects run natively on Linux
// only, and only their supervisor writes the state.
func Acquire(string, string) (*os.File, error) { return nil, errors.ErrUnsupported }
