package sandbox

import (
	"context"

	"golang.org/x/sys/unix"
)

// LaunchOnOldKernel launches as on a kernel that clones no detached mounts.
func LaunchOnOldKernel(ctx context.Context, spec Spec, opts Options) (*Process, error) {
	t := newTable()
	t.clonesDetached = false
	dev, err := t.launch(&spec)
	if dev != nil {
		defer dev.Close()
	}
	if err != nil {
		return nil, err
	}
	return t.run(ctx, unix.CLONE_NEWPID, spec.Cgroup, opts)
}
