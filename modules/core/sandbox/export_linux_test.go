package sandbox

import "context"

// CheckClocks says whether a kernel can give a process other clocks.
var CheckClocks = checkClocks

// LaunchOnOldKernel launches as on a kernel that clones no detached mounts.
func LaunchOnOldKernel(ctx context.Context, spec Spec, opts Options) (*Process, error) {
	t := newTable()
	t.clonesDetached = false
	defer t.close()
	if err := t.launch(&spec); err != nil {
		return nil, err
	}
	return t.run(ctx, spec.Cgroup, opts)
}
