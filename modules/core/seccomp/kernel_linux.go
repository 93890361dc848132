package seccomp

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Available is nil where the running kernel has system call filters. It needs no
// privileges.
func Available() error {
	action := uint32(unix.SECCOMP_RET_ERRNO)
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_ACTION_AVAIL, 0, uintptr(unsafe.Pointer(&action)))
	if errno != 0 {
		return fmt.Errorf("seccomp: ask for filters: %w", errno)
	}
	return nil
}

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
