//go:build !linux

package sdk

import (
	"context"
	"errors"
)

// Supervise needs Linux.
func Supervise(context.Context, string) error { return errors.ErrUnsupported }
