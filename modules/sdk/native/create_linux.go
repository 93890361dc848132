package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/sdk/logfile"
)

// Create prepares a container: its addresses, and the generated layer with
// mount points and files. An exposure that cannot be made is an error here,
// before anything runs.
func (b *Backend) Create(ctx context.Context, cfg container.Config) (_ container.ID, err error) {
	if err := b.supported(cfg); err != nil {
		return "", err
	}
	if err := b.prepareFilter(&cfg); err != nil {
		return "", fmt.Errorf("container %q: %w", cfg.Name, err)
	}
	b.mu.Lock()
	if b.containers[cfg.Name] != nil {
		b.mu.Unlock()
		return "", fmt.Errorf("container %q: %w", cfg.Name, fs.ErrExist)
	}
	c := &instance{record: record{Config: cfg, Boot: b.boot}}
	c.operation.Lock()
	defer c.operation.Unlock()
	b.containers[cfg.Name] = c
	b.mu.Unlock()
	defer func() {
		if err != nil {
			b.forget(cfg.Name)
			err = errors.Join(err, os.RemoveAll(b.dir(cfg.Name)), b.ids.Free(context.WithoutCancel(ctx), cfg.Name))
		}
	}()

	if err := os.RemoveAll(b.dir(cfg.Name)); err != nil {
		return "", err
	}
	if c.record.FirstID, err = b.reserveIDs(ctx, cfg); err != nil {
		return "", err
	}
	if err := b.makeLayer(ctx, cfg, b.ids.from(c.record.FirstID)); err != nil {
		return "", err
	}
	for _, stream := range streams {
		if err := makePipe(filepath.Join(b.dir(cfg.Name), stream)); err != nil {
			return "", err
		}
	}
	if cfg.Network.Mode == container.NetworkProject {
		b.net.changed()
		if len(cfg.Network.Expose) > 0 {
			err := b.net.enforce(ctx, b.configs)
			var taken *network.PortInUseError
			if errors.As(err, &taken) {
				return "", taken // it says everything; who found it does not matter
			}
			if err != nil {
				return "", err
			}
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return container.ID(cfg.Name), b.save(c)
}

// forget drops a container from memory, and its rules.
func (b *Backend) forget(name string) {
	b.mu.Lock()
	delete(b.containers, name)
	b.mu.Unlock()
	b.net.changed()
}

// configs returns the configurations of all containers.
func (b *Backend) configs() []container.Config {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []container.Config
	for _, c := range b.containers {
		all = append(all, c.record.Config)
	}
	return all
}

func layerPaths(cfg container.Config) []string {
	var paths []string
	for _, l := range cfg.Layers {
		paths = append(paths, l.Path)
	}
	return paths
}

// layerDir holds a container's generated layer.
func (b *Backend) layerDir(name string) string { return filepath.Join(b.dir(name), "layer") }

// makeLayer makes the generated layer, with owners of the container's ids: it
// may lie on a file system that cannot map them.
func (b *Backend) makeLayer(ctx context.Context, cfg container.Config, ids idmap.IDs) error {
	dir := b.layerDir(cfg.Name)
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o700)); err != nil {
		return err
	}
	image, err := rootfs.Image(layerPaths(cfg))
	if err != nil {
		return err
	}
	if cfg, err = resolve(cfg, image); err != nil {
		return errors.Join(err, image.Close())
	}
	files, err := b.generatedFiles(ctx, cfg, image)
	if err == nil {
		scaffold := b.scaffold(cfg, files)
		scaffold.IDs = ids
		err = scaffold.Make(dir, image)
	}
	return errors.Join(err, image.Close())
}

// generatedFiles are the container's own files in /etc, and those of its
// configuration, which belong to its user.
func (b *Backend) generatedFiles(ctx context.Context, cfg container.Config, image *os.File) ([]rootfs.File, error) {
	hosts, err := b.hosts(ctx, cfg)
	if err != nil {
		return nil, err
	}
	offline := cfg.Network.Offline || cfg.Network.Mode == container.NetworkNone
	resolv, err := network.ResolvConf(os.DirFS("/"), offline)
	if err != nil {
		return nil, err
	}
	files := []rootfs.File{
		{Path: "/etc/hosts", Content: hosts, Mode: 0o644},
		{Path: "/etc/hostname", Content: []byte(hostname(cfg) + "\n"), Mode: 0o644},
		{Path: "/etc/resolv.conf", Content: resolv, Mode: 0o644},
	}
	if len(cfg.Files) == 0 {
		return files, nil
	}
	user, err := rootfs.LookupUser(image, cfg.User)
	if err != nil {
		return nil, err
	}
	for _, f := range cfg.Files {
		files = append(files, rootfs.File{Path: f.Path, Content: f.Content, Mode: fs.FileMode(f.Mode), UID: user.UID, GID: user.GID})
	}
	return files, nil
}

