package native_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/sdk/logfile"
	"github.com/containust/containust/modules/sdk/native"
)

// supervisorEnv makes this program a backend, for tests to kill: it holds the
// options.
const supervisorEnv = "CTST_TEST_SUPERVISOR"

type supervisorOptions struct {
	Project, StateDir, RunDir string
	LogLimits                 logfile.Limits
}

func superviseUntilKilled(options string) error {
	var opts supervisorOptions
	if err := json.Unmarshal([]byte(options), &opts); err != nil {
		return err
	}
	b, err := native.Open(context.Background(), native.Options{
		Project: opts.Project, StateDir: opts.StateDir, RunDir: opts.RunDir, LogLimits: opts.LogLimits,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin) // which ends with the test, if nobody kills us before
	return errors.Join(err, b.Close())
}

// writer is the configuration of a container that runs testdata/write.
func (p *project) writer(t testing.TB, program []byte, name string, args ...string) container.Config {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "write"), program, 0o755))
	return container.Config{
		Name: name, Layers: []container.Layer{{Digest: "sha256:" + strings.Repeat("1", 64), Path: dir}},
		Args: append([]string{"/write"}, args...), ReadOnly: true,
		Network: container.Network{Mode: container.NetworkNone},
	}
}

// reopen opens the backend again with other options.
func (p *project) reopen(t *testing.T, change func(*native.Options)) {
	t.Helper()
	require.NoError(t, p.Close())
	change(&p.opts)
	p.open(t)
}

// counted reads the lines that `write count` and `write lines` write, from the
// one numbered next on, each of which must be there once and in order. It returns
// the number after the last one there is now, and whether that is the end.
func counted(r *logfile.Reader, next int) (int, bool, error) {
	for ; ; next++ {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			return next, false, nil
		}
		if err != nil {
			return next, false, err
		}
		if string(line.Text) == fmt.Sprintf("end %d", next) {
			return next, true, nil
		}
		want := fmt.Sprintf("%010d a line that is sixty-four bytes long with its number", next)
		if string(line.Text) != want {
			return next, false, fmt.Errorf("read %q, want %q", line.Text, want)
		}
	}
}

// Killing who moves the bytes, at any moment, neither loses nor doubles one.
func TestLogsSurviveKills(t *testing.T) {
	kills := 5
	if os.Getenv("CTST_TEST_LONG") != "" {
		kills = 50
	}
	program := build(t, "write")
	for name, limits := range map[string]logfile.Limits{
		"one file": {Size: 16 << 30},
		"rotated":  {Size: 8 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t)
			p.reopen(t, func(o *native.Options) { o.LogLimits = limits })
			p.start(t, p.writer(t, program, "w", "count", "20000000"))
			require.NoError(t, p.Close())
			open := false
			defer func() {
				if !open {
					p.open(t) // so that the container can be stopped
				}
			}()

			// Somebody follows it all the time.
			path := logfile.Path(p.opts.StateDir, "w", false)
			followed, err := logfile.Open(t.Context(), path, logfile.Options{Follow: true})
			require.NoError(t, err)
			defer followed.Close()
			following := make(chan error, 1)
			seen := 0
			ctx, giveUp := context.WithCancel(t.Context())
			defer func() { giveUp(); <-following }()
			go func() {
				defer close(following)
				for ended := false; !ended && ctx.Err() == nil; time.Sleep(time.Millisecond) {
					var err error
					if seen, ended, err = counted(followed, seen); err != nil {
						following <- err
						return
					}
				}
			}()

			options, err := json.Marshal(supervisorOptions{p.opts.Project, p.opts.StateDir, p.opts.RunDir, p.opts.LogLimits})
			require.NoError(t, err)
			for range kills {
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), supervisorEnv+"="+string(options))
				var said bytes.Buffer
				cmd.Stderr = &said
				_, err := cmd.StdinPipe() // which stays open until it is killed
				require.NoError(t, err)
				require.NoError(t, cmd.Start())
				time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
				require.NoError(t, cmd.Process.Kill())
				require.Error(t, cmd.Wait())
				require.Empty(t, said.String())
			}

			p.open(t)
			open = true
			require.NoError(t, p.Stop(t.Context(), "w", container.StopOptions{}))
			select {
			case err := <-following:
				require.NoError(t, err)
			case <-time.After(30 * time.Second):
				require.Fail(t, "the follower has not come to the end")
			}
			require.Zero(t, followed.Skipped())
			t.Logf("%d lines", seen)

			r, err := logfile.Open(t.Context(), path, logfile.Options{})
			require.NoError(t, err)
			defer r.Close()
			first := 0
			if name == "rotated" {
				line, err := r.Next()
				require.NoError(t, err)
				number, _, _ := strings.Cut(string(line.Text), " ")
				first, err = strconv.Atoi(number)
				require.NoError(t, err)
				first++
			}
			last, ended, err := counted(r, first)
			require.NoError(t, err)
			require.True(t, ended)
			require.Equal(t, seen, last)
		})
	}
}

