package supervise

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/memexec"
	"github.com/containust/containust/modules/sdk/state"
)

// patience is what a busy machine may take for what takes no time.
const patience = 20 * time.Second

// guard starts a guardian whose supervisor is a shell script, which finds the
// project's folder in $1 and how many supervisors there were in $n.
func guard(t *testing.T, script string) (dir string, cmd *exec.Cmd, ready *os.File) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.Mkdir(runDir(dir), 0o700))
	lock, err := state.Acquire(runDir(dir), "guardian.lock")
	require.NoError(t, err)
	ready, readyWriter, err := os.Pipe()
	require.NoError(t, err)
	log, err := os.Create(filepath.Join(dir, "log"))
	require.NoError(t, err)
	script = `n=$(cat "$1/n" 2>/dev/null || echo 0); echo $((n + 1)) >"$1/n"; ` + script
	cmd, err = newGuardian(dir, []string{"/bin/sh", "-c", script, "supervisor", dir}, readyWriter, log, lock)
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for _, f := range append([]*os.File{readyWriter, log}, cmd.ExtraFiles...) {
		require.NoError(t, f.Close())
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_, _ = cmd.Process.Wait()
		_ = ready.Close()
	})
	return dir, cmd, ready
}

// ends waits for the guardian's end and returns its exit code.
func ends(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-done:
		return cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatal("the guardian does not end")
		return 0
	}
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// It ends with its supervisor, as that does, and is the only one meanwhile.
func TestGuardianEnds(t *testing.T) {
	for code, script := range map[int]string{
		0: "exit 0",
		3: "exit 3",
		4: `[ $n = 0 ] && kill -9 $$; exit 0`, // the first was killed: another one
	} {
		dir, cmd, _ := guard(t, script)
		want, starts := code, "1"
		if code == 4 {
			want, starts = 0, "2"
		}
		require.Equal(t, want, ends(t, cmd), script)
		require.Equal(t, starts, read(t, dir, "n"), script)
		lock, err := state.Acquire(runDir(dir), "guardian.lock")
		require.NoError(t, err)
		require.NoError(t, lock.Close())
	}
	_, cmd, _ := guard(t, "exec /does/not/exist")
	require.Equal(t, 127, ends(t, cmd))
}

// It goes on for as long as its supervisor does not end by itself: at once, then
// after a pause that doubles.
func TestGuardianStartsAgain(t *testing.T) {
	began := time.Now()
	dir, cmd, _ := guard(t, `[ $n = 3 ] && exit 0; kill -9 $$`)
	_, err := state.Acquire(runDir(dir), "guardian.lock")
	require.ErrorIs(t, err, state.ErrLocked)
	require.Zero(t, ends(t, cmd))
	require.GreaterOrEqual(t, time.Since(began), 300*time.Millisecond)
	require.Equal(t, "4", read(t, dir, "n"))

	// What exits early is not taken for one that cannot start, once one was killed.
	dir, cmd, _ = guard(t, `case $n in 0) kill -9 $$;; 1) exit 5;; esac; exit 0`)
	require.Zero(t, ends(t, cmd))
	require.Equal(t, "3", read(t, dir, "n"))
}

// Whoever waits for the supervisor's answer sees the end of a pipe, which the
// first has as its input, and no later one.
func TestGuardianReady(t *testing.T) {
	dir, cmd, ready := guard(t, `readlink /proc/$$/fd/0 >>"$1/inputs"; [ $n = 1 ] && exit 0; exec <&-; sleep 0.2; kill -9 $$`)
	require.NoError(t, ready.SetReadDeadline(time.Now().Add(patience)))
	n, err := ready.Read(make([]byte, 1))
	require.Zero(t, n)
	require.EqualError(t, err, "EOF")
	require.Zero(t, ends(t, cmd))
	require.Regexp(t, `^pipe:\[\d+\]\n/dev/null$`, read(t, dir, "inputs"))
}

