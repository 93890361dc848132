package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/cgroup/scope"
	"github.com/containust/containust/modules/core/idmap"
)

// placement says where a project's cgroups are made. A container's own is at
// path(name) below options.Root.
type placement struct {
	options cgroup.Options
	prefix  string // containust/<project>, unless the root is the project's own
	missing error  // why there are none; then the rest means nothing
}

// placeCgroups decides it: in the folder that Delegate got, if it moved this
// process's guardian; otherwise for root at the top of the hierarchy; otherwise
// nowhere.
func placeCgroups(project string) placement {
	if dir, ok := settled(project); ok {
		return placement{options: cgroup.Options{Root: dir}}
	}
	if idmap.Confined() {
		return placement{missing: errors.New("no cgroup is this user's own: ctst doctor says why")}
	}
	return placement{prefix: path.Dir(cgroup.Path(project, "x"))}
}

func (p placement) path(name string) string { return path.Join(p.prefix, name) }

// dir is the folder that has the containers' cgroups, if there are any.
func (p placement) dir() (string, error) {
	if p.options.Root != "" {
		return filepath.Join(p.options.Root, p.prefix), nil
	}
	h, err := cgroup.Find()
	if err != nil {
		return "", err
	}
	return filepath.Join(h.Mount, p.prefix), nil
}

// controllers are those that a container's cgroup can have.
func (p placement) controllers() ([]string, error) {
	switch {
	case p.missing != nil:
		return nil, p.missing
	case p.options.Root != "":
		return cgroup.Controllers(p.options.Root)
	}
	h, err := cgroup.Find()
	if err != nil {
		return nil, err
	}
	return h.Controllers, nil
}

// controllersFor are those that a project would have which is started now.
func controllersFor(ctx context.Context) ([]string, error) {
	if scope.Booted() {
		ctx, cancel := context.WithTimeout(ctx, delegateTime)
		defer cancel()
		if m, err := scope.Ask(ctx); err == nil {
			return m.Controllers, nil
		}
	}
	if !idmap.Confined() {
		return placement{}.controllers()
	}
	own, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	return cgroup.Controllers(own)
}

// cgroupRecord is where a container's cgroup is: a later backend may have another
// placement.
type cgroupRecord struct {
	Root string `json:"root,omitempty"`
	Path string `json:"path"`
}

func (p placement) record(name string) *cgroupRecord {
	if p.missing != nil {
		return nil
	}
	return &cgroupRecord{Root: p.options.Root, Path: p.path(name)}
}

// openCgroup opens a container's cgroup, if it has one still; otherwise it
// returns nil.
func openCgroup(r *cgroupRecord) (*cgroup.Cgroup, error) {
	if r == nil {
		return nil, nil
	}
	g, err := cgroup.Open(cgroup.Spec{Path: r.Path}, cgroup.Options{Root: r.Root})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return g, err
}

// sweep ends what containers that do not run have all the same: a launch that an
// earlier backend did not live to write down.
func (b *Backend) sweep(ctx context.Context) error {
	if b.cgroups.missing != nil {
		return b.sweepProcesses()
	}
	dir, err := b.cgroups.dir()
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		if c := b.containers[name]; !entry.IsDir() || name == cgroup.Leaf || c != nil && c.run != nil {
			continue
		}
		group, err := openCgroup(b.cgroups.record(name))
		if err != nil {
			return err
		}
		if group == nil {
			continue // it is gone by itself
		}
		b.log.Warn("end a launch that was not completed", "container", name)
		err = b.cleanUp(ctx, name, &run{cgroup: group})
		if err = errors.Join(err, group.Close()); err != nil {
			return fmt.Errorf("end an earlier launch of %s: %w", name, err)
		}
	}
	return nil
}

// sweepProcesses knows the processes of containers without cgroups by their
// standard output. With the first process of one go all others.
func (b *Backend) sweepProcesses() error {
	outputs, err := filepath.Glob("/proc/[0-9]*/fd/1")
	if err != nil {
		return err
	}
	for _, link := range outputs {
		target, err := os.Readlink(link)
		if err != nil {
			continue // it has none, is over, or is another user's
		}
		dir, base := filepath.Split(target)
		name := filepath.Base(dir)
		if base != streams[0] || filepath.Clean(dir) != b.dir(name) {
			continue
		}
		if c := b.containers[name]; c != nil && c.run != nil {
			continue
		}
		b.log.Warn("end a launch that was not completed", "container", name)
		pid, err := strconv.Atoi(strings.Split(link, "/")[2])
		if err == nil {
			err = unix.Kill(pid, unix.SIGKILL)
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end an earlier launch of %s: %w", name, err)
		}
	}
	return nil
}

