package namespace_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	eventually = 10 * time.Second
	tick       = 5 * time.Millisecond
)

func itoa(n int) string { return strconv.Itoa(n) }

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// dropThreadCapabilities empties the capabilities of the calling thread alone:
// capset(2), unlike golang's syscall package, is per thread.
func dropThreadCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}
