package native

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCoveredProc(t *testing.T) {
	require.Empty(t, coveredProc(`22 28 0:21 / /proc rw,nosuid - proc proc rw
30 22 0:27 / /proc/sys/fs/binfmt_misc rw,relatime - autofs systemd-1 rw
31 28 0:30 / /processes rw - tmpfs tmpfs rw
`))
	require.Equal(t, []string{"/proc/kcore", "/proc/acpi"}, coveredProc(`22 28 0:21 / /proc rw,nosuid - proc proc rw
40 22 0:5 /null /proc/kcore rw - tmpfs tmpfs rw
41 22 0:50 / /proc/acpi ro - tmpfs tmpfs ro
`))
}
