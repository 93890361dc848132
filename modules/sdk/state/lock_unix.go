//go:build unix

package state

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Acquire takes the named lock of a state folder for this process and returns
// its holder; closing it, or the end of the process, lets go. While another
// process holds it the error is [ErrLocked].
func Acquire(dir, name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
