package source

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrChanged is matched when a file or folder is changed while it is read.
var ErrChanged = errors.New("changed while it was read")

// tree reads file:// sources. It yields entries with their times and writes
// the same entries without times into a tar that is only hashed: the digest of
// a folder does not depend on when it was checked out.
type tree struct {
	ctx    context.Context
	ref    Ref
	limits Limits

	dirs  []*treeDir           // from the root to the folder being read
	links map[[2]uint64]string // device and inode -> the first name of a file with several
	file  *os.File             // the current entry's content, or nil
	start unix.Stat_t          // of file
	left  int64                // bytes of file that were not read yet

	hash     hash.Hash
	hashed   *tar.Writer
	consumed atomic.Int64
	entries  int64
	bytes    int64
	err      error // sticky
}

// treeDir is a folder whose entries are being read.
type treeDir struct {
	file  *os.File
	name  string   // relative to the root, "" or ending with a slash
	names []string // that are left, sorted
}

func openTree(ctx context.Context, ref Ref, limits Limits) (*tree, error) {
	f, err := openRoot(ref)
	if err != nil {
		return nil, err
	}
	t := &tree{
		ctx:    ctx,
		ref:    ref,
		limits: limits.withDefaults(),
		links:  make(map[[2]uint64]string),
		hash:   sha256.New(),
	}
	t.hashed = tar.NewWriter(t.hash)
	if err := t.push(f, ""); err != nil {
		return nil, t.fail(".", err)
	}
	return t, nil
}

// openRoot follows links to the folder itself: the user named it.
func openRoot(ref Ref) (*os.File, error) {
	f, err := os.OpenFile(ref.Path, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if errors.Is(err, unix.ENOTDIR) {
		err = fmt.Errorf("%w (use tar:// for an archive)", err)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref.URI, err)
	}
	return f, nil
}

// push takes f over.
func (t *tree) push(f *os.File, name string) error {
	names, err := f.Readdirnames(-1)
	if err != nil {
		f.Close()
		return err
	}
	slices.Sort(names)
	t.dirs = append(t.dirs, &treeDir{file: f, name: name, names: names})
	return nil
}

func (t *tree) Next() (*tar.Header, error) {
	if t.err != nil {
		return nil, t.err
	}
	hdr, err := t.next()
	if err != nil {
		t.err = err
	}
	return hdr, err
}

func (t *tree) next() (*tar.Header, error) {
	if _, err := io.Copy(io.Discard, readerFunc(t.Read)); err != nil {
		return nil, err
	}
	if err := t.ctx.Err(); err != nil {
		return nil, t.fail(".", context.Cause(t.ctx))
	}
	if t.entries == 0 {
		return t.emit(rootHeader())
	}
	for len(t.dirs) > 0 {
		dir := t.dirs[len(t.dirs)-1]
		if len(dir.names) == 0 {
			dir.file.Close()
			t.dirs = t.dirs[:len(t.dirs)-1]
			continue
		}
		name := dir.names[0]
		dir.names = dir.names[1:]
		hdr, err := t.open(dir, name)
		if err != nil {
			return nil, t.fail(dir.name+name, err)
		}
		if hdr == nil {
			continue
		}
		return t.emit(hdr)
	}
	return nil, t.finish()
}

// rootHeader is the entry of the folder itself. Its own owner and mode say
// where it is kept, often 0700, and not how the root of a file system should
// look.
func rootHeader() *tar.Header {
	return &tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o755, ModTime: time.Unix(0, 0)}
}

// emit counts the entry and writes its header into the hashed tar.
func (t *tree) emit(hdr *tar.Header) (*tar.Header, error) {
	t.entries++
	if t.entries > t.limits.Entries {
		return nil, t.fail(hdr.Name, &LimitError{Limit: "entries", Max: t.limits.Entries})
	}
	if hdr.Size > t.limits.Bytes-t.bytes {
		return nil, t.fail(hdr.Name, &LimitError{Limit: "bytes", Max: t.limits.Bytes})
	}
	t.bytes += hdr.Size

	timeless := *hdr
	timeless.ModTime = time.Unix(0, 0)
	timeless.Format = tar.FormatPAX
	if hdr.Typeflag == tar.TypeGNUSparse {
		timeless.Typeflag = tar.TypeReg // holes are not content
	}
	if err := t.hashed.WriteHeader(&timeless); err != nil {
		return nil, t.fail(hdr.Name, err)
	}
	return hdr, nil
}

