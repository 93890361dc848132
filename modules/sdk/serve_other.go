//go:build !linux

package sdk

import (
	"context"
	"errors"
)

// Guard needs Linux.
func Guard(context.Context, string, []string) error { return errors.ErrUnsupported }

// Supervise needs Linux.
func Supervise(context.Context, string) error { return errors.ErrUnsupported }
