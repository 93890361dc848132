package cgroup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Find finds the v2 hierarchy in this process's mounts. None is an error that
// matches ErrNoHierarchy.
func Find() (*Hierarchy, error) {
	hybrid := false
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		if m.FSType == "cgroup" {
			hybrid = true
		}
		return m.FSType != "cgroup2", false
	})
	if err == nil && len(mounts) == 0 {
		err = fmt.Errorf("%w; mount one: mount -t cgroup2 none /sys/fs/cgroup", ErrNoHierarchy)
	}
	if err != nil {
		return nil, &Error{Op: "find", Err: err}
	}
	// The hierarchy may be bound to other places too, as a container's view of
	// a part of it. The widest view is ours.
	best := slices.MinFunc(mounts, func(a, b *mountinfo.Info) int { return len(a.Root) - len(b.Root) })
	h := &Hierarchy{Mount: best.Mountpoint, Hybrid: hybrid, root: best.Root}
	if h.Controllers, err = readWords(h.Mount, "cgroup.controllers"); err != nil {
		return nil, &Error{Op: "find", Err: err}
	}
	return h, nil
}

// Create makes a cgroup with its limits, and the folders on the way to it. One
// that exists is an error that matches fs.ErrExist. The caller closes it.
func Create(ctx context.Context, spec Spec, opts Options) (*Cgroup, error) {
	g, err := locate(spec, opts)
	if err != nil {
		return nil, err
	}
	failed := func(err error) error { return &Error{Op: "create", Path: g.path, Err: err} }
	if err := spec.Limits.check(); err != nil {
		return nil, failed(err)
	}
	limiting := spec.Limits.Controllers()
	controllers := slices.Compact(slices.Sorted(slices.Values(slices.Concat(spec.Controllers, limiting))))
	if spec.Lenient {
		limiting = nil
	}
	for attempt := 1; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, failed(err)
		}
		err := g.makeFolders(controllers, limiting)
		if err == nil {
			break
		}
		// A folder above was empty, and another's Remove took it just then.
		if errors.Is(err, fs.ErrNotExist) && attempt < maxAttempts {
			continue
		}
		g.removeEmptyAncestors()
		if errors.As(err, new(*Error)) {
			return nil, err
		}
		return nil, failed(cause(err))
	}
	if err := g.open("create"); err != nil {
		return nil, errors.Join(err, g.Remove(ctx))
	}
	if err := g.limitNew(spec.Limits.Without(g.missing...)); err != nil {
		return nil, errors.Join(err, g.Remove(ctx), g.Close())
	}
	return g, nil
}

// maxAttempts is how often Create begins again when others remove folders that
// it needs.
const maxAttempts = 100

