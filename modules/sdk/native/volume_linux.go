package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/unpack"
)

// volume returns the folder of a named volume. A new one takes owner, mode and
// content from the image's folder at that place; owners says whether every file
// in it has its own owner, or all have the folder's. Where ids are shared, the
// folder of the latter is the user's whose container it is made for.
func (b *Backend) volume(m container.Mount, layers []string, user userRecord, owners bool) (string, error) {
	dir := filepath.Join(b.opts.StateDir, "volumes", m.Source)
	b.volumes.Lock() // containers that share a new one start side by side
	defer b.volumes.Unlock()
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return dir, err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return "", err
	}
	inside, err := copyImageFolder(layers, m.Target, tmp)
	if err == nil {
		if b.ids.shared != nil && !owners {
			inside = owner{user.UID, user.GID}
		}
		err = giveVolume(tmp, inside, owners, b.ids.onDisk)
	}
	if err == nil {
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("make volume %s: %w", m.Source, err), os.RemoveAll(tmp))
	}
	return dir, nil
}

// volumeIDs is the first of the ids that files of volumes have on disk: those
// that systemd calls foreign, of files at rest. No process of the host runs with
// one, so a set-uid file that a container leaves in a volume is of no use to
// anybody outside. Who has the folder inside the image stays to be seen in the
// number.
const volumeIDs = 0x7ffe0000

// giveVolume gives a new volume with all that is in it to ids on disk: each file
// to that of its owner inside, or all to the one of the folder's.
func giveVolume(dir string, inside owner, owners bool, onDisk func(owner) owner) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		on := inside
		if owners && path != dir {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			st := info.Sys().(*syscall.Stat_t)
			on = owner{st.Uid, st.Gid}
		}
		on = onDisk(on)
		return os.Lchown(path, int(on.uid), int(on.gid))
	})
}

// onDisk is who has a file of a volume that is an owner's inside.
func (h hostIDs) onDisk(inside owner) owner {
	if h.shared == nil {
		return owner{volumeIDs + atRest(inside.uid), volumeIDs + atRest(inside.gid)}
	}
	// There all have their own ids, and who does not exist is root.
	uid, gid, err := h.shared.Host(inside.uid, inside.gid)
	if err != nil {
		return owner{}
	}
	return owner{uid, gid}
}

// atRest is an id of an image as it can be in a volume: who does not exist in a
// container is nobody.
func atRest(id uint32) uint32 {
	if id < idmap.Size {
		return id
	}
	return 65534
}

// copyImageFolder copies what an image has at target, if it has a folder there,
// into dir, with the folder's mode, and returns whose it is inside. The path is
// resolved inside the image.
func copyImageFolder(layers []string, target, dir string) (inside owner, err error) {
	root, err := rootfs.Image(layers)
	if err != nil {
		return owner{}, err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	fd, err := unix.Openat2(int(root.Fd()), target, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return owner{}, os.Chmod(dir, 0o755)
	}
	if err != nil {
		return owner{}, &fs.PathError{Op: "openat2", Path: target, Err: err}
	}
	from := os.NewFile(uintptr(fd), target)
	defer func() { err = errors.Join(err, from.Close()) }()

	ctx := context.Background()
	entries, err := source.Open(ctx, source.Ref{
		Scheme: source.SchemeFile, Path: fmt.Sprintf("/proc/self/fd/%d/.", fd), URI: "file://" + target,
	}, source.Limits{})
	if err != nil {
		return owner{}, err
	}
	defer func() { err = errors.Join(err, entries.Close()) }()
	to, err := os.Open(dir)
	if err != nil {
		return owner{}, err
	}
	_, err = unpack.Unpack(ctx, to, entries, unpack.Options{})
	if err := errors.Join(err, to.Close()); err != nil {
		return owner{}, err
	}
	info, err := from.Stat()
	if err != nil {
		return owner{}, err
	}
	if inside, err = ownerOf(from); err != nil {
		return owner{}, err
	}
	if inside.uid >= idmap.Size || inside.gid >= idmap.Size {
		inside = owner{} // it is nobody's inside
	}
	return inside, os.Chmod(dir, info.Mode())
}