// It reaps what its supervisor left and tells how it ended; its descriptors are
// its own.
func TestGuardianReaps(t *testing.T) {
	dir, cmd, _ := guard(t, `
		[ $n = 1 ] && { while [ ! -e "$1/over" ]; do sleep 0.01; done; exit 0; }
		(exec sh -c 'echo $$ >"$0/exits.new"; mv "$0/exits.new" "$0/exits"; while [ ! -e "$0/go" ]; do sleep 0.01; done; exit 7' "$1") &
		(exec sh -c 'echo $$ >"$0/dies.new"; mv "$0/dies.new" "$0/dies"; while [ ! -e "$0/go" ]; do sleep 0.01; done; kill -15 $$' "$1") &
		while [ ! -e "$1/exits" ] || [ ! -e "$1/dies" ]; do sleep 0.01; done
		ls /proc/self/fd | tr '\n' ' ' >"$1/fds"
		kill -9 $$`)
	pid := func(name string) (pid int) {
		require.Eventually(t, func() bool {
			text, err := os.ReadFile(filepath.Join(dir, name))
			n, _ := fmt.Sscan(string(text), &pid)
			return err == nil && n == 1
		}, patience, time.Millisecond)
		return pid
	}
	exits, dies := pid("exits"), pid("dies")
	require.Eventually(t, func() bool { return len(read(t, endsFile(dir))) > 0 }, patience, time.Millisecond, "the supervisor's end")
	before := time.Now()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go"), nil, 0o600))
	find := func(pid int) (exit container.ExitStatus) {
		require.Eventually(t, func() bool {
			found, ok, err := FindExit(dir, pid, before)
			exit = found
			return err == nil && ok
		}, patience, time.Millisecond)
		return exit
	}
	require.Equal(t, container.ExitStatus{Code: 7}, find(exits))
	require.Equal(t, container.ExitStatus{Code: 143, Signal: 15}, find(dies))
	_, ok, err := FindExit(dir, exits, time.Now().Add(time.Hour))
	require.NoError(t, err)
	require.False(t, ok, "an earlier process of that number")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "over"), nil, 0o600))
	require.Zero(t, ends(t, cmd))
	require.Equal(t, "0 1 2 3", read(t, dir, "fds"), "3 is the listing's own")
}

// A project that does nothing costs a page or two.
func TestGuardianMemory(t *testing.T) {
	_, cmd, _ := guard(t, "sleep 1000")
	require.Eventually(t, func() bool {
		return read(t, fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid)) == guardianName
	}, patience, time.Millisecond)
	var kib int
	for line := range strings.Lines(read(t, fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))) {
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kib); err == nil {
			break
		}
	}
	require.Positive(t, kib)
	require.LessOrEqual(t, kib, 64)
	require.NoError(t, unix.Kill(-cmd.Process.Pid, unix.SIGKILL)) // the sleep, too: it is a session of its own
}

// Only a guardian's child has one.
func TestNoGuardian(t *testing.T) {
	_, ok := Guardian()
	require.False(t, ok)
	ready, err := ReadyFile()
	require.NoError(t, err)
	require.Nil(t, ready)
}

func TestFindExit(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(runDir(dir), 0o700))
	find := func(pid int, after int64) (container.ExitStatus, bool) {
		exit, ok, err := FindExit(dir, pid, time.Unix(after, 0))
		require.NoError(t, err)
		return exit, ok
	}
	_, ok := find(7, 0)
	require.False(t, ok, "no file")

	var text bytes.Buffer
	for _, r := range []endRecord{
		{PID: 7, Status: 1 << 8, Sec: 100},
		{PID: 8, Status: 2 << 8, Sec: 100},
		{PID: 7, Status: uint32(syscall.SIGKILL), Sec: 200},
	} {
		require.NoError(t, binary.Write(&text, binary.NativeEndian, r))
	}
	require.Equal(t, 3*endRecordSize, text.Len())
	text.WriteString("half a rec")
	require.NoError(t, os.WriteFile(endsFile(dir), text.Bytes(), 0o600))
	exit, ok := find(7, 0)
	require.True(t, ok)
	require.Equal(t, container.ExitStatus{Code: 137, Signal: 9}, exit)
	exit, ok = find(8, 99)
	require.True(t, ok)
	require.Equal(t, container.ExitStatus{Code: 2}, exit)
	_, ok = find(7, 200)
	require.False(t, ok, "an earlier process of that number")
	_, ok = find(9, 0)
	require.False(t, ok)
}

// The program is what is meant, from its first instruction to its last.
func TestGuardianProgram(t *testing.T) {
	text := guardianText()
	require.Less(t, len(text), 1024)
	program, err := memexec.Program{Text: text}.ELF()
	require.NoError(t, err)
	f, err := elf.NewFile(bytes.NewReader(program))
	require.NoError(t, err)
	require.NoError(t, f.Close())
	first, ok := map[elf.Machine][]byte{
		elf.EM_X86_64:  {0x49, 0x89, 0xe4},       // mov %rsp, %r12
		elf.EM_AARCH64: {0xf3, 0x03, 0x00, 0x91}, // mov x19, sp
	}[f.Machine]
	require.True(t, ok, f.Machine)
	require.Equal(t, first, program[f.Entry:][:len(first)])
}

// Where programs in memory are forbidden it is a file of the project.
func TestGuardianFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(runDir(dir), 0o700))
	for range 2 { // one may be there from an earlier run
		f, err := guardianFile(dir)
		require.NoError(t, err)
		info, err := f.Stat()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o500), info.Mode())
		// Without its files it says so, but it does run.
		var exit *exec.ExitError
		require.True(t, errors.As(exec.Command(f.Name()).Run(), &exit))
		require.Equal(t, 127, exit.ExitCode())
		require.NoError(t, f.Close())
	}
}
