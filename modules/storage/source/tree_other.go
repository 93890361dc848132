//go:build !linux

package source

import (
	"context"
	"errors"
	"fmt"
)

func openTree(_ context.Context, ref Ref, _ Limits) (Reader, error) {
	return nil, fmt.Errorf("read %s: folders can be read on Linux only: %w", ref.URI, errors.ErrUnsupported)
}

// StampOf is not supported here: owners, inodes and ctimes are Linux's.
func StampOf(_ context.Context, ref Ref) (Stamp, error) {
	return Stamp{}, fmt.Errorf("stat %s: %w", ref.URI, errors.ErrUnsupported)
}
