package transfer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Unpack writes a tar stream into the folder at a place. Hard links become links
// within the root; an entry for anything but a folder, a file or a link is an error
// that matches [ErrNoFile]. What is there and is no folder is replaced.
func Unpack(ctx context.Context, into Place, r io.Reader, opts Options) (Copied, error) {
	return unpack(ctx, into, "/", r, opts)
}

// unpack writes into a place. shown is where its root lies, in errors.
func unpack(ctx context.Context, into Place, shown string, r io.Reader, opts Options) (Copied, error) {
	u := &unpacker{ctx: ctx, into: into, shown: shown, parent: -1}
	err := as(opts.Owner, func() error {
		err := u.unpack(tar.NewReader(contextReader{ctx, r}))
		u.leave()
		return err
	})
	return u.copied, err
}

// unpacker writes a tree.
type unpacker struct {
	ctx    context.Context //nolint:containedctx // it lives as long as one call
	into   Place
	shown  string
	copied Copied

	parent  int // an open folder, or -1
	folder  string
	folders []folder // that were made, whose times come last
}

type folder struct {
	path string
	mode uint32
	time time.Time
}

func (u *unpacker) unpack(r *tar.Reader) error {
	if err := u.enter("/"); err != nil {
		return err
	}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return u.finish()
		}
		if err != nil {
			return fmt.Errorf("read the tar stream: %w", err)
		}
		name := path.Clean("/" + h.Name)
		if err := u.entry(h, name, r); err != nil {
			var e *Error
			if !errors.As(err, &e) && u.ctx.Err() == nil {
				err = &Error{Op: "write", Path: u.show(name), Err: err}
			}
			return err
		}
	}
}

func (u *unpacker) show(name string) string { return path.Join("/", u.shown, u.into.Path, name) }

func (u *unpacker) entry(h *tar.Header, name string, r io.Reader) error {
	mode := uint32(h.Mode) & 0o1777
	if name == "/" {
		if h.Typeflag != tar.TypeDir {
			return ErrNotFolder
		}
		return nil // the folder that is there stays as it is
	}
	if err := u.enter(path.Dir(name)); err != nil {
		return err
	}
	base := path.Base(name)
	switch h.Typeflag {
	case tar.TypeDir:
		made, err := u.makeFolder(base)
		if made {
			u.folders = append(u.folders, folder{name, mode, h.ModTime})
		}
		return err
	case tar.TypeReg:
		if sparse(h) {
			return errSparse
		}
		if err := u.clear(base); err != nil {
			return err
		}
		return u.makeFile(h, base, mode, r)
	case tar.TypeSymlink:
		if err := u.clear(base); err != nil {
			return err
		}
		if err := unix.Symlinkat(h.Linkname, u.parent, base); err != nil {
			return err
		}
		return unix.UtimesNanoAt(u.parent, base, times(h.ModTime), unix.AT_SYMLINK_NOFOLLOW)
	case tar.TypeLink:
		return u.makeLink(h.Linkname, base)
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeGNUSparse:
		return errSparse
	}
	return ErrNoFile
}

// A few bytes of archive can be a sparse file of any size, which would fill the disk.
var errSparse = errors.New("a sparse file in a tar stream: make it without --sparse")

func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// enter opens the folder that the next entry is in.
func (u *unpacker) enter(dir string) error {
	if u.parent >= 0 && u.folder == dir {
		return nil
	}
	where := path.Join("/", u.into.Path, dir)
	fd, err := openIn(u.into.Root, where, unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) && dir != "/" {
		// Archives may leave folders out.
		if err := u.enter(path.Dir(dir)); err != nil {
			return err
		}
		if _, err := u.makeFolder(path.Base(dir)); err != nil {
			return &Error{Op: "write", Path: u.show(dir), Err: err}
		}
		fd, err = openIn(u.into.Root, where, unix.O_PATH|unix.O_DIRECTORY)
	}
	if err == nil {
		if err = checkKind(fd, unix.S_IFDIR); err != nil {
			_ = unix.Close(fd)
		}
	}
	if err != nil {
		return &Error{Op: "write to", Path: u.show(dir), Err: plain(err)}
	}
	u.leave()
	u.parent, u.folder = fd, dir
	return nil
}

