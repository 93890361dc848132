package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/storage/overlay"
)

// userRecord is who a container's process is.
type userRecord struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
	Home   string   `json:"home"`
}

// Start runs a container's process.
func (b *Backend) Start(ctx context.Context, id container.ID) (pid int, err error) {
	c, err := b.instance(id)
	if err != nil {
		return 0, err
	}
	c.operation.Lock()
	defer c.operation.Unlock()
	b.mu.Lock()
	cfg, running := c.record.Config, c.run != nil
	b.mu.Unlock()
	if running {
		return 0, fmt.Errorf("container %q is running already", id)
	}
	name := cfg.Name

	l := &launch{backend: b, cfg: cfg}
	defer func() { err = errors.Join(err, l.close()) }()
	r := &run{done: make(chan struct{})}
	defer func() {
		if err != nil {
			for _, p := range r.logs {
				p.stop()
			}
			err = errors.Join(err, b.cleanUp(context.WithoutCancel(ctx), name, r), r.close())
		}
	}()
	if err := l.prepareUser(ctx, c); err != nil {
		return 0, err
	}
	if err := l.prepareRoot(ctx); err != nil {
		return 0, err
	}
	var unenforced []string
	if r.cgroup, unenforced, err = b.createCgroup(ctx, cfg); err != nil {
		return 0, err
	}
	if err := l.attachNetwork(ctx); err != nil {
		return 0, err
	}
	if l.endpoint != nil {
		// Kept for health checks; the namespace itself lives with the process.
		if r.netns, err = duplicate(l.endpoint.NS()); err != nil {
			return 0, err
		}
	}
	if err := l.openStreams(); err != nil {
		return 0, err
	}
	if r.logs, err = b.startPumps(name); err != nil {
		return 0, err
	}
	var group *os.File
	if r.cgroup != nil {
		group = r.cgroup.File()
	}
	if r.process, err = l.run(ctx, group); err != nil {
		return 0, commandError(err)
	}
	startTime, err := r.process.StartTime()
	if err != nil {
		return 0, errors.Join(err, b.kill(r))
	}

	b.mu.Lock()
	defer b.mu.Unlock()
	c.record.PID, c.record.StartTime = r.process.PID(), startTime
	c.record.Cgroup, c.record.User, c.record.Unenforced = b.cgroups.record(name), l.user, unenforced
	c.record.Started, c.record.Finished, c.record.Exit = time.Now(), time.Time{}, nil
	if err := b.save(c); err != nil {
		// A process that no later backend can find must not run.
		return 0, errors.Join(err, b.kill(r))
	}
	c.run = r
	b.tasks.Go(func() { b.watch(name, c, r) })
	return r.process.PID(), nil
}

// commandError makes an error that says what a person can do about a program
// that cannot be run.
func commandError(err error) error {
	var e *sandbox.ExecError
	if !errors.As(err, &e) {
		return err
	}
	if errors.Is(e, fs.ErrNotExist) {
		hint := "is it in the image, and for a script, its interpreter too?"
		if !strings.Contains(e.Path, "/") {
			hint = "it is in none of the folders of PATH in the image"
		}
		return fmt.Errorf("%w: %q: %s", container.ErrCommandNotFound, e.Path, hint)
	}
	return fmt.Errorf("%w: %q: %w", container.ErrNotExecutable, e.Path, e.Err)
}

// launch holds what one launch needs until it has happened.
type launch struct {
	backend  *Backend
	cfg      container.Config
	places   container.Config // cfg with paths of the image resolved
	ids      idmap.IDs
	ns       *sandbox.Namespaces
	owners   map[string]*sandbox.Namespaces // that map owners on disk, by their maps
	root     *os.File
	mounts   []rootfs.Mount
	endpoint *network.Endpoint
	user     userRecord
	streams  [2]*os.File
	opened   []io.Closer
}

func (l *launch) close() (err error) {
	for _, c := range slices.Backward(l.opened) {
		err = errors.Join(err, c.Close())
	}
	return err
}

func (l *launch) owns(c io.Closer) { l.opened = append(l.opened, c) }

// prepareRoot makes the root file system and what is mounted over it.
func (l *launch) prepareRoot(ctx context.Context) error {
	b, name := l.backend, l.cfg.Name
	var spec overlay.Spec
	if b.ids.shared == nil {
		spec.User = l.ns.User
	}
	for _, path := range layerPaths(l.cfg) {
		spec.Lower = append(spec.Lower, overlay.Layer{Path: path})
	}
	spec.Lower = append(spec.Lower, overlay.Layer{Path: b.layerDir(name), Shifted: true})
	var err error
	if !l.cfg.ReadOnly {
		if spec.Upper, spec.Work, err = b.writableLayer(name, l.ids); err != nil {
			return err
		}
	}
	if l.root, err = overlay.Mount(ctx, spec); err != nil {
		return err
	}
	l.owns(l.root)
	user, err := rootfs.LookupUser(l.root, l.cfg.User)
	if err != nil {
		return err
	}
	l.user = userRecord{UID: user.UID, GID: user.GID, Groups: presentGroups(l.ids, user), Home: user.Home}
	user.Groups = l.user.Groups
	if err := checkUser(l.ids, user); err != nil {
		return err
	}

	if l.places, err = resolve(l.cfg, l.root); err != nil {
		return err
	}
	// Outer mounts first, so that one may lie inside another.
	mounts := slices.Clone(l.places.Mounts)
	slices.SortStableFunc(mounts, func(a, b container.Mount) int { return len(a.Target) - len(b.Target) })
	for _, m := range mounts {
		if isShared(m) {
			continue
		}
		f, err := l.openMount(ctx, m, mounts)
		if err != nil {
			return fmt.Errorf("mount %s: %w", m.Target, err)
		}
		l.owns(f)
		l.mounts = append(l.mounts, rootfs.Mount{Target: m.Target, Source: f})
	}
	return nil
}

