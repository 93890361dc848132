package native

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/unpack"
)

// copyImageFolder copies what an image has at target, if it has a folder there,
// into dir, with owner and mode. The path is resolved inside the image.
func copyImageFolder(root *os.File, target, dir string) (err error) {
	fd, err := unix.Openat2(int(root.Fd()), target, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return os.Chmod(dir, 0o755)
	}
	if err != nil {
		return &os.PathError{Op: "openat2", Path: target, Err: err}
	}
	from := os.NewFile(uintptr(fd), target)
	defer func() { err = errors.Join(err, from.Close()) }()

	ctx := context.Background()
	entries, err := source.Open(ctx, source.Ref{
		Scheme: source.SchemeFile, Path: fmt.Sprintf("/proc/self/fd/%d/.", fd), URI: "file://" + target,
	}, source.Limits{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, entries.Close()) }()
	to, err := os.Open(dir)
	if err != nil {
		return err
	}
	_, err = unpack.Unpack(ctx, to, entries, unpack.Options{})
	return errors.Join(err, to.Close())
}
