package idmap

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"

	"github.com/containust/containust/modules/core/internal/hostfile"
)

// The ids that systemd sets aside for containers, in ranges of Size.
const (
	firstID = 524288
	lastID  = 1879048191
	ranges  = (lastID - firstID + 1) / Size
)

// entry is what a project has.
type entry struct {
	Holder string            `json:"holder"`
	Ranges map[string]uint32 `json:"ranges"` // first host ids by container
}

// Allocate returns the first of the Size host ids that the container has, and
// has until [Project.Free]. Which they are follows from the names: a container
// that comes again mostly gets its ids again. Without a free range the error
// matches [ErrNoRange].
func (p Project) Allocate(ctx context.Context, container string) (first uint32, err error) {
	err = p.locked(ctx, func(f *hostfile.File[entry]) error {
		if had, ok := f.Projects[p.Name].Ranges[container]; ok {
			first = had
			return nil
		}
		begin := p.preferred(container)
		used, err := p.uses(firstID + begin%ranges*Size)
		if err != nil {
			return err
		}
		for i := range uint32(ranges) {
			first = firstID + (begin+i)%ranges*Size
			if p.owner(f, container, first) == "" && used.owner(first) == "" {
				return p.put(f, container, first)
			}
		}
		return fmt.Errorf("%w: running processes, /etc/subuid, /etc/subgid and other projects use all of %d–%d, or this process is itself in a user namespace without them",
			ErrNoRange, firstID, lastID)
	})
	if err != nil {
		return 0, fmt.Errorf("allocate ids for %s: %w", container, err)
	}
	return first, nil
}

// Claim makes the range from first on, which the container had, its own again;
// if it still is, nothing changes. What somebody else has is a *[TakenError].
// running says that processes of the container use the range: then processes
// are not looked for.
func (p Project) Claim(ctx context.Context, container string, first uint32, running bool) error {
	err := p.locked(ctx, func(f *hostfile.File[entry]) error {
		if had, ok := f.Projects[p.Name].Ranges[container]; ok && had == first {
			return nil
		}
		if first < firstID || first > lastID-(Size-1) || first%Size != 0 {
			return fmt.Errorf("no range begins at %d", first)
		}
		if by := p.owner(f, container, first); by != "" {
			return &TakenError{First: first, By: by}
		}
		if !running {
			used, err := p.uses(first)
			if err != nil {
				return err
			}
			if by := used.owner(first); by != "" {
				return &TakenError{First: first, By: by}
			}
		}
		return p.put(f, container, first)
	})
	if err != nil {
		return fmt.Errorf("claim the ids of %s: %w", container, err)
	}
	return nil
}

// Free gives the ranges of containers back; those that have none are passed
// over. No process may use them any more.
func (p Project) Free(ctx context.Context, containers ...string) error {
	return p.free(ctx, func(ranges map[string]uint32) {
		for _, c := range containers {
			delete(ranges, c)
		}
	})
}

// FreeAll gives all ranges of the project back.
func (p Project) FreeAll(ctx context.Context) error {
	return p.free(ctx, func(ranges map[string]uint32) { clear(ranges) })
}

func (p Project) free(ctx context.Context, remove func(map[string]uint32)) error {
	err := p.locked(ctx, func(f *hostfile.File[entry]) error {
		remove(f.Projects[p.Name].Ranges)
		if len(f.Projects[p.Name].Ranges) == 0 {
			delete(f.Projects, p.Name)
		}
		return f.Save()
	})
	if err != nil {
		return fmt.Errorf("free ids: %w", err)
	}
	return nil
}

// uses finds what the host uses. An earlier look is good enough unless it found
// somebody in the range from first on: that may be over.
func (p Project) uses(first uint32) (*uses, error) {
	if p.Host != nil {
		if u, err := p.Host().found(); err != nil || u.owner(first) == "" {
			return u, err
		}
	}
	return hostUses()
}

// locked calls do with the registry locked.
func (p Project) locked(ctx context.Context, do func(*hostfile.File[entry]) error) (err error) {
	path := p.Registry
	if path == "" {
		path = DefaultRegistry
	}
	if p.Name == "" || p.Holder == "" {
		return errors.New("a project and its holder are required")
	}
	f, err := hostfile.Open(ctx, path, entry.alive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return do(f)
}

func (e entry) alive() (bool, error) {
	_, err := os.Lstat(e.Holder)
	return !errors.Is(err, fs.ErrNotExist), nil
}

// owner tells who of the registry has a range, or "".
func (p Project) owner(f *hostfile.File[entry], container string, first uint32) string {
	for project, e := range f.Projects {
		for c, r := range e.Ranges {
			if r != first || project == p.Name && c == container {
				continue
			}
			if project == p.Name {
				return "container " + c
			}
			return "project " + project
		}
	}
	return ""
}

func (p Project) put(f *hostfile.File[entry], container string, first uint32) error {
	e := f.Projects[p.Name]
	if e.Ranges == nil {
		e.Ranges = map[string]uint32{}
	}
	e.Holder, e.Ranges[container] = p.Holder, first
	f.Projects[p.Name] = e
	return f.Save()
}

// preferred is the index of the range to look at first. It differs between
// containers, so that one whose files wait for its next start mostly finds its
// ids free again.
func (p Project) preferred(container string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(p.Name + "\x00" + container))
	return h.Sum32() % ranges
}
