package hostfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// File is an open file of entries E, one a project. It is locked until Close.
type File[E any] struct {
	Projects map[string]E

	path string
	lock *os.File
	boot string
}

// content is the file on disk.
type content[E any] struct {
	Version  int                   `json:"version"`
	Projects map[string]stamped[E] `json:"projects"`
}

// stamped is an entry with the boot id of the kernel that it was made under.
type stamped[E any] struct {
	Boot string `json:"boot"`
	Has  E      `json:"has"`
}

const version = 1

// Open locks and reads the file at path; none there is an empty one. Entries
// that alive says are not are left out. The caller closes the File.
func Open[E any](ctx context.Context, path string, alive func(E) (bool, error)) (_ *File[E], err error) {
	lock, err := lockFile(ctx, lockPath(path))
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	f := &File[E]{path: path, lock: lock, Projects: map[string]E{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	f.boot = strings.TrimSpace(string(boot))
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	var c content[E]
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("read %s: %w; remove the file, each project writes its part again when it is run", path, err)
	}
	if c.Version != version {
		return nil, fmt.Errorf("read %s: version %d is of another release, expected %d", path, c.Version, version)
	}
	for project, entry := range c.Projects {
		if entry.Boot != f.boot {
			continue
		}
		lives, err := alive(entry.Has)
		if err != nil {
			return nil, fmt.Errorf("look for project %s of %s: %w", project, path, err)
		}
		if lives {
			f.Projects[project] = entry.Has
		}
	}
	return f, nil
}

// Save writes the file, or removes it when there is nothing to say.
func (f *File[E]) Save() error {
	if len(f.Projects) == 0 {
		if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	c := content[E]{Version: version, Projects: map[string]stamped[E]{}}
	for project, entry := range f.Projects {
		c.Projects[project] = stamped[E]{Boot: f.boot, Has: entry}
	}
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return fmt.Errorf("write %s: %w", f.path, err)
	}
	// One name is enough: only the holder of the lock writes.
	temporary := f.path + ".new"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	if err := os.Rename(temporary, f.path); err != nil {
		return errors.Join(err, os.Remove(temporary))
	}
	return nil
}

// Close unlocks the file. An empty one leaves no lock and no empty folder
// behind.
func (f *File[E]) Close() error {
	var err error
	if _, statErr := os.Stat(f.path); errors.Is(statErr, fs.ErrNotExist) {
		err = os.Remove(lockPath(f.path))
		// A folder that is in use, or gone, is left as it is.
		_ = unix.Rmdir(filepath.Dir(f.path))
	}
	return errors.Join(err, f.lock.Close())
}

func lockPath(path string) string { return path + ".lock" }

// lockFile opens and locks a file, which it creates. Whoever holds the lock
// may remove the file; so a lock counts only if the path still names it.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	for {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the folder was removed as empty in between
		}
		if err != nil {
			return nil, err
		}
		if err := flock(ctx, f); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		locked, err := f.Stat()
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		if named, err := os.Lstat(path); err == nil && os.SameFile(locked, named) {
			return f, nil
		}
		if err := f.Close(); err != nil {
			return nil, err
		}
	}
}

// flock waits for an exclusive lock (flock(2)) as long as the context allows.
func flock(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		// A blocking flock could not be interrupted by the context.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
