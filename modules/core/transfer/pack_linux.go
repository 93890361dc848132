package transfer

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// maxDepth bounds how many folders may lie in each other: each is held open while
// what is in it is read.
const maxDepth = 256

// packer writes a tree as a tar stream.
type packer struct {
	ctx    context.Context //nolint:containedctx // it lives as long as one call
	w      *tar.Writer
	copied Copied
}

// pack writes an object under a name; "." is the content of a folder.
func pack(ctx context.Context, o *object, name string, w io.Writer) (Copied, error) {
	p := &packer{ctx: ctx, w: tar.NewWriter(w)}
	err := p.add(o, name, 0)
	return p.copied, errors.Join(err, p.w.Close())
}

func (p *packer) add(o *object, name string, depth int) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	h := &tar.Header{
		Name: name, Mode: int64(o.stat.Mode & 0o1777), ModTime: time.Unix(o.stat.Mtim.Sec, o.stat.Mtim.Nsec), Format: tar.FormatPAX,
	}
	switch o.kind() {
	case unix.S_IFREG:
		h.Typeflag, h.Size = tar.TypeReg, o.stat.Size
		return p.addFile(o, h)
	case unix.S_IFLNK:
		target := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(o.fd, "", target)
		if err != nil {
			return &Error{Op: "read", Path: o.path, Err: err}
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, string(target[:n])
		return p.w.WriteHeader(h)
	}
	h.Typeflag, h.Name = tar.TypeDir, name+"/"
	if err := p.w.WriteHeader(h); err != nil {
		return err
	}
	return p.addFolder(o, name, depth)
}

func (p *packer) addFile(o *object, h *tar.Header) error {
	f, err := reopen(o.fd, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return &Error{Op: "read", Path: o.path, Err: err}
	}
	defer f.Close()
	if err := p.w.WriteHeader(h); err != nil {
		return err
	}
	n, err := io.Copy(p.w, io.LimitReader(contextReader{p.ctx, f}, h.Size))
	p.copied.Files++
	p.copied.Bytes += n
	if err == nil && n < h.Size {
		err = io.ErrUnexpectedEOF // somebody made it shorter meanwhile
	}
	if err != nil {
		return &Error{Op: "read", Path: o.path, Err: err}
	}
	return nil
}

func (p *packer) addFolder(o *object, name string, depth int) error {
	if depth == maxDepth {
		return &Error{Op: "read", Path: o.path, Err: errors.New("too many folders lie in each other")}
	}
	dir, err := reopen(o.fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &Error{Op: "read", Path: o.path, Err: err}
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return &Error{Op: "read", Path: o.path, Err: err}
	}
	slices.Sort(names)
	names = slices.Compact(names) // a folder that changes may show one twice
	for _, below := range names {
		where := path.Join(o.path, below)
		fd, err := unix.Openat(int(dir.Fd()), below, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if errors.Is(err, unix.ENOENT) {
			continue // removed meanwhile
		}
		if err != nil {
			return &Error{Op: "read", Path: where, Err: err}
		}
		child, err := newObject(fd, where)
		if errors.Is(err, ErrNoFile) {
			continue // sockets and the like are left out, as what a folder has beside files
		}
		if err != nil {
			return err
		}
		err = p.add(child, path.Join(name, below), depth+1)
		child.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// contextReader reads until a context ends.
type contextReader struct {
	ctx context.Context //nolint:containedctx // io.Reader has none
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
