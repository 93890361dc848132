//go:build unix

package state

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Acquire takes the named lock of a state folder for this process and returns
// its holder; closing it, or the end of the process, lets go. While another
// process holds it the error is a [*LockedError].
func Acquire(dir, name string) (*os.File, error) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = &LockedError{Path: path, Holder: readHolder(f)}
		}
		return nil, errors.Join(err, f.Close())
	}
	if err := writeHolder(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// writeHolder says in the lock's file who holds it.
func writeHolder(f *os.File) error {
	text, err := json.Marshal(Holder{PID: os.Getpid(), Command: CommandLine(os.Args), Since: time.Now().UTC()})
	if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = f.WriteAt(append(text, '\n'), 0)
	}
	return err
}

// readHolder returns who has said that it holds the lock. It may not have got to
// that, and then it is nobody known.
func readHolder(f *os.File) Holder {
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	var h Holder
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}
