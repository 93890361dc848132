package sdk

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/containust/containust/modules/core/transfer"
)

// CopyOptions are of CopyIn and CopyOut. The zero value works.
type CopyOptions struct {
	Follow bool // a source that is a symbolic link means what it leads to
}

// CopyIn copies a file or a folder of this machine into a running component, as
// cp does. What is written belongs to the component's user. path is from the
// component's root; no link in there leads out of it.
func (e *Engine) CopyIn(ctx context.Context, source, name, path string, opts CopyOptions) (transfer.Copied, error) {
	from, err := onHost(source)
	if err != nil {
		return transfer.Copied{}, err
	}
	defer from.Root.Close()
	return e.inside(ctx, name, path, func(to transfer.Place, owner *transfer.Owner) (transfer.Copied, error) {
		return transfer.Copy(ctx, from, to, transfer.Options{Follow: opts.Follow, Owner: owner})
	})
}

// CopyOut copies a file or a folder of a running component to this machine, as cp
// does. What is written belongs to the caller, and has no set-user-id bits.
func (e *Engine) CopyOut(ctx context.Context, name, path, target string, opts CopyOptions) (transfer.Copied, error) {
	to, err := onHost(target)
	if err != nil {
		return transfer.Copied{}, err
	}
	defer to.Root.Close()
	return e.inside(ctx, name, path, func(from transfer.Place, _ *transfer.Owner) (transfer.Copied, error) {
		return transfer.Copy(ctx, from, to, transfer.Options{Follow: opts.Follow})
	})
}

// Unpack writes a tar stream into a folder of a running component, for the
// component's user.
func (e *Engine) Unpack(ctx context.Context, r io.Reader, name, path string) (transfer.Copied, error) {
	return e.inside(ctx, name, path, func(to transfer.Place, owner *transfer.Owner) (transfer.Copied, error) {
		return transfer.Unpack(ctx, to, r, transfer.Options{Owner: owner})
	})
}

// Pack writes a file or a folder of a running component as a tar stream.
func (e *Engine) Pack(ctx context.Context, name, path string, w io.Writer, opts CopyOptions) (transfer.Copied, error) {
	return e.inside(ctx, name, path, func(from transfer.Place, _ *transfer.Owner) (transfer.Copied, error) {
		return transfer.Pack(ctx, from, w, transfer.Options{Follow: opts.Follow})
	})
}

// inside calls fn with a place in a running component and who is to own what is
// written there.
func (e *Engine) inside(ctx context.Context, name, path string, fn func(transfer.Place, *transfer.Owner) (transfer.Copied, error)) (copied transfer.Copied, err error) {
	err = e.control(ctx, []string{name}, func() (err error) {
		root, err := e.client.OpenRoot(ctx, name)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, root.Dir.Close()) }()
		copied, err = fn(transfer.Place{Root: root.Dir, Path: path}, &transfer.Owner{UID: root.UID, GID: root.GID})
		return err
	})
	return copied, err
}

// onHost is a path of this machine as a place. A slash or a "/." at its end, which
// says that a folder is meant, stays.
func onHost(path string) (transfer.Place, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return transfer.Place{}, err
	}
	for _, end := range []string{"/.", "/"} {
		if strings.HasSuffix(path, end) && full != "/" {
			full += end
			break
		}
	}
	if path == "." {
		full += "/."
	}
	root, err := os.Open("/")
	return transfer.Place{Root: root, Path: full}, err
}
