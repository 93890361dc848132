//go:build !linux

package capability

import (
	"errors"
	"fmt"
)

// Last needs Linux; elsewhere its error matches [errors.ErrUnsupported].
func Last() (Capability, error) {
	return 0, fmt.Errorf("find the last capability of the kernel: %w", errors.ErrUnsupported)
}
