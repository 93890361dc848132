package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// lockFile takes the lock that a file stands for, and waits until ctx ends.
func lockFile(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		ok, err := tryLock(f)
		if err == nil && ok {
			// Closing the only descriptor unlocks; there is nothing to lose.
			return func() { f.Close() }, nil
		}
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

func tryLock(f *os.File) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch err {
		case nil:
			return true, nil
		case unix.EWOULDBLOCK:
			return false, nil
		case unix.EINTR:
		default:
			return false, err
		}
	}
}

// lock locks the whole store, for moments only.
func (s *Store) lock() (unlock func(), err error) {
	return lockFile(context.Background(), s.path("lock"))
}

// workDir is a folder for work in progress. It is locked as long as its process
// lives.
type workDir struct {
	path string
	dir  *os.File
}

func (s *Store) workDir() (*workDir, error) {
	// Under the lock, or collect could take it for a dead one before it is
	// locked.
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	path, err := os.MkdirTemp(s.path("tmp"), "work-")
	if err != nil {
		return nil, err
	}
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if ok, err := tryLock(dir); err != nil || !ok {
		dir.Close()
		return nil, fmt.Errorf("lock %s: %w", path, errors.Join(err, unix.EWOULDBLOCK))
	}
	return &workDir{path: path, dir: dir}, nil
}

func (w *workDir) remove() error {
	return errors.Join(removeTree(w.dir), os.Remove(w.path), w.dir.Close())
}

// collect removes what processes that are dead have left in tmp.
func (s *Store) collect() error {
	dead, err := s.dead()
	for _, w := range dead {
		err = errors.Join(err, w.remove())
	}
	return err
}

func (s *Store) dead() ([]*workDir, error) {
	unlock, err := s.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := os.ReadDir(s.path("tmp"))
	if err != nil {
		return nil, err
	}
	var dead []*workDir
	for _, e := range entries {
		path := s.path("tmp", e.Name())
		if !e.IsDir() {
			// A writer of JSON holds the lock that is held here, or is dead,
			// but for those that remember a source: theirs are young.
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Minute {
				if err := ignoreNotExist(os.Remove(path)); err != nil {
					return dead, err
				}
			}
			continue
		}
		dir, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return dead, err
		}
		if ok, err := tryLock(dir); err != nil || !ok {
			dir.Close()
			if err != nil {
				return dead, err
			}
			continue
		}
		dead = append(dead, &workDir{path: path, dir: dir})
	}
	return dead, nil
}

// removeTree deletes all that is in top. It moves folders up into top instead
// of going down, so that no depth exhausts descriptors or stack.
func removeTree(top *os.File) error {
	at := int(top.Fd())
	moved := 0
	for {
		if _, err := top.Seek(0, 0); err != nil {
			return err
		}
		names, err := top.Readdirnames(-1)
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return nil
		}
		for _, name := range names {
			err := unix.Unlinkat(at, name, 0)
			if errors.Is(err, unix.EISDIR) {
				err = emptyInto(at, name, &moved)
			}
			if err != nil {
				return &fs.PathError{Op: "remove", Path: filepath.Join(top.Name(), name), Err: err}
			}
		}
	}
}

// emptyInto deletes the folder called name, after moving the folders in it to
// its parent.
func emptyInto(parent int, name string, moved *int) error {
	// Without privileges an image's own modes are in the way.
	if err := unix.Fchmodat(parent, name, 0o700, 0); err != nil {
		return err
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, child := range names {
		err := unix.Unlinkat(fd, child, 0)
		if err != unix.EISDIR {
			if err != nil {
				return err
			}
			continue
		}
		if err := unix.Fchmodat(fd, child, 0o700, 0); err != nil {
			return err
		}
		for {
			*moved++
			err = unix.Renameat2(fd, child, parent, ".moved-"+strconv.Itoa(*moved), unix.RENAME_NOREPLACE)
			if err != unix.EEXIST {
				break
			}
		}
		if err != nil {
			return err
		}
	}
	return unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
}

// syncFS writes the file system that holds dir to its disk: one call for all
// files of an image (syncfs(2); since Linux 5.8 it reports errors).
func syncFS(dir *os.File) error {
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync %s: %w", dir.Name(), err)
	}
	return nil
}