// A log that cannot be written makes its container wait, and nobody else; once
// it can be, it goes on where it was.
func TestLogsOnFullDisk(t *testing.T) {
	rootOnly(t, "mounting a small disk is not theirs")
	p := newProject(t)
	disk := filepath.Join(p.opts.StateDir, "logs")
	require.NoError(t, unix.Mount("none", disk, "tmpfs", 0, "size=6m"))
	defer func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) }()
	ballast := filepath.Join(disk, "ballast")
	require.NoError(t, os.WriteFile(ballast, make([]byte, 5<<20), 0o600))

	var said lockedBuffer
	p.reopen(t, func(o *native.Options) { o.Logger = slog.New(slog.NewTextHandler(&said, nil)) })
	program := build(t, "write")
	const lines = 4 << 20 / 64
	p.start(t, p.writer(t, program, "w", "lines", strconv.Itoa(lines)))
	require.Eventually(t, func() bool { return strings.Contains(said.String(), "log cannot be written") }, 10*time.Second, 5*time.Millisecond)
	exit, _ := p.run(t, p.config(t, "other", "sh", "-c", "exit 3"))
	require.Equal(t, 3, exit.Code, "another lives on")
	info, err := p.Inspect(t.Context(), "w")
	require.NoError(t, err)
	require.Equal(t, container.StatusRunning, info.Status, "it waits")

	require.NoError(t, os.Remove(ballast))
	ended, err := p.Wait(t.Context(), "w")
	require.NoError(t, err)
	require.Equal(t, container.ExitStatus{}, ended)
	r, err := logfile.Open(t.Context(), logfile.Path(p.opts.StateDir, "w", false), logfile.Options{})
	require.NoError(t, err)
	defer r.Close()
	n, _, err := counted(r, 0)
	require.NoError(t, err)
	require.Equal(t, lines, n)
	require.Equal(t, 1, strings.Count(said.String(), "cannot be written"), "said once: %s", said.String())
	require.Contains(t, said.String(), "log is written again")
}

// One that ends while its log cannot be written does not keep its end back.
func TestEndOnFullDisk(t *testing.T) {
	rootOnly(t, "mounting a small disk is not theirs")
	p := newProject(t)
	disk := filepath.Join(p.opts.StateDir, "logs")
	require.NoError(t, unix.Mount("none", disk, "tmpfs", 0, "size=1m"))
	defer func() { require.NoError(t, unix.Unmount(disk, unix.MNT_DETACH)) }()
	var said lockedBuffer
	p.reopen(t, func(o *native.Options) { o.Logger = slog.New(slog.NewTextHandler(&said, nil)) })
	p.start(t, p.writer(t, build(t, "write"), "w", "flood", "100000000"))
	require.Eventually(t, func() bool { return strings.Contains(said.String(), "log cannot be written") }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, p.Stop(t.Context(), "w", container.StopOptions{Timeout: -1}))
	require.Contains(t, said.String(), "log given up")
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A container that floods its log neither loses lines of others nor keeps them
// back.
func TestFloodBesideTicks(t *testing.T) {
	program := build(t, "write")
	p := newProject(t)
	p.start(t, p.writer(t, program, "flood", "flood", strconv.Itoa(1<<40)))
	const ticks = 2000
	p.start(t, p.writer(t, program, "ticks", "tick", strconv.Itoa(ticks)))
	_, err := p.Wait(t.Context(), "ticks")
	require.NoError(t, err)
	require.NoError(t, p.Stop(t.Context(), "flood", container.StopOptions{Timeout: -1}))

	r, err := logfile.Open(t.Context(), logfile.Path(p.opts.StateDir, "ticks", false), logfile.Options{})
	require.NoError(t, err)
	defer r.Close()
	var worst time.Duration
	for i := range ticks {
		line, err := r.Next()
		require.NoError(t, err)
		number, when, _ := strings.Cut(string(line.Text), " ")
		require.Equal(t, strconv.Itoa(i), number)
		nanoseconds, err := strconv.ParseInt(when, 10, 64)
		require.NoError(t, err)
		worst = max(worst, line.Time.Sub(time.Unix(0, nanoseconds)))
	}
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)

	path := logfile.Path(p.opts.StateDir, "flood", false)
	flooded, err := logfile.End(path)
	require.NoError(t, err)
	require.Greater(t, flooded, int64(40<<20), "it was a flood")
	kept, err := filepath.Glob(path + "*")
	require.NoError(t, err)
	var size int64
	for _, name := range kept {
		info, err := os.Stat(name)
		require.NoError(t, err)
		size += info.Size()
	}
	require.Less(t, size, int64(36<<20), "%v", kept)
	t.Logf("%d MiB of flood; the lines of the other waited %v at most", flooded>>20, worst)
}

