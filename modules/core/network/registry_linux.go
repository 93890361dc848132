package network

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/namespace"
)

// registry is the host's allocation file, locked while it is held. It says
// what the kernel does not: which project a port or a setting belongs to. When
// it is lost, the next SetRules of each project writes its entry again.
type registry struct {
	path     string
	lock     *os.File
	projects map[string]registryEntry
}

// registryEntry is what a project has.
type registryEntry struct {
	Boot       string        `json:"boot"` // the kernel's boot id
	Pin        string        `json:"pin"`
	Pool       Pool          `json:"pool"`
	Ports      []exposedPort `json:"ports,omitempty"`
	Forwarding []string      `json:"forwarding,omitempty"` // interfaces that forward because we said so
}

// exposedPort is a host port in use.
type exposedPort struct {
	Address  netip.Addr `json:"address"`
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"`
}

// conflicts tells whether both cannot be had: the same, or one is all
// addresses.
func (p exposedPort) conflicts(q exposedPort) bool {
	return p.Port == q.Port && p.Protocol == q.Protocol &&
		(p.Address == q.Address || p.Address.IsUnspecified() || q.Address.IsUnspecified())
}

// registryFile is the registry on disk.
type registryFile struct {
	Version  int                      `json:"version"`
	Projects map[string]registryEntry `json:"projects"`
}

const registryVersion = 1

// openRegistry locks and reads the file. The caller unlocks it.
func openRegistry(ctx context.Context, path string) (_ *registry, err error) {
	if path == "" {
		path = DefaultRegistry
	}
	lock, err := lockFile(ctx, lockPath(path))
	if err != nil {
		return nil, &Error{Op: "lock registry", Target: path, Err: err}
	}
	r := &registry{path: path, lock: lock, projects: map[string]registryEntry{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.unlock())
		}
	}()
	boot, err := bootID()
	if err != nil {
		return nil, &Error{Op: "read boot id", Err: err}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, &Error{Op: "read registry", Target: path, Err: err}
	}
	var file registryFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, &Error{
			Op: "read registry", Target: path,
			Err: fmt.Errorf("%w; remove the file, each project writes its part again when it is run", err),
		}
	}
	if file.Version != registryVersion {
		return nil, &Error{
			Op: "read registry", Target: path,
			Err: fmt.Errorf("version %d is of another release, expected %d", file.Version, registryVersion),
		}
	}
	for project, entry := range file.Projects {
		// A router is made and removed under the lock: an entry without one
		// is what a crash or a reboot left.
		if entry.Boot != boot {
			continue
		}
		ns, err := namespace.OpenPinned(entry.Pin, namespace.Network)
		if notExist(err) && len(entry.Forwarding) == 0 {
			continue
		}
		if err == nil {
			if err := ns.Close(); err != nil {
				return nil, &Error{Op: "close", Target: entry.Pin, Err: err}
			}
		}
		r.projects[project] = entry
	}
	return r, nil
}

// save writes the file, or removes it when there is nothing to say.
func (r *registry) save() error {
	failed := func(err error) error { return &Error{Op: "write registry", Target: r.path, Err: err} }
	if len(r.projects) == 0 {
		if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return failed(err)
		}
		return nil
	}
	text, err := json.MarshalIndent(registryFile{Version: registryVersion, Projects: r.projects}, "", "\t")
	if err != nil {
		return failed(err)
	}
	// One name is enough: only the holder of the lock writes.
	temporary := r.path + ".new"
	if err := os.WriteFile(temporary, append(text, '\n'), 0o600); err != nil {
		return failed(errors.Join(err, os.Remove(temporary)))
	}
	if err := os.Rename(temporary, r.path); err != nil {
		return failed(errors.Join(err, os.Remove(temporary)))
	}
	return nil
}

// unlock ends the use of the registry. An empty registry leaves no file and no
// empty folder behind.
func (r *registry) unlock() error {
	if _, err := os.Stat(r.path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Remove(lockPath(r.path)); err != nil {
			return &Error{Op: "unlock registry", Target: r.path, Err: errors.Join(err, r.lock.Close())}
		}
		removeEmpty(filepath.Dir(r.path))
	}
	if err := r.lock.Close(); err != nil {
		return &Error{Op: "unlock registry", Target: r.path, Err: err}
	}
	return nil
}

// portOwner returns the project other than the given one that exposes a port.
func (r *registry) portOwner(project string, port exposedPort) (string, bool) {
	for other, entry := range r.projects {
		if other != project && slices.ContainsFunc(entry.Ports, port.conflicts) {
			return other, true
		}
	}
	return "", false
}

// forwards tells whether a project other than the given one has an interface
// forward.
func (r *registry) forwards(project, link string) bool {
	for other, entry := range r.projects {
		if other != project && slices.Contains(entry.Forwarding, link) {
			return true
		}
	}
	return false
}

func lockPath(registry string) string { return registry + ".lock" }

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

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}

// removeEmpty removes a folder that nothing is in. One that is in use, or gone,
// is left as it is; there is nothing to do about another failure, and nothing
// depends on it.
func removeEmpty(dir string) { _ = unix.Rmdir(dir) }