func (u *unpacker) leave() {
	if u.parent >= 0 {
		_ = unix.Close(u.parent) // it was never written to
		u.parent = -1
	}
}

// makeFolder makes a folder, or is content with one that is there, or with a link
// to one: what comes into it is resolved anew.
func (u *unpacker) makeFolder(base string) (made bool, err error) {
	err = unix.Mkdirat(u.parent, base, 0o777)
	if !errors.Is(err, unix.EEXIST) {
		return err == nil, err
	}
	var s unix.Stat_t
	if err := unix.Fstatat(u.parent, base, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	if kind := s.Mode & unix.S_IFMT; kind != unix.S_IFDIR && kind != unix.S_IFLNK {
		return false, ErrIsFolder
	}
	return false, nil
}

// clear removes what is in the place of a file or a link.
func (u *unpacker) clear(base string) error {
	err := unix.Unlinkat(u.parent, base, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (u *unpacker) makeFile(h *tar.Header, base string, mode uint32, r io.Reader) error {
	fd, err := unix.Openat(u.parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), base)
	n, err := io.Copy(f, r)
	u.copied.Files++
	u.copied.Bytes += n
	stamp := unix.NsecToTimeval(h.ModTime.UnixNano())
	return errors.Join(err, unix.Fchmod(fd, mode), unix.Futimes(fd, []unix.Timeval{stamp, stamp}), f.Close())
}

// makeLink makes a hard link to an earlier entry.
func (u *unpacker) makeLink(target, base string) error {
	where := path.Join("/", u.into.Path, path.Clean("/"+target))
	o, err := find(Place{Root: u.into.Root, Path: where}, false)
	if err != nil {
		return err
	}
	defer o.close()
	if o.kind() == unix.S_IFDIR {
		return ErrIsFolder
	}
	if err := u.clear(base); err != nil {
		return err
	}
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", o.fd), u.parent, base, unix.AT_SYMLINK_FOLLOW)
}

// finish gives the folders their modes and times, which writing into them would
// have changed.
func (u *unpacker) finish() error {
	for _, f := range slices.Backward(u.folders) {
		if err := u.enter(f.path); err != nil {
			return err
		}
		err := errors.Join(unix.Fchmodat(u.parent, ".", f.mode, 0), unix.UtimesNanoAt(u.parent, ".", times(f.time), 0))
		if err != nil {
			return &Error{Op: "write", Path: u.show(f.path), Err: err}
		}
	}
	return nil
}

func times(t time.Time) []unix.Timespec {
	stamp := unix.NsecToTimespec(t.UnixNano())
	return []unix.Timespec{stamp, stamp}
}

// as calls fn on a thread whose files are made as an owner's: that is so from the
// first moment, and holds where a mount shows no other owner at all. The thread
// keeps the caller's capabilities, and ends with fn.
func as(owner *Owner, fn func() error) error {
	if owner == nil || int(owner.UID) == unix.Geteuid() && int(owner.GID) == unix.Getegid() {
		return fn()
	}
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := become(owner)
		if err == nil {
			err = fn()
		}
		result <- err
	}()
	return <-result
}

// become makes the calling thread write as an owner (setfsuid(2), which takes the
// capabilities over files away: capabilities(7)).
func become(owner *Owner) error {
	const nobody = -1 // changes nothing, and tells who it is
	if _, err := unix.SetfsgidRetGid(int(owner.GID)); err != nil {
		return err
	}
	if _, err := unix.SetfsuidRetUid(int(owner.UID)); err != nil {
		return err
	}
	gid, _ := unix.SetfsgidRetGid(nobody)
	uid, _ := unix.SetfsuidRetUid(nobody)
	if uid != int(owner.UID) || gid != int(owner.GID) {
		return fmt.Errorf("write as user %d: %w", owner.UID, unix.EPERM)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	for i := range data {
		data[i].Effective = data[i].Permitted
	}
	return unix.Capset(&header, &data[0])
}
