package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/container"
)

// Signal sends a signal to a container's first process.
func (b *Backend) Signal(_ context.Context, id container.ID, signal string) error {
	c, r, err := b.running(id)
	if err != nil {
		return err
	}
	sig, err := ParseSignal(signal)
	if err != nil {
		return err
	}
	b.mu.Lock()
	init := c.record.Config.Init
	b.mu.Unlock()
	if sig != unix.SIGKILL && sig != unix.SIGSTOP && sig != unix.SIGCONT && !init {
		notices, err := noticesSignal(r.process.PID(), sig)
		if err != nil {
			return err
		}
		if !notices {
			return fmt.Errorf("%s does not catch %s, and the kernel drops what a container's first process does not catch: kill -s KILL ends it, init = true passes signals on",
				id, cmp.Or(unix.SignalName(sig), fmt.Sprintf("signal %d", sig)))
		}
	}
	if err := r.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Pause freezes a container's processes.
func (b *Backend) Pause(ctx context.Context, id container.ID) error {
	return b.withCgroup(id, func(g *cgroup.Cgroup) error { return g.Freeze(ctx) })
}

// Resume lets a container's processes go on.
func (b *Backend) Resume(ctx context.Context, id container.ID) error {
	return b.withCgroup(id, func(g *cgroup.Cgroup) error { return g.Thaw(ctx) })
}

// withCgroup calls fn with the cgroup of a running container. Stopping its
// processes one by one instead would miss those that are just being made, and
// would be seen by whoever waits for them.
func (b *Backend) withCgroup(id container.ID, fn func(*cgroup.Cgroup) error) error {
	_, r, err := b.running(id)
	if err != nil {
		return err
	}
	if r.cgroup == nil {
		err := fmt.Errorf("%s has no cgroup of its own, which pausing needs (see ctst doctor): %w", id, errors.ErrUnsupported)
		if b.cgroups.missing != nil {
			err = fmt.Errorf("%w: %w", err, b.cgroups.missing)
		}
		return err
	}
	return fn(r.cgroup)
}

// OpenRoot opens the root file system of a running container.
func (b *Backend) OpenRoot(_ context.Context, id container.ID) (root container.Root, err error) {
	c, r, err := b.running(id)
	if err != nil {
		return root, err
	}
	b.mu.Lock()
	ids, user := b.ids.from(c.record.FirstID), c.record.User
	b.mu.Unlock()
	if root.UID, root.GID, err = ids.Host(user.UID, user.GID); err != nil {
		return root, err
	}
	root.Dir, err = os.OpenFile(fmt.Sprintf("/proc/%d/root", r.process.PID()), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return root, err
	}
	// A process that lives now lived when its id was looked up: that was not
	// somebody else's by then.
	if err := r.process.Signal(0); err != nil {
		return container.Root{}, errors.Join(fmt.Errorf("%s has just ended: %w", id, err), root.Dir.Close())
	}
	return root, nil
}
