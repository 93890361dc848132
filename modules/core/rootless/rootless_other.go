//go:build !linux

package rootless

import (
	"context"
	"errors"
	"fmt"

	"github.com/containust/containust/modules/core/container"
)

// Needed is false: it needs Linux.
func Needed() bool { return false }

// Inside is false: it needs Linux.
func Inside() (bool, error) { return false, nil }

// Run needs Linux.
func Run(context.Context, []string, []string, Options) (container.ExitStatus, error) {
	return container.ExitStatus{}, fmt.Errorf("rootless: %w: it needs Linux", errors.ErrUnsupported)
}

// Note needs Linux.
func Note(string) error {
	return fmt.Errorf("rootless: %w: it needs Linux", errors.ErrUnsupported)
}

// Alone is empty: it needs Linux.
func Alone() string { return "" }

// Obstacle is empty: it needs Linux.
func Obstacle() (reason, mend string) { return "", "" }
