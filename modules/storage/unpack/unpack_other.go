//go:build !linux

package unpack

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Unpack is not supported here: it needs openat2(2).
func Unpack(_ context.Context, _ *os.File, _ Entries, _ Options) (Result, error) {
	return Result{}, fmt.Errorf("unpack: %w", errors.ErrUnsupported)
}
