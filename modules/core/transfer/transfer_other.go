//go:build !linux

package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
)

var errPlatform = fmt.Errorf("transfer: files of containers are copied on Linux: %w", errors.ErrUnsupported)

// Copy needs Linux.
func Copy(context.Context, Place, Place, Options) (Copied, error) { return Copied{}, errPlatform }

// Pack needs Linux.
func Pack(context.Context, Place, io.Writer, Options) (Copied, error) { return Copied{}, errPlatform }

// Unpack needs Linux.
func Unpack(context.Context, Place, io.Reader, Options) (Copied, error) { return Copied{}, errPlatform }
