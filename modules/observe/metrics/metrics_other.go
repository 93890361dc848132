//go:build !linux

package metrics

import (
	"errors"
	"fmt"
)

// Reader reads what containers use. It needs Linux.
type Reader struct{}

// Open needs Linux.
func Open(Options) (*Reader, error) {
	return nil, fmt.Errorf("metrics: containers are read on Linux: %w", errors.ErrUnsupported)
}

// Processes needs Linux.
func (*Reader) Processes(Target) ([]int, error) { return nil, nil }

// Read needs Linux.
func (*Reader) Read([]Target) []Reading { return nil }
