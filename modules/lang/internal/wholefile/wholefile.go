// Package wholefile reads and writes small files as a whole or not at all. It
// runs on every platform, and needs no privileges.
//
// Any number of goroutines and processes may write one file at once: it then
// holds what one of them wrote.
package wholefile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotRegular is returned for a folder, a link, a pipe or a device.
var ErrNotRegular = errors.New("not a regular file")

// ErrTooLarge is returned for a file of more bytes than are read.
var ErrTooLarge = errors.New("the file is too large")

// Read returns the content of a regular file of at most limit bytes. Links are
// not followed. The error matches ErrNotRegular, ErrTooLarge or those of
// package fs.
func Read(path string, limit int64) ([]byte, error) {
	data, err := head(path, os.Lstat, limit+1)
	if err == nil && int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrTooLarge}
	}
	return data, err
}

// Head returns what a regular file begins with, at most limit bytes. Links are
// followed. The error matches ErrNotRegular or those of package fs.
func Head(path string, limit int64) ([]byte, error) { return head(path, os.Stat, limit) }

func head(path string, stat func(string) (fs.FileInfo, error), limit int64) ([]byte, error) {
	// Looked at before it is opened: opening a pipe would wait.
	info, err := stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: ErrNotRegular}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// Write writes a file so that it is never seen half written, not even after a
// power cut. The folder must exist. A link is replaced, not followed.
func Write(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
