package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"

	"github.com/containust/containust/modules/storage/source"
)

// Unpack creates all entries of from below dir, which stays the caller's. An
// error about one entry is an [*EntryError]; what was created before it stays.
func Unpack(ctx context.Context, dir *os.File, from Entries, opts Options) (Result, error) {
	u := &unpacker{
		root: root{dir: dir},
		priv: os.Geteuid() == 0 && !alone(),
		dirs: make(map[string]folder),
		buf:  make([]byte, 256<<10),
	}
	defer u.root.forget()
	for {
		if ctx.Err() != nil {
			return u.result, fmt.Errorf("unpack: %w", context.Cause(ctx))
		}
		hdr, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return u.result, err
		}
		if err := u.entry(hdr, from); err != nil {
			return u.result, err
		}
		u.result.Entries++
		if opts.Progress != nil {
			opts.Progress(u.result.Entries)
		}
	}
	return u.result, u.finishDirs()
}

// alone tells whether root is the only user that exists in this process's user
// namespace.
func alone() bool {
	ids, err := idmap.Own()
	return err == nil && ids.UIDs.Last() == 0
}

type unpacker struct {
	root   root
	priv   bool // owners can be given
	result Result
	buf    []byte

	// Folders by their clean names. Owner, mode and times are set at the end:
	// the mode may forbid writing, and writing changes the times.
	dirs map[string]folder
}

// folder is what a folder shall have, and which one was meant: a later entry
// may have put something else in its place.
type folder struct {
	hdr   *tar.Header
	inode uint64
}

// cleanName returns an entry's name relative to the root, "." for the root
// itself.
func cleanName(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", errors.New("name contains a NUL byte")
	}
	name = path.Clean(strings.TrimLeft(name, "/"))
	if name == ".." || strings.HasPrefix(name, "../") {
		return "", ErrEscapes
	}
	return name, nil
}

func (u *unpacker) entry(hdr *tar.Header, content io.Reader) error {
	switch hdr.Typeflag {
	case tar.TypeXGlobalHeader: // of git archive: says nothing about files
		return nil
	case tar.TypeReg, tar.TypeGNUSparse, '7', // contiguous: a regular file, says POSIX
		tar.TypeDir, tar.TypeLink, tar.TypeSymlink, tar.TypeFifo, tar.TypeChar, tar.TypeBlock:
	default:
		return &EntryError{Name: hdr.Name, Err: fmt.Errorf("type %q: %w", hdr.Typeflag, errors.ErrUnsupported)}
	}
	name, err := cleanName(hdr.Name)
	if err == nil {
		err = checkOwner(hdr)
	}
	if err == nil {
		err = u.create(name, hdr, content)
	}
	// What the source reports names it, and is not the entry's fault.
	var fromSource *readError
	if errors.As(err, &fromSource) {
		return fromSource.err
	}
	if err != nil {
		return &EntryError{Name: hdr.Name, Err: err}
	}
	return nil
}

// checkOwner refuses ids that the kernel would take for "leave as it is", or
// for another id after cutting them to 32 bits.
func checkOwner(hdr *tar.Header) error {
	for _, id := range []int{hdr.Uid, hdr.Gid} {
		if id < 0 || int64(id) >= math.MaxUint32 {
			return fmt.Errorf("owner %d:%d is out of range", hdr.Uid, hdr.Gid)
		}
	}
	return nil
}

// readError marks an error of the source on its way through the unpacker.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

func (u *unpacker) create(name string, hdr *tar.Header, content io.Reader) error {
	if name == "." {
		if hdr.Typeflag != tar.TypeDir {
			return errors.New("the root is not a folder")
		}
		return u.remember(int(u.root.dir.Fd()), ".", name, hdr)
	}
	parent, err := u.root.parent(path.Dir(name))
	if err != nil {
		return err
	}
	base := path.Base(name)

	if hdr.Typeflag == tar.TypeDir {
		return u.makeDir(parent, base, name, hdr)
	}
	if (hdr.Typeflag == tar.TypeChar || hdr.Typeflag == tar.TypeBlock) && (!u.priv || idmap.Confined()) {
		u.result.Skipped = append(u.result.Skipped, hdr.Name)
		return nil
	}

	// Most names are new: only an EEXIST makes room.
	err = u.node(parent, base, hdr, content)
	if errors.Is(err, unix.EEXIST) {
		if hdr.Typeflag == tar.TypeLink {
			if same, err := u.sameFile(parent, base, hdr.Linkname); same || err != nil {
				return err
			}
		}
		if err := u.remove(parent, base); err != nil {
			return fmt.Errorf("replace: %w", err)
		}
		if parent, err = u.root.parent(path.Dir(name)); err != nil {
			return err
		}
		err = u.node(parent, base, hdr, content)
	}
	return err
}

