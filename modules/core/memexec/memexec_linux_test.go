package memexec_test

import (
	"encoding/binary"
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

var program = memexec.Program{Text: exits[runtime.GOARCH]}

func TestRun(t *testing.T) {
	f, err := memexec.New("answer", program)
	require.NoError(t, err)
	defer f.Close()
	link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	require.NoError(t, err)
	require.Equal(t, "/memfd:answer (deleted)", link)
	require.Equal(t, 42, run(f))
}

func run(f *os.File) (code int) {
	cmd := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"answer"}, ExtraFiles: []*os.File{f}}
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode()
}

// Code finds its data where the program says that it is.
func TestData(t *testing.T) {
	const base = 0x1000_0000
	at := uint32(base + memexec.DataOffset)
	code := map[string][]byte{
		// mov at, %edi; mov (%rdi), %edi; exit_group
		"amd64": binary.LittleEndian.AppendUint32([]byte{0xbf}, at),
		// movz w0, at>>16, lsl 16; movk w0, at&0xffff; ldr w0, [x0]; exit_group
		"arm64": binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 0x52a00000|at>>16<<5), 0x72800000|at&0xffff<<5),
	}[runtime.GOARCH]
	rest := map[string][]byte{
		"amd64": {0x8b, 0x3f, 0xb8, 231, 0, 0, 0, 0x0f, 0x05},
		"arm64": {0x00, 0x00, 0x40, 0xb9, 0xc8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4},
	}[runtime.GOARCH]
	f, err := memexec.New("data", memexec.Program{Base: base, Data: []byte{7, 0, 0, 0, 0, 0, 0, 0}, Text: append(code, rest...)})
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, 7, run(f))
}

// Nobody changes the file, not even who made it.
func TestSealed(t *testing.T) {
	f, err := memexec.New("x", program)
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte{0}, 0)
	require.ErrorIs(t, err, unix.EPERM)
	require.ErrorIs(t, f.Truncate(0), unix.EPERM)
	_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED)
	require.ErrorIs(t, err, unix.EPERM)
	got, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	require.NoError(t, err)
	want, err := program.ELF()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestNoText(t *testing.T) { require.Empty(t, memexec.Text(nil)) }