// attachNetwork makes the network namespace that the configuration asks for.
func (l *launch) attachNetwork(ctx context.Context) (err error) {
	switch l.cfg.Network.Mode {
	case container.NetworkHost:
		return nil
	case container.NetworkNone:
		l.endpoint, err = network.None(ctx, network.EndpointOptions{Namespace: l.ns.Network})
	default:
		l.endpoint, err = l.backend.net.attach(ctx, l.cfg, l.ns.Network, l.backend.configs)
	}
	if err == nil {
		l.owns(l.endpoint)
	}
	return err
}

// openStreams opens the named pipes that become the process's output: for
// reading too, so that losing the reader neither ends nor blocks it. They are
// root's inside.
func (l *launch) openStreams() error {
	uid, gid, err := l.ids.Host(0, 0)
	if err != nil {
		return err
	}
	for i, stream := range streams {
		name := filepath.Join(l.backend.dir(l.cfg.Name), stream)
		if err := os.Chown(name, int(uid), int(gid)); err != nil {
			return err
		}
		if l.streams[i], err = os.OpenFile(name, os.O_RDWR, 0); err != nil {
			return err
		}
		l.owns(l.streams[i])
	}
	return nil
}

// run launches the process.
func (l *launch) run(ctx context.Context, group *os.File) (*sandbox.Process, error) {
	command, err := l.command()
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = l.streams[0], l.streams[1]
	spec := sandbox.Spec{
		Command: command, Root: l.root, ReadOnlyRoot: l.cfg.ReadOnly, Plan: plan(l.ids),
		Hostname: hostname(l.cfg), HostNetwork: l.cfg.Network.Mode == container.NetworkHost, Cgroup: group,
		Init: l.cfg.Init,
	}
	spec.User = l.ns.User
	if spec.RootUID, spec.RootGID, err = l.ids.Host(0, 0); err != nil {
		return nil, err
	}
	spec.Mounts = append(spec.Mounts, l.mounts...)
	l.sizeShared(spec.Mounts)
	if spec.Devices, err = l.devices(); err != nil {
		return nil, err
	}
	if l.endpoint != nil {
		spec.Network = l.endpoint.NS()
	}
	return sandbox.Launch(ctx, spec, sandbox.Options{Logger: l.backend.log})
}

// command is the container's own process; an exec starts from it too.
func (l *launch) command() (sandbox.Command, error) {
	caps, err := capabilities(l.cfg.Capabilities)
	if err != nil {
		return sandbox.Command{}, err
	}
	command := sandbox.Command{
		Args: l.cfg.Args, Dir: l.cfg.WorkDir,
		Env: environment(l.cfg, l.user.Home),
		UID: l.user.UID, GID: l.user.GID, Groups: l.user.Groups,
		Capabilities: caps, NewSession: true,
	}
	if command.Filter, err = l.backend.filters.program(l.cfg, caps); err != nil {
		return sandbox.Command{}, err
	}
	for _, limit := range l.cfg.Resources.Rlimits {
		resource, err := sandbox.ParseRlimit(limit.Name)
		if err != nil {
			return sandbox.Command{}, err
		}
		command.Rlimits = append(command.Rlimits, sandbox.Rlimit{Resource: resource, Cur: rlimit(limit.Soft), Max: rlimit(limit.Hard)})
	}
	return command, nil
}

func rlimit(n int64) uint64 {
	if n < 0 {
		return sandbox.RlimitInfinity
	}
	return uint64(n)
}

func capabilities(names []string) (capability.Set, error) {
	var set capability.Set
	for _, name := range names {
		if name == "docker" {
			set |= capability.Docker
			continue
		}
		one, err := capability.ParseSet(name)
		if err != nil {
			return 0, err
		}
		set |= one
	}
	return set, nil
}

// environment adds what every process expects and the configuration leaves out.
func environment(cfg container.Config, home string) []string {
	env := slices.Clone(cfg.Env)
	for _, def := range []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + home, "HOSTNAME=" + hostname(cfg),
	} {
		key, _, _ := strings.Cut(def, "=")
		if !slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, key+"=") }) {
			env = append(env, def)
		}
	}
	return env
}

func duplicate(f *os.File) (*os.File, error) {
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
