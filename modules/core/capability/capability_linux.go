package capability

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Last returns the highest capability that the running kernel knows. A launch
// drops all up to it from the bounding set, also those this package has no
// name for.
func Last() (Capability, error) { return last() }

// The answer is a constant of the running kernel, so it is asked for once.
var last = sync.OnceValues(func() (Capability, error) {
	for c := Capability(63); ; c-- {
		// PR_CAPBSET_READ gives EINVAL for a capability unknown to the kernel.
		_, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, uintptr(c), 0, 0, 0)
		if err == nil {
			return c, nil
		}
		if err != unix.EINVAL || c == 0 {
			return 0, fmt.Errorf("find the last capability of the kernel: %w", err)
		}
	}
})