// node creates anything but a folder. It is unix.EEXIST if the name is taken,
// and has then read nothing.
func (u *unpacker) node(parent int, base string, hdr *tar.Header, content io.Reader) error {
	var err error
	switch hdr.Typeflag {
	case tar.TypeLink:
		return u.link(parent, base, hdr.Linkname)
	case tar.TypeSymlink:
		if err := unix.Symlinkat(hdr.Linkname, parent, base); err != nil {
			return err
		}
		return u.nodeMeta(parent, base, hdr, false)
	case tar.TypeFifo:
		err = unix.Mknodat(parent, base, unix.S_IFIFO|0o600, 0)
	case tar.TypeChar, tar.TypeBlock:
		kind := uint32(unix.S_IFCHR)
		if hdr.Typeflag == tar.TypeBlock {
			kind = unix.S_IFBLK
		}
		if hdr.Devmajor < 0 || hdr.Devmajor > 0xfff || hdr.Devminor < 0 || hdr.Devminor > 0xfffff {
			return fmt.Errorf("device number %d:%d is out of range", hdr.Devmajor, hdr.Devminor)
		}
		err = unix.Mknodat(parent, base, kind|0o600, int(unix.Mkdev(uint32(hdr.Devmajor), uint32(hdr.Devminor))))
	default:
		return u.regular(parent, base, hdr, content)
	}
	if err != nil {
		return err
	}
	return u.nodeMeta(parent, base, hdr, true)
}

