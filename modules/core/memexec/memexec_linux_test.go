package memexec_test

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/memexec"
)

// exits is exit_group(42).
var exits = map[string][]byte{
	"amd64": {0xbf, 42, 0, 0, 0, 0xb8, 231, 0, 0, 0, 0x0f, 0x05},
	"arm64": {0x40, 0x05, 0x80, 0xd2, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4},
}

func TestRun(t *testing.T) {
	f, err := memexec.New("answer", exits[runtime.GOARCH])
	require.NoError(t, err)
	defer f.Close()
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	require.NoError(t, err)
	require.Equal(t, "/memfd:answer (deleted)", link)
	cmd := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"answer"}, ExtraFiles: []*os.File{f}}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Run(), &exit)
	require.Equal(t, 42, exit.ExitCode())
}

// Nobody changes the file, not even who made it.
func TestSealed(t *testing.T) {
	f, err := memexec.New("x", exits[runtime.GOARCH])
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte{0}, 0)
	require.ErrorIs(t, err, unix.EPERM)
	require.ErrorIs(t, f.Truncate(0), unix.EPERM)
	_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED)
	require.ErrorIs(t, err, unix.EPERM)
	got, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	require.NoError(t, err)
	want, err := memexec.ELF(exits[runtime.GOARCH])
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestNoText(t *testing.T) { require.Empty(t, memexec.Text(nil)) }