// hosts is the text of /etc/hosts: the container itself and what it may reach.
func (b *Backend) hosts(ctx context.Context, cfg container.Config) ([]byte, error) {
	if cfg.Network.Mode != container.NetworkProject {
		return network.Hosts(nil), nil
	}
	names := append([]string{cfg.Name}, cfg.Network.Links...)
	addresses, err := b.net.reserve(ctx, names...)
	if err != nil {
		return nil, err
	}
	hosts := []network.Host{{Names: slices.Compact([]string{hostname(cfg), cfg.Name}), Addresses: addresses[cfg.Name]}}
	for _, to := range cfg.Network.Links {
		if to != cfg.Name {
			hosts = append(hosts, network.Host{Names: []string{to}, Addresses: addresses[to]})
		}
	}
	return network.Hosts(hosts), nil
}

func hostname(cfg container.Config) string {
	if cfg.Hostname != "" {
		return cfg.Hostname
	}
	return cfg.Name
}

// resolve returns a configuration whose mounts, files and working directory have
// paths without links of the image: only of such paths it can be told which lies
// in which. A working directory that need not or cannot be made is left out.
func resolve(cfg container.Config, image *os.File) (container.Config, error) {
	taken := map[string]string{}
	cfg.Mounts = slices.Clone(cfg.Mounts)
	for i := range cfg.Mounts {
		m := &cfg.Mounts[i]
		if isShared(*m) {
			continue // the image has no say there
		}
		target, err := rootfs.Resolve(image, m.Target)
		if err != nil {
			return cfg, err
		}
		if system(m.Target) || system(target) {
			return cfg, fmt.Errorf("mount %s: it is %w", m.Target, errSystem)
		}
		if other := taken[target]; other != "" {
			return cfg, fmt.Errorf("mount %s: the image has a link that leads to the same place as %s: mount one of the two", m.Target, other)
		}
		m.Target, taken[target] = target, m.Target
	}
	cfg.Files = slices.Clone(cfg.Files)
	for i := range cfg.Files {
		f := &cfg.Files[i]
		dir, name := path.Split(path.Clean(f.Path)) // a file replaces a link at its own place
		var err error
		if dir != "/" {
			dir, err = rootfs.Resolve(image, dir)
		}
		if err != nil {
			return cfg, err
		}
		at := path.Join(dir, name)
		if system(f.Path) || system(at) {
			return cfg, fmt.Errorf("write %s: it is %w", f.Path, errSystem)
		}
		f.Path = at
	}
	dir, err := rootfs.Resolve(image, cfg.WorkDir)
	if err != nil || system(dir) {
		dir = "" // whoever enters it gets the error
	}
	cfg.WorkDir = dir
	return cfg, nil
}

// scaffold is what the generated layer holds: everything but what lies inside a
// tmpfs or a volume, which is made there at each start.
func (b *Backend) scaffold(cfg container.Config, files []rootfs.File) rootfs.Scaffold {
	var s rootfs.Scaffold
	for _, m := range rootfs.Default().Mounts {
		if within(m.Target, cfg.Mounts) == nil && path.Dir(m.Target) == "/" {
			s.Dirs = append(s.Dirs, m.Target)
		}
	}
	for _, m := range cfg.Mounts {
		if within(m.Target, cfg.Mounts) != nil {
			continue
		}
		if isFile(m) {
			s.MountFiles = append(s.MountFiles, m.Target)
		} else {
			s.Dirs = append(s.Dirs, m.Target)
		}
	}
	for _, f := range files {
		if within(f.Path, cfg.Mounts) == nil {
			s.Files = append(s.Files, f)
		}
	}
	if cfg.WorkDir != "" && covering(cfg.WorkDir, cfg.Mounts) == nil {
		s.Dirs = append(s.Dirs, cfg.WorkDir)
	}
	return s
}

var errSystem = errors.New("in a file system that every container has of its own: choose a path outside of /dev, /proc and /sys")

// system tells whether a path is in one of the file systems that every
// container has, such as /proc.
func system(p string) bool {
	return slices.ContainsFunc(rootfs.Default().Mounts, func(m rootfs.Mount) bool {
		return p == m.Target || strings.HasPrefix(p, m.Target+"/")
	})
}