func (u *unpacker) regular(parent int, base string, hdr *tar.Header, content io.Reader) error {
	fd, err := unix.Openat(parent, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	sparse := hdr.Typeflag == tar.TypeGNUSparse || hdr.PAXRecords["GNU.sparse.major"] != "" || hdr.PAXRecords["GNU.sparse.map"] != ""
	n, err := u.copy(fd, content, sparse)
	u.result.Bytes += n
	if err != nil {
		return err
	}
	return u.fdMeta(fd, hdr)
}

// copy writes content to fd. Blocks of zeros of sparse files become holes.
func (u *unpacker) copy(fd int, content io.Reader, sparse bool) (int64, error) {
	var at int64
	for {
		n, err := readFull(content, u.buf)
		if sparse {
			if werr := writeSparse(fd, u.buf[:n], at); werr != nil {
				return at, werr
			}
		} else if werr := write(fd, u.buf[:n], at); werr != nil {
			return at, werr
		}
		at += int64(n)
		switch {
		case errors.Is(err, io.EOF):
			if sparse {
				return at, unix.Ftruncate(fd, at)
			}
			return at, nil
		case err != nil:
			return at, &readError{err}
		}
	}
}

// readFull is io.ReadFull that keeps the reader's error: io.ErrUnexpectedEOF is
// that of a cut archive.
func readFull(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func write(fd int, p []byte, at int64) error {
	for len(p) > 0 {
		n, err := unix.Pwrite(fd, p, at)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}

// holeSize is the usual block size of file systems.
const holeSize = 4096

var zeros [holeSize]byte

func writeSparse(fd int, p []byte, at int64) error {
	for len(p) > 0 {
		n := min(len(p), holeSize)
		if !bytes.Equal(p[:n], zeros[:n]) {
			if err := write(fd, p[:n], at); err != nil {
				return err
			}
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}

func (u *unpacker) link(parent int, base, target string) error {
	name, err := cleanName(target)
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	dir, err := u.root.open(path.Dir(name))
	if err != nil {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	defer unix.Close(dir)
	err = unix.Linkat(dir, path.Base(name), parent, base, 0)
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("hard link to %q: %w", target, err)
	}
	return err
}

// sameFile tells whether base already is the hard link that it shall be: to
// make room for it would remove what it links to.
func (u *unpacker) sameFile(parent int, base, target string) (bool, error) {
	name, err := cleanName(target)
	if err != nil {
		return false, err
	}
	dir, err := u.root.open(path.Dir(name))
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	var a, b unix.Stat_t
	if err := unix.Fstatat(parent, base, &a, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	if err := unix.Fstatat(dir, path.Base(name), &b, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	return a.Dev == b.Dev && a.Ino == b.Ino, nil
}

func (u *unpacker) makeDir(parent int, base, name string, hdr *tar.Header) error {
	err := unix.Mkdirat(parent, base, 0o700)
	if errors.Is(err, unix.EEXIST) {
		var st unix.Stat_t
		if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			return u.remember(parent, base, name, hdr)
		}
		if err := u.remove(parent, base); err != nil {
			return fmt.Errorf("replace: %w", err)
		}
		if parent, err = u.root.parent(path.Dir(name)); err != nil {
			return err
		}
		err = unix.Mkdirat(parent, base, 0o700)
	}
	if err != nil {
		return err
	}
	return u.remember(parent, base, name, hdr)
}

func (u *unpacker) remember(parent int, base, name string, hdr *tar.Header) error {
	var st unix.Stat_t
	if err := unix.Fstatat(parent, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	u.dirs[name] = folder{hdr: hdr, inode: st.Ino}
	return nil
}

// remove deletes what is in the way. The folder that root keeps open may go
// with it.
func (u *unpacker) remove(parent int, base string) error {
	err := unix.Unlinkat(parent, base, 0)
	if errors.Is(err, unix.EISDIR) {
		err = removeAll(parent, base)
	}
	u.root.forget()
	return err
}

// removeAll deletes a folder without following links.
func removeAll(parent int, base string) error {
	fd, err := unix.Openat(parent, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	dir := os.NewFile(uintptr(fd), base)
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		err := unix.Unlinkat(fd, name, 0)
		if errors.Is(err, unix.EISDIR) {
			err = removeAll(fd, name)
		}
		if err != nil {
			return err
		}
	}
	return unix.Unlinkat(parent, base, unix.AT_REMOVEDIR)
}

// finishDirs sets what folders are to have, the deepest first: the mode of one
// may forbid an ordinary user to reach those in it.
func (u *unpacker) finishDirs() error {
	names := make([]string, 0, len(u.dirs))
	for name := range u.dirs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range slices.Backward(names) {
		dir := u.dirs[name]
		if err := u.finishDir(name, dir); err != nil {
			return &EntryError{Name: dir.hdr.Name, Err: err}
		}
	}
	return nil
}

func (u *unpacker) finishDir(name string, dir folder) error {
	parent, err := u.root.open(path.Dir(name))
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(parent)
	fd, err := unix.Openat(parent, path.Base(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Ino != dir.inode {
		return nil
	}
	return u.fdMeta(fd, dir.hdr)
}

// gone tells that a later entry has replaced a folder by something else.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// fdMeta sets owner, mode, attributes and times, in this order: a change of
// owner or content clears set-id bits and capabilities.
func (u *unpacker) fdMeta(fd int, hdr *tar.Header) error {
	if u.priv {
		if err := unix.Fchown(fd, hdr.Uid, hdr.Gid); err != nil {
			return ownerError(hdr, err)
		}
	}
	if err := unix.Fchmod(fd, uint32(hdr.Mode&0o7777)); err != nil {
		return fmt.Errorf("change mode: %w", err)
	}
	for record, value := range hdr.PAXRecords {
		name, ok := strings.CutPrefix(record, source.XattrPrefix)
		if !ok || !source.PortableXattr(name) {
			continue
		}
		err := unix.Fsetxattr(fd, name, []byte(value), 0)
		if err == unix.EPERM && !u.priv {
			u.result.Skipped = append(u.result.Skipped, hdr.Name+" ("+name+")")
		} else if err != nil {
			return fmt.Errorf("set extended attribute %s: %w", name, err)
		}
	}
	return setTimes(fd, "", hdr, unix.AT_EMPTY_PATH)
}

// ownerError says what is behind the kernel's "invalid argument".
func ownerError(hdr *tar.Header, err error) error {
	err = fmt.Errorf("change owner to %d:%d: %w", hdr.Uid, hdr.Gid, err)
	if errors.Is(err, unix.EINVAL) {
		err = fmt.Errorf("%w: this user has no such id: give it more in /etc/subuid and /etc/subgid, or import as root", err)
	}
	return err
}

// nodeMeta does the same for what cannot be opened without consequences.
func (u *unpacker) nodeMeta(parent int, base string, hdr *tar.Header, mode bool) error {
	if u.priv {
		if err := unix.Fchownat(parent, base, hdr.Uid, hdr.Gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return ownerError(hdr, err)
		}
	}
	if mode { // it was just made and is no link: fchmodat does not follow anything
		if err := unix.Fchmodat(parent, base, uint32(hdr.Mode&0o7777), 0); err != nil {
			return fmt.Errorf("change mode: %w", err)
		}
	}
	return setTimes(parent, base, hdr, unix.AT_SYMLINK_NOFOLLOW)
}

func setTimes(at int, name string, hdr *tar.Header, flags int) error {
	access := hdr.AccessTime
	if access.IsZero() {
		access = hdr.ModTime
	}
	times := []unix.Timespec{timespec(access), timespec(hdr.ModTime)}
	if err := unix.UtimesNanoAt(at, name, times, flags); err != nil {
		return fmt.Errorf("set times: %w", err)
	}
	return nil
}

func timespec(t time.Time) unix.Timespec {
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}
