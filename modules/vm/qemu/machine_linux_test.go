package qemu_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/vm/qemu"
)

// machine starts a machine whose kernel does nothing, which is all that these
// tests need: a guest that boots is what integration/guest is for. Temporary
// files are in the folder that it returns.
func machine(ctx context.Context, t *testing.T, spec qemu.Spec, opts qemu.Options) (*qemu.Machine, string) {
	t.Helper()
	if _, err := qemu.Find(""); err != nil {
		t.Skip(err)
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	spec.Accel, spec.Kernel, spec.Memory = qemu.TCG, kernelFile(t), 64<<20
	m, err := qemu.Start(ctx, spec, opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m, tmp
}

// kernelFile is a Linux kernel by its header (Documentation/x86/boot.rst) whose
// code is an endless loop.
func kernelFile(t *testing.T) string {
	t.Helper()
	b := make([]byte, 4096)
	b[0x1f1] = 1 // sectors of set-up code
	copy(b[0x1fe:], "\x55\xaa")
	copy(b[0x200:], "\xeb\x66HdrS\x0c\x02")
	b[0x211] = 1                // loaded high
	copy(b[0x268:], "\xeb\xfe") // a jump to itself
	copy(b[1024:], "\xeb\xfe")
	path := filepath.Join(t.TempDir(), "kernel")
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

// processes counts the QEMUs whose sockets are in a folder.
func processes(t *testing.T, folder string) int {
	t.Helper()
	found := 0
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, path := range commands {
		text, err := os.ReadFile(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && pid != os.Getpid() && bytes.Contains(text, []byte(folder)) {
			found++
		}
	}
	return found
}

func TestClose(t *testing.T) {
	m, tmp := machine(t.Context(), t, qemu.Spec{Ports: []string{"a", "b"}}, qemu.Options{})
	port, err := m.Dial(t.Context(), "a")
	require.NoError(t, err)
	defer port.Close()
	require.Equal(t, 1, processes(t, tmp))
	select {
	case <-m.Done():
		t.Fatal("ended by itself: ", m.Wait())
	default:
	}
	_, err = m.Dial(t.Context(), "c")
	require.ErrorIs(t, err, fs.ErrNotExist)

	reading := make(chan error, 1)
	go func() {
		_, err := port.Read(make([]byte, 1))
		reading <- err
	}()
	var closers sync.WaitGroup
	for range 2 {
		closers.Go(func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	require.ErrorIs(t, m.Wait(), qemu.ErrKilled)
	require.Error(t, <-reading, "a reader of a port ends with the machine")
	require.Zero(t, processes(t, tmp))
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
	_, err = m.Dial(t.Context(), "a")
	require.ErrorIs(t, err, qemu.ErrKilled)
}

func TestEndsWithContext(t *testing.T) {
	why := errors.New("the test is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	m, tmp := machine(ctx, t, qemu.Spec{Ports: []string{"a"}}, qemu.Options{})
	require.Eventually(t, func() bool { return processes(t, tmp) == 1 }, 10*time.Second, time.Millisecond)
	cancel(why)
	err := m.Wait()
	require.ErrorIs(t, err, qemu.ErrKilled)
	require.ErrorIs(t, err, why)
	require.Zero(t, processes(t, tmp))
}

// A program in place of QEMU that says something and ends.
func program(t *testing.T, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "qemu")
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755))
	return path
}

func TestEnds(t *testing.T) {
	spec := qemu.Spec{Accel: qemu.TCG, Kernel: "vmlinuz", Ports: []string{"a"}}
	t.Run("by itself", func(t *testing.T) {
		var console bytes.Buffer
		m, err := qemu.Start(t.Context(), spec, qemu.Options{Program: program(t, "echo Linux version 6.1"), Console: &console})
		require.NoError(t, err)
		require.NoError(t, m.Wait())
		require.Equal(t, "Linux version 6.1\n", console.String())
		_, err = m.Dial(t.Context(), "a")
		require.ErrorContains(t, err, "which has ended")
		require.NoError(t, m.Close())
	})
	t.Run("with a complaint", func(t *testing.T) {
		var log, console bytes.Buffer
		m, err := qemu.Start(t.Context(), spec, qemu.Options{
			Program: program(t, "echo could not load kernel >&2; exit 1"), Console: &console, Log: &log,
		})
		require.NoError(t, err)
		require.EqualError(t, m.Wait(), "machine: QEMU: exit status 1: could not load kernel")
		require.Equal(t, "could not load kernel\n", log.String())
		require.Empty(t, console.String())
		require.NoError(t, m.Close())
	})
	t.Run("never begins", func(t *testing.T) {
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		_, err := qemu.Start(t.Context(), spec, qemu.Options{Program: "/nonexistent"})
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = qemu.Start(t.Context(), qemu.Spec{Accel: qemu.TCG}, qemu.Options{Program: "/bin/true"})
		require.ErrorIs(t, err, fs.ErrInvalid)
		left, err := os.ReadDir(tmp)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

// Not even SIGKILL of the process that started it leaves a machine behind.
func TestEndsWithProcess(t *testing.T) {
	if os.Getenv("QEMU_TEST_STARTER") != "" {
		m, _ := machine(t.Context(), t, qemu.Spec{Ports: []string{"a"}}, qemu.Options{})
		_, err := m.Dial(t.Context(), "a")
		require.NoError(t, err)
		_, err = io.WriteString(os.Stdout, "started\n")
		require.NoError(t, err)
		require.NoError(t, m.Wait())
		return
	}
	if _, err := qemu.Find(""); err != nil {
		t.Skip(err)
	}
	tmp := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestEndsWithProcess$")
	cmd.Env = append(os.Environ(), "QEMU_TEST_STARTER=1", "TMPDIR="+tmp)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var said strings.Builder
	buffer := make([]byte, 4096)
	for !strings.Contains(said.String(), "started") {
		n, err := out.Read(buffer)
		require.NoError(t, err, said.String())
		said.Write(buffer[:n])
	}
	require.Equal(t, 1, processes(t, tmp))
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
	require.Eventually(t, func() bool { return processes(t, tmp) == 0 }, 10*time.Second, 10*time.Millisecond)
}
