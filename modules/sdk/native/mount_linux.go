package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
)

// openMount makes one mount, detached, with the mount points and files that are
// inside it.
func (l *launch) openMount(ctx context.Context, m container.Mount, all []container.Mount) (f *os.File, err error) {
	flags := rootfs.NoSuid | rootfs.NoDev
	switch m.Kind {
	case container.MountTmpfs:
		if f, err = l.tmpfs(m, flags); err != nil {
			return nil, err
		}
	case container.MountVolume:
		dir, err := l.backend.volume(m, layerPaths(l.cfg))
		if err != nil {
			return nil, err
		}
		if f, err = rootfs.Folder(dir, rootfs.Bind{ReadOnly: m.ReadOnly, Flags: flags}); err != nil {
			return nil, err
		}
	default:
		if f, err = rootfs.Folder(m.Source, rootfs.Bind{ReadOnly: m.ReadOnly, Recursive: true, Flags: flags}); err != nil {
			return nil, err
		}
	}
	if m.Kind != container.MountBind {
		err = l.fill(f, m, all)
	}
	if err == nil && m.Kind != container.MountTmpfs {
		err = l.mapOwner(ctx, f, m)
	}
	if err == nil && m.Kind == container.MountTmpfs && m.ReadOnly {
		err = rootfs.Set(f, rootfs.ReadOnly)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sharedMemory is the memory file system that every container has, which a
// tmpfs of the configuration only gives its size.
const sharedMemory = "/dev/shm"

func isShared(m container.Mount) bool {
	return m.Kind == container.MountTmpfs && m.Target == sharedMemory
}

// sizeShared gives the container's /dev/shm the size that is asked for.
func (l *launch) sizeShared(mounts []rootfs.Mount) {
	for _, m := range l.cfg.Mounts {
		if !isShared(m) || m.Size == 0 {
			continue
		}
		for i := range mounts {
			if mounts[i].Target == sharedMemory && mounts[i].Source == nil {
				mounts[i].Options = []string{"mode=1777", fmt.Sprintf("size=%d", m.Size)}
			}
		}
	}
}

// devices are the host's that the container gets. They are nodes of its own,
// with the mode of the host's, and belong to the container's user: that one
// asked for them, and nothing inside changes the host's.
func (l *launch) devices() ([]rootfs.Device, error) {
	uid, gid, err := l.ids.Host(l.user.UID, l.user.GID)
	if err != nil {
		return nil, err
	}
	var all []rootfs.Device
	for _, name := range l.cfg.Devices {
		d, err := rootfs.OpenDevice(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w; this machine has no such device: is its kernel module loaded?", err)
		}
		if err != nil {
			return nil, err
		}
		d.UID, d.GID = uid, gid
		all = append(all, d)
	}
	return all, nil
}

// tmpfs makes a memory file system that is root's inside. A read-only one is
// for what the configuration puts there.
func (l *launch) tmpfs(m container.Mount, flags rootfs.Flags) (*os.File, error) {
	uid, gid, err := l.ids.Host(0, 0)
	if err != nil {
		return nil, err
	}
	mode := "mode=1777"
	if m.ReadOnly {
		mode = "mode=0755"
	}
	options := []string{mode, fmt.Sprintf("uid=%d", uid), fmt.Sprintf("gid=%d", gid)}
	if m.Size > 0 {
		options = append(options, fmt.Sprintf("size=%d", m.Size))
	}
	return rootfs.Tmpfs(options, flags)
}

// owner is a user and a group of the host.
type owner struct{ uid, gid uint32 }

func ownerOf(f *os.File) (owner, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return owner{}, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return owner{st.Uid, st.Gid}, nil
}

// mapOwner shows what belongs to the owner of a volume or a host path as the
// container user's own, and what the user writes there becomes that owner's.
// Nobody else appears: a container's root could otherwise leave files that are
// set-uid for the host's root.
func (l *launch) mapOwner(ctx context.Context, f *os.File, m container.Mount) error {
	on, err := ownerOf(f)
	if err != nil {
		return err
	}
	ns := l.owners[on]
	if ns == nil {
		uid, gid, err := l.ids.Host(l.user.UID, l.user.GID)
		if err != nil {
			return err
		}
		if ns, err = sandbox.Prepare(ctx, idmap.Single(on.uid, on.gid, uid, gid), sandbox.PrepareOptions{}); err != nil {
			return err
		}
		l.owns(ns)
		if l.owners == nil {
			l.owners = map[owner]*sandbox.Namespaces{}
		}
		l.owners[on] = ns
	}
	err = idmap.Mount(f, ns.User, m.Kind == container.MountBind)
	if err != nil && m.Kind == container.MountVolume {
		return fmt.Errorf("volume %s: %w; keep the project's state on a file system that can, such as ext4, xfs or btrfs (--state-dir)", m.Source, err)
	}
	if err != nil {
		return fmt.Errorf("%w; use a path on a file system that can, such as ext4, xfs or btrfs, or a named volume", err)
	}
	return nil
}

// fill makes what has to be inside a tmpfs or volume before it is mounted:
// mount points, and files of the configuration. os.Root keeps it inside. What is
// made belongs to the owner of the mount, and a file to the container's user.
func (l *launch) fill(f *os.File, m container.Mount, all []container.Mount) (err error) {
	var root *os.Root
	inside := func() (*os.Root, error) {
		if root == nil {
			root, err = os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
		}
		return root, err
	}
	defer func() {
		if root != nil {
			err = errors.Join(err, root.Close())
		}
	}()
	on, err := ownerOf(f)
	if err != nil {
		return err
	}
	relative := func(target string) string {
		return strings.TrimPrefix(strings.TrimPrefix(target, m.Target), "/")
	}
	for _, other := range all {
		if w := within(other.Target, all); w == nil || w.Target != m.Target || m.ReadOnly && m.Kind != container.MountTmpfs {
			continue
		}
		r, err := inside()
		if err != nil {
			return err
		}
		point := relative(other.Target)
		if isFile(other) {
			err = errors.Join(makeFolders(r, filepath.Dir(point), on), touch(r, point, on))
		} else {
			err = makeFolders(r, point, on)
		}
		if err != nil {
			return err
		}
	}
	if w := covering(path.Clean(l.cfg.WorkDir), all); w != nil && w.Target == m.Target && !m.ReadOnly {
		r, err := inside()
		if err != nil {
			return err
		}
		if err := makeFolders(r, filepath.Clean(relative(path.Clean(l.cfg.WorkDir))), on); err != nil {
			return err
		}
	}
	if m.Kind != container.MountTmpfs {
		return nil
	}
	for _, file := range l.cfg.Files {
		if w := within(file.Path, all); w == nil || w.Target != m.Target {
			continue
		}
		r, err := inside()
		if err != nil {
			return err
		}
		name := relative(file.Path)
		if err := makeFolders(r, filepath.Dir(name), on); err != nil {
			return err
		}
		if err := r.WriteFile(name, file.Content, fs.FileMode(file.Mode)); err != nil {
			return err
		}
		uid, gid, err := l.ids.Host(l.user.UID, l.user.GID)
		if err != nil {
			return err
		}
		// Without the umask of this process, and after the chown, which takes
		// set-id bits away.
		if err := errors.Join(r.Lchown(name, int(uid), int(gid)), r.Chmod(name, fs.FileMode(file.Mode))); err != nil {
			return err
		}
	}
	return nil
}

// makeFolders makes a folder and those above it.
func makeFolders(r *os.Root, name string, on owner) error {
	if name == "." {
		return nil
	}
	if err := makeFolders(r, filepath.Dir(name), on); err != nil {
		return err
	}
	err := r.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return errors.Join(err, r.Lchown(name, int(on.uid), int(on.gid)))
}

// touch makes a file unless it is there.
func touch(r *os.Root, name string, on owner) error {
	f, err := r.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Chown(int(on.uid), int(on.gid)), f.Close())
}