// removeProjectCgroup removes the folders that the containers' cgroups were in,
// but not a root that was delegated: that ends with its last process. The outer
// one is shared with other projects, which may be using it.
func (b *Backend) removeProjectCgroup(ctx context.Context) error {
	if b.cgroups.missing != nil || b.cgroups.prefix == "" {
		return nil
	}
	g, err := cgroup.Open(cgroup.Spec{Path: b.cgroups.prefix}, b.cgroups.options)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	// With those above it that are empty then.
	return errors.Join(g.Remove(ctx), g.Close())
}

// delegateTime bounds how long systemd may take to hand out a cgroup.
const delegateTime = 5 * time.Second

// Delegate moves processes, the calling one among them, into a cgroup in which
// the project can make others, where that takes more than being root: into a scope
// of the project's own where systemd runs the machine, else for an ordinary user
// into a part of the caller's cgroup, if that was delegated. A backend in one of
// them makes its cgroups there. Where an earlier call moved the process that
// started this one, nothing is left to do.
//
// What cannot be had is logged, and does without: root's cgroups are at the top of
// the hierarchy then, and an ordinary user's containers have none.
//
// leave moves the processes out again, when nothing of the project runs any more.
func Delegate(ctx context.Context, project string, pids []int, log *slog.Logger) (leave func() error) {
	nothing := func() error { return nil }
	inside := "/" + path.Dir(cgroup.Path(project, "x"))
	if dir, ok := settled(project); ok {
		if own, ok := strings.CutSuffix(dir, inside); ok {
			return func() error { return leaveCgroup(dir, own, pids) }
		}
		return nothing
	}
	if scope.Booted() {
		ctx, cancel := context.WithTimeout(ctx, delegateTime)
		defer cancel()
		_, err := scope.Enter(ctx, scope.Spec{
			Name: scopeName(project), PIDs: pids, Description: "Containust project " + project,
		})
		if err == nil {
			return nothing // a scope ends with its last process
		}
		log.Warn("the project has no scope of its own", "error", err)
	}
	if !idmap.Confined() {
		return nothing
	}
	own, err := ownCgroup()
	if err == nil {
		root := own + inside
		err = os.MkdirAll(root, 0o755)
		for _, pid := range pids {
			if err == nil {
				err = cgroup.Settle(root, pid)
			}
		}
		if err == nil {
			return func() error { return leaveCgroup(root, own, pids) }
		}
	}
	log.Warn("the project has no cgroup of its own", "error", err)
	return nothing
}

// leaveCgroup moves those of the processes that are still there.
func leaveCgroup(root, own string, pids []int) error {
	var failed error
	for _, pid := range pids {
		if err := cgroup.Leave(root, own, pid); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func scopeName(project string) string { return "containust-" + project }

// settled returns where Delegate moved this process, or the one that started it,
// for the project.
func settled(project string) (dir string, ok bool) {
	dir, ok = cgroup.Settled()
	ours := filepath.Base(dir) == scopeName(project)+".scope" ||
		strings.HasSuffix(dir, "/"+path.Dir(cgroup.Path(project, "x")))
	return dir, ok && ours
}

// ownCgroup returns the cgroup that this process is in, if others can be made
// there.
func ownCgroup() (string, error) {
	own, err := cgroup.Of(os.Getpid())
	if err != nil {
		return "", err
	}
	return own, cgroup.Delegated(own)
}

// checkOwnCgroup looks where an ordinary user can have cgroups.
func checkOwnCgroup(ctx context.Context) Requirement {
	r := checkCgroup()
	r.Required = false
	if r.Err == nil && scope.Booted() {
		ctx, cancel := context.WithTimeout(ctx, delegateTime)
		defer cancel()
		m, err := scope.Ask(ctx)
		if err == nil {
			r.Found = fmt.Sprintf("from systemd, in %s (%s)", m.Dir, strings.Join(m.Controllers, " "))
			return r
		}
		r.Err = err
	}
	if own, err := ownCgroup(); err == nil {
		r.Found, r.Err = own, nil
		return r
	} else if r.Err == nil {
		r.Err = err
	}
	r.Name = "cgroup of its own"
	r.Err = fmt.Errorf("no container has one: they share the caller's, and end with their first process (%w)", r.Err)
	r.Mend = "nothing has to be done; as root each has one"
	if errors.Is(r.Err, scope.ErrNoManager) && scope.Booted() {
		r.Mend = "log in, rather than becoming this user by su, or once: loginctl enable-linger"
	}
	return r
}