// covering returns the mount that shows a path: one on it or around it.
func covering(target string, mounts []container.Mount) *container.Mount {
	for i := range mounts {
		if mounts[i].Target == target {
			return &mounts[i]
		}
	}
	return within(target, mounts)
}

// within returns the mount that a path lies in, the innermost one, or nil.
func within(target string, mounts []container.Mount) *container.Mount {
	var inner *container.Mount
	for i := range mounts {
		m := &mounts[i]
		if strings.HasPrefix(target, strings.TrimSuffix(m.Target, "/")+"/") && (inner == nil || len(m.Target) > len(inner.Target)) {
			inner = m
		}
	}
	return inner
}

// isFile tells whether a file is mounted, not a folder.
func isFile(m container.Mount) bool {
	if m.Kind != container.MountBind {
		return false
	}
	info, err := os.Stat(m.Source)
	return err == nil && !info.IsDir()
}

// makePipe makes the named pipe that takes one of a container's streams. Its
// mode lets every user inside open /dev/stdout anew; the folders above keep
// everybody else away.
func makePipe(name string) error {
	if err := unix.Mkfifo(name, 0o622); err != nil {
		return &fs.PathError{Op: "mkfifo", Path: name, Err: err}
	}
	return os.Chmod(name, 0o622)
}

// Update changes what can be changed while the container runs. After an error
// it is as it was.
func (b *Backend) Update(ctx context.Context, cfg container.Config) error {
	if err := b.supported(cfg); err != nil {
		return err
	}
	c, err := b.instance(container.ID(cfg.Name))
	if err != nil {
		return err
	}
	c.operation.Lock()
	defer c.operation.Unlock()
	b.mu.Lock()
	before := c.record.Config
	b.mu.Unlock()
	if err := b.reconfigure(ctx, c, cfg); err != nil {
		// An exposure that cannot be made must not be in the rules of the others.
		return errors.Join(err, b.reconfigure(context.WithoutCancel(ctx), c, before))
	}
	return nil
}

// reconfigure gives a container its configuration, and makes the network as it
// says.
func (b *Backend) reconfigure(ctx context.Context, c *instance, cfg container.Config) error {
	hosts, err := b.hosts(ctx, cfg)
	if err != nil {
		return err
	}
	b.mu.Lock()
	r, unenforced := c.run, c.record.Unenforced
	b.mu.Unlock()
	if r != nil {
		if unenforced, err = b.updateLimits(cfg, r.cgroup); err != nil {
			return err
		}
	}
	b.mu.Lock()
	c.record.Config, c.record.Unenforced = cfg, unenforced
	err = b.save(c)
	b.mu.Unlock()
	if err != nil {
		return err
	}
	// Written in place: the layer is mounted, and the name must keep its inode.
	if err := os.WriteFile(filepath.Join(b.layerDir(cfg.Name), "etc/hosts"), hosts, 0o644); err != nil {
		return err
	}
	b.net.changed()
	err = b.net.enforce(ctx, b.configs)
	var taken *network.PortInUseError
	if errors.As(err, &taken) {
		return taken // it says everything; who found it does not matter
	}
	return err
}

// Remove deletes a container and everything of it but named volumes.
func (b *Backend) Remove(ctx context.Context, id container.ID, opts container.RemoveOptions) error {
	name := string(id)
	c, err := b.instance(id)
	if errors.Is(err, fs.ErrNotExist) {
		// Stopped in an earlier life of the project: only what lasts is left.
		return b.removeLasting(name)
	}
	if err != nil {
		return err
	}
	if opts.Force {
		if err := b.Stop(ctx, id, container.StopOptions{}); err != nil {
			return err
		}
	}
	c.operation.Lock()
	defer c.operation.Unlock()
	b.mu.Lock()
	running := c.run != nil
	b.mu.Unlock()
	if running {
		return fmt.Errorf("container %q is running", name)
	}
	if err := os.RemoveAll(b.dir(name)); err != nil {
		return err
	}
	b.forget(name)
	err = errors.Join(b.ids.Free(ctx, name), b.removeLasting(name))
	if len(c.record.Config.Network.Expose) > 0 {
		// Its ports are free for others from now on.
		err = errors.Join(err, b.net.enforce(ctx, b.configs))
	}
	return err
}

// lastingDir holds the layer that a container without a read-only root writes.
func (b *Backend) lastingDir(name string) string {
	return filepath.Join(b.opts.StateDir, "containers", name)
}

func (b *Backend) removeLasting(name string) error {
	for _, stream := range streams {
		if err := logfile.Remove(b.logFile(name, stream)); err != nil {
			return err
		}
	}
	return os.RemoveAll(b.lastingDir(name))
}