// open makes the header of one entry and opens what has content. It returns
// nil for what cannot be in an image: sockets.
func (t *tree) open(dir *treeDir, name string) (*tar.Header, error) {
	at := int(dir.file.Fd())
	var st unix.Stat_t
	if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	hdr := &tar.Header{
		Name:    dir.name + name,
		Mode:    int64(st.Mode & 0o7777),
		Uid:     int(st.Uid),
		Gid:     int(st.Gid),
		ModTime: time.Unix(st.Mtim.Unix()),
	}

	kind := st.Mode & unix.S_IFMT
	if kind != unix.S_IFDIR && st.Nlink > 1 {
		id := [2]uint64{uint64(st.Dev), st.Ino}
		if first, ok := t.links[id]; ok {
			hdr.Typeflag, hdr.Linkname = tar.TypeLink, first
			return hdr, nil
		}
		t.links[id] = hdr.Name
	}

	switch kind {
	case unix.S_IFREG, unix.S_IFDIR:
		f, err := t.openSame(at, name, &st)
		if err != nil {
			return nil, err
		}
		if hdr.PAXRecords, err = xattrs(f); err != nil {
			f.Close()
			return nil, err
		}
		if kind == unix.S_IFDIR {
			hdr.Typeflag = tar.TypeDir
			hdr.Name += "/"
			return hdr, t.push(f, hdr.Name)
		}
		hdr.Typeflag = tar.TypeReg
		if st.Blocks*512 < st.Size {
			hdr.Typeflag = tar.TypeGNUSparse
		}
		hdr.Size = st.Size
		t.file, t.start, t.left = f, st, st.Size
	case unix.S_IFLNK:
		hdr.Typeflag = tar.TypeSymlink
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(at, name, target)
		if err != nil {
			return nil, err
		}
		hdr.Linkname = string(target[:n])
	case unix.S_IFIFO:
		hdr.Typeflag = tar.TypeFifo
	case unix.S_IFCHR, unix.S_IFBLK:
		hdr.Typeflag = tar.TypeChar
		if kind == unix.S_IFBLK {
			hdr.Typeflag = tar.TypeBlock
		}
		hdr.Devmajor = int64(unix.Major(uint64(st.Rdev)))
		hdr.Devminor = int64(unix.Minor(uint64(st.Rdev)))
	default:
		return nil, nil
	}
	return hdr, nil
}

// openSame opens what st describes, or fails if it was replaced meanwhile. The
// open neither follows a link nor waits for a pipe's writer.
func (t *tree) openSame(at int, name string, st *unix.Stat_t) (*os.File, error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), name)
	var now unix.Stat_t
	if err := unix.Fstat(fd, &now); err != nil {
		f.Close()
		return nil, err
	}
	if !sameState(st, &now) {
		f.Close()
		return nil, ErrChanged
	}
	return f, nil
}

func sameState(a, b *unix.Stat_t) bool {
	return a.Dev == b.Dev && a.Ino == b.Ino && a.Mode == b.Mode && a.Size == b.Size && a.Mtim == b.Mtim && a.Ctim == b.Ctim
}

// xattrs returns the attributes that belong to a file wherever it is, as PAX
// records.
func xattrs(f *os.File) (map[string]string, error) {
	fd := int(f.Fd())
	list := make([]byte, 1024)
	n, err := unix.Flistxattr(fd, list)
	if err == unix.ERANGE {
		list = make([]byte, 64<<10) // XATTR_LIST_MAX
		n, err = unix.Flistxattr(fd, list)
	}
	if err == unix.ENOTSUP {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list extended attributes: %w", err)
	}
	var records map[string]string
	for name := range strings.SplitSeq(string(list[:n]), "\x00") {
		if !PortableXattr(name) {
			continue
		}
		value := make([]byte, 64<<10) // XATTR_SIZE_MAX
		n, err := unix.Fgetxattr(fd, name, value)
		if err != nil {
			return nil, fmt.Errorf("read extended attribute %s: %w", name, err)
		}
		if records == nil {
			records = make(map[string]string)
		}
		records[XattrPrefix+name] = string(value[:n])
	}
	return records, nil
}