func TestRemoveRemovesRotatedLogs(t *testing.T) {
	p := newProject(t)
	p.reopen(t, func(o *native.Options) { o.LogLimits = logfile.Limits{Size: 100_000} })
	p.start(t, p.writer(t, build(t, "write"), "w", "lines", "10000"))
	_, err := p.Wait(t.Context(), "w")
	require.NoError(t, err)
	left, err := os.ReadDir(filepath.Join(p.opts.StateDir, "logs"))
	require.NoError(t, err)
	require.Greater(t, len(left), 4, "each has a file and an index, and one was rotated: %v", left)
	require.NoError(t, p.Remove(t.Context(), "w", container.RemoveOptions{}))
	left, err = os.ReadDir(filepath.Join(p.opts.StateDir, "logs"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// What a container that floods its log gets, through its pipe into files that are
// rotated.
func BenchmarkFlood(b *testing.B) {
	kerneltest.RequireRoot(b)
	program := filepath.Join(b.TempDir(), "write")
	require.NoError(b, kerneltest.Build(program, "./testdata/write"))
	text, err := os.ReadFile(program)
	require.NoError(b, err)
	backend, err := native.Open(b.Context(), native.Options{
		Project: "bench-flood", StateDir: b.TempDir(), RunDir: filepath.Join(b.TempDir(), "run"),
	})
	require.NoError(b, err)
	p := &project{Backend: backend}
	const size = 4 << 30
	b.SetBytes(size)
	cfg := p.writer(b, text, "flood", "flood", strconv.Itoa(size))
	id, err := p.Create(b.Context(), cfg)
	require.NoError(b, err)
	for b.Loop() {
		_, err := p.Start(b.Context(), id)
		require.NoError(b, err)
		exit, err := p.Wait(b.Context(), id)
		require.NoError(b, err)
		require.Equal(b, container.ExitStatus{}, exit)
	}
	require.NoError(b, p.Release(context.Background()))
	require.NoError(b, p.Close())
}

// The pipe alone, as what to hold the flood against.
func BenchmarkPipe(b *testing.B) {
	program := filepath.Join(b.TempDir(), "write")
	require.NoError(b, kerneltest.Build(program, "./testdata/write"))
	const size = 4 << 30
	b.SetBytes(size)
	for b.Loop() {
		r, w, err := os.Pipe()
		require.NoError(b, err)
		_, err = unix.FcntlInt(w.Fd(), unix.F_SETPIPE_SZ, 1<<20)
		require.NoError(b, err)
		cmd := exec.Command(program, "flood", strconv.Itoa(size))
		cmd.Stdout = w
		require.NoError(b, errors.Join(cmd.Start(), w.Close()))
		// Read into memory, which is written nowhere.
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 1<<20))
		require.NoError(b, errors.Join(err, cmd.Wait(), r.Close()))
	}
}
