package transfer

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Copy copies what is at one place to another, as cp does: a source that is a
// folder brings all that is in it, and one that ends in "/." nothing but that; a
// destination that is a folder gets the source into it, and another is what the
// source becomes there, in a folder that exists.
func Copy(ctx context.Context, from, to Place, opts Options) (Copied, error) {
	source, err := find(from, opts.Follow || strings.HasSuffix(from.Path, "/"))
	if err != nil {
		return Copied{}, err
	}
	defer source.close()
	into, name, err := destination(source, from, to)
	if err != nil {
		return Copied{}, err
	}
	// From here on the destination's folder is the root: links that come with what
	// is copied lead nowhere else.
	dir, err := openFolder(into)
	if err != nil {
		return Copied{}, err
	}
	defer dir.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		_, err := pack(ctx, source, name, w)
		packed <- err
		w.CloseWithError(err)
	}()
	copied, err := unpack(ctx, Place{Root: dir}, into.Path, stream, opts)
	stream.CloseWithError(errGivenUp) // ends the packing if it goes on
	if packErr := <-packed; packErr != nil && !errors.Is(packErr, errGivenUp) {
		return copied, packErr
	}
	return copied, err
}

var errGivenUp = errors.New("transfer: given up")

// Pack writes what is at a place as a tar stream, under the last name of its path.
func Pack(ctx context.Context, from Place, w io.Writer, opts Options) (Copied, error) {
	source, err := find(from, opts.Follow || strings.HasSuffix(from.Path, "/"))
	if err != nil {
		return Copied{}, err
	}
	defer source.close()
	return pack(ctx, source, lastName(from.Path), w)
}

// lastName is what a copy of a path is called; "." stands for the content of a
// folder.
func lastName(p string) string {
	if p == "" || strings.HasSuffix(p, "/.") || p == "." {
		return "."
	}
	if name := path.Base(p); name != "/" && name != ".." {
		return name
	}
	return "."
}

// destination decides into which folder the source goes, and under which name.
func destination(source *object, from, to Place) (into Place, name string, err error) {
	folder := source.kind() == unix.S_IFDIR
	there, err := find(to, true)
	switch {
	case err == nil:
		defer there.close()
	case errors.Is(err, fs.ErrNotExist):
	default:
		return into, "", err
	}
	if there != nil && there.kind() == unix.S_IFDIR {
		return to, lastName(from.Path), nil
	}
	switch {
	case there != nil && folder:
		return into, "", &Error{Op: "copy to", Path: to.Path, Err: ErrIsFolder}
	case there != nil && strings.HasSuffix(to.Path, "/"):
		return into, "", &Error{Op: "copy to", Path: to.Path, Err: ErrNotFolder}
	case !folder && strings.HasSuffix(to.Path, "/"):
		return into, "", &Error{Op: "copy to", Path: to.Path, Err: ErrNoFolder}
	}
	clean := path.Clean("/" + to.Path)
	return Place{Root: to.Root, Path: path.Dir(clean)}, path.Base(clean), nil
}
