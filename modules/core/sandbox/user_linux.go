package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/namespace"
)

// Prepare makes a user namespace with the maps of ids, which need the caller's
// CAP_SETUID and CAP_SETGID over the host's ids; an ordinary user can have those
// of idmap.Caller. A short-lived child that runs
// no program makes it; ending ctx kills that.
//
// A kernel that makes no user namespaces, or no more of them, gives a
// *[StepError] that says what to do.
func Prepare(ctx context.Context, ids idmap.IDs, opts PrepareOptions) (*Namespaces, error) {
	if err := errors.Join(ids.UIDs.Check(), ids.GIDs.Check()); err != nil {
		return nil, fmt.Errorf("sandbox: prepare namespaces: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("sandbox: prepare namespaces: %w", err)
	}
	t := &table{}
	kinds := unix.CLONE_NEWUSER
	if opts.Network {
		kinds |= unix.CLONE_NEWNET
	}
	defer t.close()
	self, err := unix.PidfdOpen(os.Getpid(), 0)
	if err != nil {
		return nil, fmt.Errorf("sandbox: prepare namespaces: %w", os.NewSyscallError("pidfd_open", err))
	}
	caller := t.own(os.NewFile(uintptr(self), "pidfd"))
	// Here and not in the clone, which holds up the caller's thread.
	t.call("make a user namespace", unix.SYS_UNSHARE, number(kinds))
	// The caller sees the end of its pipe, and does the rest.
	if self != 0 {
		t.call("tell the caller", unix.SYS_DUP3, t.file(caller), number(0), number(0))
	}
	t.call("tell the caller", unix.SYS_CLOSE_RANGE, number(1), number(^uint32(0)))
	// The caller ends this process, or ends itself: an orphan would wait for ever.
	poll := binary.NativeEndian.AppendUint16(make([]byte, 4), unix.POLLIN) // a pollfd of descriptor 0
	t.call("wait for the end", unix.SYS_PPOLL, t.bytes(string(append(poll, 0, 0))), number(1), number(0), number(0))
	t.call("end", unix.SYS_EXIT_GROUP, number(0))

	// Only its owner may write the maps of a process, and a process that is not
	// dumpable belongs to root.
	protect := hide
	if os.Geteuid() != 0 {
		protect = reveal
	}
	undo, err := protect()
	if err != nil {
		return nil, err
	}
	defer undo()
	c, err := t.start(nil)
	if err != nil {
		return nil, err
	}
	var ns *Namespaces
	err = c.await(ctx, func() (err error) {
		if err := c.stopped(t); err != nil {
			return err
		}
		ns, err = c.takeNamespaces(ids, opts)
		return err
	})
	err = errors.Join(err, c.drop())
	if err != nil {
		if ns != nil {
			err = errors.Join(err, ns.Close())
		}
		return nil, err
	}
	return ns, nil
}

// stopped tells why a child did not get to the point where it waits to be
// killed.
func (c *child) stopped(t *table) error {
	err := c.outcome(t)
	var failed *StepError
	if errors.As(err, &failed) {
		return advise(failed)
	}
	if c.at() < 1 { // killed while it made the namespaces
		return err
	}
	return nil
}

// advise says what to do about a kernel that makes no user namespace.
func advise(e *StepError) error {
	switch e.Errno {
	case unix.ENOSPC:
		return fmt.Errorf("%w; a limit is reached: raise user.max_user_namespaces or user.max_net_namespaces with sysctl(8)", e)
	case unix.EPERM:
		return fmt.Errorf("%w; this machine forbids user namespaces: inside of another container, that one must allow them; in a chroot there are none", e)
	case unix.EINVAL, syscall.ENOSYS:
		return fmt.Errorf("%w; this kernel is built without user namespaces", e)
	}
	return e
}

// takeNamespaces writes the maps of a child's user namespace and opens what the
// child made.
func (c *child) takeNamespaces(ids idmap.IDs, opts PrepareOptions) (*Namespaces, error) {
	failed := func(err error) error { return fmt.Errorf("sandbox: prepare namespaces: %w", err) }
	if err := idmap.WriteMaps(c.pid, ids); err != nil {
		return nil, failed(err)
	}
	user, err := namespace.Open(c.pid, namespace.User)
	if err != nil {
		return nil, failed(err)
	}
	ns := &Namespaces{User: user, ids: ids}
	if opts.Network {
		if ns.Network, err = namespace.Open(c.pid, namespace.Network); err != nil {
			return nil, failed(errors.Join(err, ns.Close()))
		}
	}
	return ns, nil
}
