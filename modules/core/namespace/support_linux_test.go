package namespace_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
)

const (
	eventually = 10 * time.Second
	tick       = 5 * time.Millisecond
)

func TestMain(m *testing.M) { os.Exit(kerneltest.Main(m, kerneltest.Leaks{})) }

// dropThreadCapabilities empties the capabilities of the calling thread alone:
// capset(2), unlike golang's syscall package, is per thread.
func dropThreadCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&header, &none[0])
}
