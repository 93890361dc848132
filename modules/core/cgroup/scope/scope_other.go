//go:build !linux

package scope

import (
	"context"
	"errors"
)

// Booted is false: it needs Linux.
func Booted() bool { return false }

// Ask needs Linux.
func Ask(context.Context) (Manager, error) {
	return Manager{}, &Error{Op: "ask", Unit: "the manager", Err: errors.ErrUnsupported}
}

// Enter needs Linux.
func Enter(_ context.Context, spec Spec) (string, error) {
	return "", &Error{Op: "start", Unit: spec.Name + ".scope", Err: errors.ErrUnsupported}
}