func (t *tree) Read(p []byte) (int, error) {
	if t.file == nil {
		return 0, io.EOF
	}
	if t.left == 0 {
		return 0, t.endFile()
	}
	n, err := t.file.Read(p[:min(int64(len(p)), t.left)])
	if errors.Is(err, io.EOF) {
		err = ErrChanged // it became shorter
	}
	t.left -= int64(n)
	t.consumed.Add(int64(n))
	if _, werr := t.hashed.Write(p[:n]); err == nil {
		err = werr
	}
	if err != nil {
		t.err = t.fail(t.file.Name(), err)
		return n, t.err
	}
	return n, nil
}

// endFile makes sure that what was read is one state of the file.
func (t *tree) endFile() error {
	f := t.file
	t.file = nil
	defer f.Close()
	var now unix.Stat_t
	err := unix.Fstat(int(f.Fd()), &now)
	if err == nil && !sameState(&t.start, &now) {
		err = ErrChanged
	}
	if err != nil {
		t.err = t.fail(f.Name(), err)
		return t.err
	}
	return io.EOF
}

func (t *tree) finish() error {
	if err := t.hashed.Close(); err != nil {
		return t.fail(".", err)
	}
	if got := t.Digest(); t.ref.Digest != "" && got != t.ref.Digest {
		return &DigestError{URI: t.ref.URI, Want: t.ref.Digest, Got: got}
	}
	return io.EOF
}

func (t *tree) Digest() Digest  { return digestOf(t.hash) }
func (t *tree) DiffID() Digest  { return t.Digest() }
func (t *tree) Consumed() int64 { return t.consumed.Load() }

func (t *tree) Close() error {
	var errs []error
	for _, dir := range t.dirs {
		errs = append(errs, dir.file.Close())
	}
	t.dirs = nil
	if t.file != nil {
		errs = append(errs, t.file.Close())
		t.file = nil
	}
	if t.err == nil {
		t.err = t.fail(".", errClosed)
	}
	return errors.Join(errs...)
}

func (t *tree) fail(name string, err error) error {
	return fmt.Errorf("read %s: %w", t.ref.URI, &fs.PathError{Op: "read", Path: name, Err: err})
}

// StampOf looks at a source without reading its content.
func StampOf(ctx context.Context, ref Ref) (Stamp, error) {
	s := stamper{ctx: ctx, hash: sha256.New()}
	var err error
	switch ref.Scheme {
	case SchemeTar:
		err = s.archive(ref.Path)
	case SchemeFile:
		var f *os.File
		if f, err = openRoot(ref); err != nil {
			return Stamp{}, err
		}
		err = s.folder(f)
	default:
		err = errors.ErrUnsupported
	}
	if err != nil {
		return Stamp{}, fmt.Errorf("stat %s: %w", ref.URI, err)
	}
	s.stamp.ID = string(digestOf(s.hash))
	return s.stamp, nil
}

type stamper struct {
	ctx   context.Context
	hash  hash.Hash
	buf   bytes.Buffer
	stamp Stamp
}

func (s *stamper) archive(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	s.stamp.Size = st.Size
	return s.add("", &st, "")
}

// folder takes f over.
func (s *stamper) folder(f *os.File) error {
	defer f.Close()
	if err := s.ctx.Err(); err != nil {
		return context.Cause(s.ctx)
	}
	names, err := f.Readdirnames(-1)
	if err != nil {
		return err
	}
	slices.Sort(names)
	at := int(f.Fd())
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return &fs.PathError{Op: "stat", Path: name, Err: err}
		}
		// A link's target cannot change without its ctime: no need to read it.
		if err := s.add(name, &st, "("); err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
			if err != nil {
				return &fs.PathError{Op: "open", Path: name, Err: err}
			}
			if err := s.folder(os.NewFile(uintptr(fd), name)); err != nil {
				return err
			}
		}
		s.hash.Write([]byte(")"))
	}
	return nil
}

func (s *stamper) add(name string, st *unix.Stat_t, end string) error {
	if t := time.Unix(st.Ctim.Unix()); t.After(s.stamp.Newest) {
		s.stamp.Newest = t
	}
	s.buf.Reset()
	s.buf.WriteString(name)
	s.buf.WriteByte(0)
	err := binary.Write(&s.buf, binary.LittleEndian, []int64{
		int64(st.Dev), int64(st.Ino), int64(st.Mode), int64(st.Nlink), int64(st.Uid), int64(st.Gid), int64(st.Rdev), st.Size,
		int64(st.Mtim.Sec), int64(st.Mtim.Nsec), int64(st.Ctim.Sec), int64(st.Ctim.Nsec),
	})
	s.buf.WriteString(end)
	s.hash.Write(s.buf.Bytes())
	return err
}
