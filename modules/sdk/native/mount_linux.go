package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/capability"
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
		owners, err := l.manyUsers()
		if err != nil {
			return nil, err
		}
		dir, err := l.backend.volume(m, layerPaths(l.cfg), l.user, owners)
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

// mapOwner shows the files of a volume or a host path with the owners that they
// have inside.
//
// Where all containers share their ids nothing is mapped: a disk's file system
// cannot be in a user namespace. Files show their owners, the calling user as
// root, and nobody of the host has more power over a file than on the host.
func (l *launch) mapOwner(ctx context.Context, f *os.File, m container.Mount) error {
	if l.backend.ids.shared != nil {
		return nil
	}
	ids, err := l.ownersOf(f, m)
	if err != nil {
		return err
	}
	key := fmt.Sprint(ids)
	ns := l.owners[key]
	if ns == nil {
		if ns, err = sandbox.Prepare(ctx, ids, sandbox.PrepareOptions{}); err != nil {
			return err
		}
		l.owns(ns)
		if l.owners == nil {
			l.owners = map[string]*sandbox.Namespaces{}
		}
		l.owners[key] = ns
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

// ownersOf says what ids on disk are outside.
//
// What belongs to the owner of the folder is the container user's own, and what
// the user writes becomes that owner's. Nobody else appears: in a host path, a
// container's root could otherwise leave files of any user of the host.
//
// In a volume the ids on disk are nobody's, so a container that starts as root
// and then becomes others finds there what it would find in its root file system:
// everybody. Who made the folder on the host finds it as a host path's owner does.
func (l *launch) ownersOf(f *os.File, m container.Mount) (idmap.IDs, error) {
	on, err := ownerOf(f)
	if err != nil {
		return idmap.IDs{}, err
	}
	many, err := l.manyUsers()
	if err != nil {
		return idmap.IDs{}, err
	}
	if m.Kind == container.MountVolume && many && isAtRest(on.uid) && isAtRest(on.gid) {
		return idmap.IDs{UIDs: fromRest(l.ids.UIDs), GIDs: fromRest(l.ids.GIDs)}, nil
	}
	uid, gid, err := l.ids.Host(l.user.UID, l.user.GID)
	return idmap.Single(on.uid, on.gid, uid, gid), err
}

// manyUsers tells whether the container starts as root with the power to become
// or to make others the owners of its files. Without that, its root is its only
// user, and a file of somebody else would only be in its way.
func (l *launch) manyUsers() (bool, error) {
	caps, err := capabilities(l.cfg.Capabilities)
	return l.user.UID == 0 && (caps.Has(capability.CHOWN) || caps.Has(capability.SETUID)), err
}

func isAtRest(id uint32) bool { return id >= volumeIDs && id < volumeIDs+idmap.Size }

// fromRest maps ids at rest to what the container's ids are outside.
func fromRest(m idmap.Map) idmap.Map {
	rest := slices.Clone(m)
	for i := range rest {
		rest[i].Container += volumeIDs
	}
	return rest
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
	if w := covering(l.places.WorkDir, all); w != nil && w.Target == m.Target && !m.ReadOnly {
		r, err := inside()
		if err != nil {
			return err
		}
		if err := makeFolders(r, filepath.Clean(relative(l.places.WorkDir)), on); err != nil {
			return err
		}
	}
	if m.Kind != container.MountTmpfs {
		return nil
	}
	for _, file := range l.places.Files {
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
