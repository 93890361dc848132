//go:build !linux

package overlay

import (
	"context"
	"errors"
	"os"
)

// Mount is not supported here.
func Mount(context.Context, Spec) (*os.File, error) {
	return nil, &Error{Op: "fsopen", Err: errors.ErrUnsupported}
}
