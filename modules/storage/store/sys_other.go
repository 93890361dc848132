//go:build !linux

package store

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Locking and unpacking need Linux; all that changes the store starts with one
// of them.

func lockFile(_ context.Context, path string) (unlock func(), err error) {
	return nil, fmt.Errorf("lock %s: %w", path, errors.ErrUnsupported)
}

func (s *Store) lock() (unlock func(), err error) {
	return lockFile(context.Background(), s.path("lock"))
}

type workDir struct{ path string }

func (s *Store) workDir() (*workDir, error) { return nil, errUnsupported }
func (w *workDir) remove() error            { return errUnsupported }
func (s *Store) collect() error             { return errUnsupported }
func syncFS(*os.File) error                 { return errUnsupported }

var errUnsupported = fmt.Errorf("store images: %w", errors.ErrUnsupported)
