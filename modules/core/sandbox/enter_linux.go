package sandbox

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Enter starts a program of the host in a user namespace that Prepare made: as
// its root, with all capabilities there and none outside, in a mount namespace
// of its own that follows the caller's. args[0] is the program's path. All else
// is as the caller has it: standard streams, working folder, session, groups.
//
// It is for the caller's own program: nothing isolates it. Errors are those of
// [Launch].
func Enter(ctx context.Context, user *os.File, args, env []string) (*Process, error) {
	if len(args) == 0 {
		return nil, errors.New("sandbox: enter a user namespace: no program")
	}
	t := newTable()
	for _, f := range []*os.File{os.Stdin, os.Stdout, os.Stderr} {
		t.file(f)
	}
	const name = "enter the user namespace"
	t.call(name, unix.SYS_SETNS, t.file(user), number(unix.CLONE_NEWUSER))
	t.becomeRoot()
	const mounts = "make a mount namespace"
	t.call(mounts, unix.SYS_UNSHARE, number(unix.CLONE_NEWNS))
	t.call(mounts, unix.SYS_MOUNT, t.text(""), t.text("/"), number(0), number(unix.MS_REC|unix.MS_SLAVE), number(0))
	t.call("close all other files", unix.SYS_CLOSE_RANGE, number(3), number(^uint32(0)), number(unix.CLOSE_RANGE_CLOEXEC))
	// What the caller ignores stays ignored, as under nohup(1).
	t.unblockSignals()
	t.programs(&Command{Args: args, Env: env})
	return t.run(ctx, nil, Options{})
}
