package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
)

// Make writes the scaffold into dir, which must exist and be empty, for an
// image whose root folder is given, see [Image]. Targets are resolved in the
// image as it will be seen, so that a target below /var/run lands in /run where
// the image links one to the other. Folders that the image has too get the
// image's mode and owner, because the topmost layer's are the ones that count.
// Owners are set as root only.
func (s Scaffold) Make(dir string, image *os.File) error {
	if err := s.make(dir, image); err != nil {
		return fmt.Errorf("rootfs: make the scaffold %s: %w", dir, err)
	}
	return nil
}

func (s Scaffold) make(dir string, image *os.File) (err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("it is not empty: %w", fs.ErrExist)
	}
	out, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer out.Close()

	b := builder{image: image, out: out, ids: s.IDs}
	if err := b.copyAttributes(".", "/"); err != nil {
		return err
	}
	for _, target := range s.Dirs {
		if err := b.mountPoint(target, true); err != nil {
			return fmt.Errorf("mount point %s: %w", target, err)
		}
	}
	for _, target := range s.MountFiles {
		if err := b.mountPoint(target, false); err != nil {
			return fmt.Errorf("mount point %s: %w", target, err)
		}
	}
	for _, f := range s.Files {
		if err := b.file(f); err != nil {
			return fmt.Errorf("file %s: %w", f.Path, err)
		}
	}
	return nil
}

// A builder writes a layer on top of an image. Paths in out have no links: they
// are where the image's links lead to.
type builder struct {
	image *os.File
	out   *os.Root
	ids   idmap.IDs
}

// nobody is who a host's files belong to that belong to nobody inside
// (/proc/sys/kernel/overflowuid).
const nobody = 65534

// give sets the owner of what was made to an id inside. Who is not root keeps
// everything.
func (b *builder) give(name string, uid, gid uint32) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if len(b.ids.UIDs) > 0 {
		uid = hostID(b.ids.UIDs, uid)
		gid = hostID(b.ids.GIDs, gid)
	}
	return b.out.Lchown(name, int(uid), int(gid))
}

func hostID(m idmap.Map, id uint32) uint32 {
	if host, ok := m.Host(id); ok {
		return host
	}
	return nobody
}

func (b *builder) mountPoint(target string, isDir bool) error {
	where, err := b.locate(target, true)
	if err != nil {
		return err
	}
	mode, err := b.kind(where)
	if err == nil && mode.IsDir() != isDir {
		return fmt.Errorf("the image has something else there: %w", unix.ENOTDIR)
	}
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if isDir {
		return b.makeDir(where)
	}
	if err := b.makeDir(path.Dir(where)); err != nil {
		return err
	}
	if err := b.out.WriteFile(relative(where), nil, 0o644); err != nil {
		return err
	}
	return b.give(relative(where), 0, 0)
}

func (b *builder) file(f File) error {
	where, err := b.locate(f.Path, false)
	if err != nil {
		return err
	}
	if err := b.makeDir(path.Dir(where)); err != nil {
		return err
	}
	if err := b.out.WriteFile(relative(where), f.Content, 0o600); err != nil {
		return err
	}
	if err := b.give(relative(where), f.UID, f.GID); err != nil {
		return err
	}
	// Without the umask of the process.
	return b.out.Chmod(relative(where), f.Mode.Perm())
}

// Resolve returns where a path leads in the image whose root folder is given: an
// absolute path below its root, without links. What does not exist is taken as it
// is written.
func Resolve(image *os.File, p string) (string, error) {
	b := builder{image: image}
	at, err := b.locate(p, true)
	if err != nil {
		return "", fmt.Errorf("rootfs: resolve %s: %w", p, err)
	}
	return at, nil
}

// maxLinks is how many symbolic links Linux follows in one path.
const maxLinks = 40

