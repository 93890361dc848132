package cgroup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// waitFor waits until a value of cgroup.events is what is wanted. The kernel
// reports each change as a modification (cgroup-v2.rst, "cgroup.events"), which
// inotify brings through the runtime's poller: no thread waits.
func (g *Cgroup) waitFor(ctx context.Context, key string, want bool) (err error) {
	failed := func(err error) error { return &Error{Op: "wait for " + key, Path: g.path, Err: err} }
	// Ask first: to let go of an inotify descriptor takes the kernel as long as
	// many a container lives.
	if now, err := g.event(key); err == nil && now == want {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return failed(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer func() { err = errors.Join(err, events.Close()) }()
	for _, watch := range []struct {
		path string
		mask uint32
	}{
		{filepath.Join(g.path, "cgroup.events"), unix.IN_MODIFY},
		// A removed cgroup reports nothing about its own files, not even the
		// last change if that is still on its way; only the folder above does.
		{filepath.Dir(g.path), unix.IN_DELETE | unix.IN_ONLYDIR},
	} {
		_, err := unix.InotifyAddWatch(fd, watch.path, watch.mask)
		if errors.Is(err, unix.ENOENT) {
			return g.gone(key, failed(err))
		}
		if err != nil {
			return failed(err)
		}
	}
	stop := context.AfterFunc(ctx, func() {
		// Ends the read below. It cannot fail on a descriptor of the poller.
		_ = events.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	buffer := make([]byte, 4096)
	for {
		// Watch first, then look: a change in between is not lost.
		now, err := g.event(key)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return g.gone(key, err)
		}
		if err != nil || now == want {
			return err
		}
		if _, err := events.Read(buffer); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return failed(err)
		}
	}
}

// gone is what waiting ends with when the cgroup is removed: it is empty then,
// and never becomes frozen.
func (g *Cgroup) gone(key string, err error) error {
	if key == "populated" {
		return nil
	}
	return err
}
