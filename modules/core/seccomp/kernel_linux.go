package seccomp

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func runningKernel() (k Kernel, err error) {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return k, fmt.Errorf("read the kernel's version: %w", err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &k.Major, &k.Minor); err != nil {
		return k, fmt.Errorf("read the kernel's version %q: %w", release, err)
	}
	return k, nil
}