// locate returns the absolute path without links that p leads to in the image
// and what was built so far; the last part of p is followed as asked. What does
// not exist is taken as it is written.
func (b *builder) locate(p string, followLast bool) (string, error) {
	if !path.IsAbs(p) || path.Clean(p) == "/" {
		return "", fmt.Errorf("it must be an absolute path below the root")
	}
	at := "/"
	rest := strings.Split(p, "/")
	for links := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		if len(rest) == 0 && !followLast {
			return next, nil
		}
		target, err := b.readLink(next)
		if err != nil {
			return "", err
		}
		if target == "" {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", unix.ELOOP
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	if at == "/" {
		return "", fmt.Errorf("it leads to the root itself")
	}
	return at, nil
}

// readLink returns what the image's link at p says, or "" for anything else. p
// has no links but perhaps the last part.
func (b *builder) readLink(p string) (string, error) {
	if b.out != nil {
		if _, err := b.out.Lstat(relative(p)); err == nil {
			return "", nil // made by this builder, which makes no links
		}
	}
	f, err := resolveIn(b.image, relative(p), unix.O_PATH|unix.O_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(int(f.Fd()), "", buf)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) { // no link
		return "", nil
	}
	return string(buf[:max(n, 0)]), err
}

// kind tells what is at p in the image or what was built so far.
func (b *builder) kind(p string) (fs.FileMode, error) {
	if info, err := b.out.Lstat(relative(p)); err == nil {
		return info.Mode(), nil
	}
	f, err := resolveIn(b.image, relative(p), unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Mode(), nil
}

// makeDir makes the folder p and those above it.
func (b *builder) makeDir(p string) error {
	if info, err := b.out.Lstat(relative(p)); err == nil {
		if !info.IsDir() {
			return &fs.PathError{Op: "mkdir", Path: p, Err: unix.ENOTDIR}
		}
		return nil
	}
	if err := b.makeDir(path.Dir(p)); err != nil {
		return err
	}
	if err := b.out.Mkdir(relative(p), 0o755); err != nil {
		return err
	}
	return b.copyAttributes(relative(p), p)
}

// copyAttributes gives a folder the mode and owner that it has in the image.
func (b *builder) copyAttributes(name, p string) error {
	f, err := resolveIn(b.image, relative(p), unix.O_PATH|unix.O_NOFOLLOW)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.Join(b.give(name, 0, 0), b.out.Chmod(name, 0o755))
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return &fs.PathError{Op: "stat", Path: p, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return &fs.PathError{Op: "mkdir", Path: p, Err: unix.ENOTDIR}
	}
	if err := b.give(name, st.Uid, st.Gid); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return b.out.Chmod(name, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky))
}

// relative is p as a path below a root's descriptor.
func relative(p string) string {
	if p == "/" {
		return "."
	}
	return strings.TrimPrefix(p, "/")
}

// Image opens the root folder of an image whose unpacked layers are given,
// lowest first, as they show it together, with the owners on disk. The caller
// closes it.
//
// With other than one layer it needs CAP_SYS_ADMIN.
func Image(layers []string) (*os.File, error) {
	f, err := merge(layers)
	if err != nil {
		return nil, fmt.Errorf("rootfs: open the image: %w", err)
	}
	return f, nil
}

func merge(layers []string) (*os.File, error) {
	switch len(layers) {
	case 0:
		return newMount("tmpfs", []string{"mode=0755"}, ReadOnly) // an empty image
	case 1:
		return os.Open(layers[0])
	}
	var names []string
	for i := len(layers) - 1; i >= 0; i-- {
		f, err := os.Open(layers[i])
		if err != nil {
			return nil, err
		}
		defer f.Close()
		// Short names, since an option has at most 255 bytes, and without the
		// colons and commas that a path may contain.
		names = append(names, "/proc/self/fd/"+strconv.Itoa(int(f.Fd())))
	}
	// One by one, or in one string where Linux is older than 6.5, which says
	// what it does not know only in the end.
	mount, err := mergeBy(func(fsfd int) error {
		for _, name := range names {
			if err := unix.FsconfigSetString(fsfd, "lowerdir+", name); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, unix.EINVAL) {
		return mergeBy(func(fsfd int) error {
			return unix.FsconfigSetString(fsfd, "lowerdir", strings.Join(names, ":"))
		})
	}
	return mount, err
}

// mergeBy makes a read-only overlay of the layers that set gives it.
func mergeBy(set func(fsfd int) error) (*os.File, error) {
	fsfd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fsfd)
	if err := set(fsfd); err != nil {
		return nil, err
	}
	if err := unix.FsconfigCreate(fsfd); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(fsfd, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "overlay"), nil
}