// makeFolders makes the group's folder and those above it, with the controllers
// as far as they are there; the needed ones must be.
func (g *Cgroup) makeFolders(controllers, needed []string) error {
	for _, dir := range g.ancestors()[1:] {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	// Before the group is made: enabling fails, rather than the start of a
	// process, when an ancestor has processes of its own.
	missing, err := g.enable(controllers)
	if err != nil {
		return err
	}
	for _, name := range needed {
		if slices.Contains(missing, name) {
			return noController(name)
		}
	}
	g.missing = missing
	return os.Mkdir(g.path, 0o755)
}

// Open opens a cgroup that exists; none is an error that matches
// fs.ErrNotExist. The caller closes it.
func Open(spec Spec, opts Options) (*Cgroup, error) {
	g, err := locate(spec, opts)
	if err != nil {
		return nil, err
	}
	if err := g.open("open"); err != nil {
		return nil, err
	}
	return g, nil
}

// locate resolves a spec without touching anything.
func locate(spec Spec, opts Options) (*Cgroup, error) {
	// A path that leaves the root, or is the root itself, is a mistake.
	if !filepath.IsLocal(spec.Path) || filepath.Clean(spec.Path) == "." {
		return nil, &Error{Op: "open", Path: spec.Path, Err: fmt.Errorf("not a path below the root: %w", fs.ErrInvalid)}
	}
	root := opts.Root
	if root == "" {
		h, err := Find()
		if err != nil {
			return nil, err
		}
		root = h.Mount
	}
	var st unix.Statfs_t
	err := unix.Statfs(root, &st)
	if err == nil && st.Type != unix.CGROUP2_SUPER_MAGIC {
		err = fmt.Errorf("not in a cgroup v2 file system: %w", fs.ErrInvalid)
	}
	if err != nil {
		return nil, &Error{Op: "open", Path: root, Err: err}
	}
	return &Cgroup{root: filepath.Clean(root), path: filepath.Join(root, spec.Path)}, nil
}

func (g *Cgroup) open(op string) error {
	fd, err := unix.Open(g.path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return &Error{Op: op, Path: g.path, Err: err}
	}
	g.dir = os.NewFile(uintptr(fd), g.path)
	return nil
}

// enable turns controllers on for the children of each folder from the root
// down to the group's parent, and returns those that the root does not have.
func (g *Cgroup) enable(wanted []string) (missing []string, err error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	available, err := readWords(g.root, "cgroup.controllers")
	if err != nil {
		return nil, &Error{Op: "enable controllers", Path: g.root, Err: err}
	}
	for _, controller := range wanted {
		if !slices.Contains(available, controller) {
			missing = append(missing, controller)
			continue
		}
		for _, dir := range g.ancestors() {
			enabled, err := readWords(dir, "cgroup.subtree_control")
			if err == nil && !slices.Contains(enabled, controller) {
				err = write(dir, "cgroup.subtree_control", "+"+controller)
			}
			if errors.Is(err, unix.EBUSY) {
				err = fmt.Errorf("%w: %w", ErrBusy, err)
			}
			if err != nil {
				return nil, &Error{Op: "enable " + controller, Path: dir, Err: err}
			}
		}
	}
	return missing, nil
}

// ancestors returns the folders from the root to the group's parent.
func (g *Cgroup) ancestors() []string {
	var dirs []string
	for dir := filepath.Dir(g.path); ; dir = filepath.Dir(dir) {
		dirs = append(dirs, dir)
		if dir == g.root {
			break
		}
	}
	slices.Reverse(dirs)
	return dirs
}

// Remove removes the cgroup, the cgroups in it, and those above it, below the
// root, that it leaves empty. None there is not an error; one that has
// processes is an error that matches ErrBusy. The Cgroup must be closed still.
func (g *Cgroup) Remove(ctx context.Context) error {
	if err := removeTree(ctx, g.path); err != nil {
		return err
	}
	g.removeEmptyAncestors()
	return nil
}

func removeTree(ctx context.Context, dir string) error {
	failed := func(err error) error { return &Error{Op: "remove", Path: dir, Err: err} }
	if err := ctx.Err(); err != nil {
		return failed(err)
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	if err != nil {
		return failed(cause(err))
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(ctx, filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	err = unix.Rmdir(dir)
	if errors.Is(err, unix.EBUSY) {
		return failed(fmt.Errorf("%w: %w", ErrBusy, err))
	}
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return failed(err)
	}
	return nil
}

// removeEmptyAncestors stops at the first folder that is in use: rmdir refuses
// a cgroup that has processes or children.
func (g *Cgroup) removeEmptyAncestors() {
	dirs := g.ancestors()
	for i := len(dirs) - 1; i > 0; i-- {
		if unix.Rmdir(dirs[i]) != nil {
			return
		}
	}
}

// Kill kills every process of the cgroup and of those in it at once, so that
// none can fork away (cgroup.kill, Linux 5.14). It does not wait for their end.
func (g *Cgroup) Kill() error {
	if err := write(g.path, "cgroup.kill", "1"); err != nil {
		return &Error{Op: "kill", Path: g.path, Err: err}
	}
	return nil
}

// Procs lists the processes that are in the cgroup itself, by their ids in the
// caller's pid namespace. Zombies are listed until they are reaped.
func (g *Cgroup) Procs() ([]int, error) {
	words, err := readWords(g.path, "cgroup.procs")
	if err != nil {
		return nil, &Error{Op: "read cgroup.procs", Path: g.path, Err: err}
	}
	pids := make([]int, len(words))
	for i, word := range words {
		if pids[i], err = strconv.Atoi(word); err != nil {
			return nil, &Error{Op: "read cgroup.procs", Path: g.path, Err: err}
		}
	}
	return pids, nil
}

// Controllers returns those whose limits the cgroup can have.
func (g *Cgroup) Controllers() ([]string, error) { return Controllers(g.path) }

// Controllers returns those whose limits a cgroup can have, by its folder.
func Controllers(dir string) ([]string, error) {
	names, err := readWords(dir, "cgroup.controllers")
	if err != nil {
		return nil, &Error{Op: "read cgroup.controllers", Path: dir, Err: err}
	}
	return names, nil
}

// Populated tells whether the cgroup, or one in it, has a live process.
func (g *Cgroup) Populated() (bool, error) { return g.event("populated") }

// WaitEmpty waits until neither the cgroup nor one in it has a live process,
// or until it is removed.
func (g *Cgroup) WaitEmpty(ctx context.Context) error { return g.waitFor(ctx, "populated", false) }

// Freeze stops every process of the cgroup and of those in it, and waits until
// they have stopped. Kill ends frozen processes too.
func (g *Cgroup) Freeze(ctx context.Context) error {
	if err := write(g.path, "cgroup.freeze", "1"); err != nil {
		return &Error{Op: "freeze", Path: g.path, Err: err}
	}
	return g.waitFor(ctx, "frozen", true)
}

// Thaw lets the processes go on that Freeze stopped.
func (g *Cgroup) Thaw(ctx context.Context) error {
	if err := write(g.path, "cgroup.freeze", "0"); err != nil {
		return &Error{Op: "thaw", Path: g.path, Err: err}
	}
	return g.waitFor(ctx, "frozen", false)
}

// event reads one value of cgroup.events.
func (g *Cgroup) event(key string) (bool, error) {
	values, err := readKeyed(g.path, "cgroup.events")
	if err != nil {
		return false, &Error{Op: "read cgroup.events", Path: g.path, Err: err}
	}
	return values[key] != 0, nil
}

// readWords reads a file of words separated by white space.
func readWords(dir, name string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, cause(err)
	}
	return strings.Fields(string(text)), nil
}

// readKeyed reads a flat keyed file: lines of a key and a number
// (cgroup-v2.rst, "Format").
func readKeyed(dir, name string) (map[string]int64, error) {
	words, err := readWords(dir, name)
	if err != nil {
		return nil, err
	}
	values := make(map[string]int64, len(words)/2)
	for pair := range slices.Chunk(words, 2) {
		if len(pair) != 2 {
			return nil, fmt.Errorf("%q without a value", pair[0])
		}
		if values[pair[0]], err = strconv.ParseInt(pair[1], 10, 64); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func write(dir, name, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
	if err != nil {
		return cause(err)
	}
	_, err = f.WriteString(value)
	return errors.Join(cause(err), f.Close())
}

// cause takes the path away from an error that names it already.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
