package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Find returns the path of QEMU for an architecture ("amd64", "arm64"; empty:
// that of this program): from PATH, or where installers put it. None is an error
// that matches exec.ErrNotFound.
func Find(arch string) (string, error) {
	a, err := Spec{Arch: arch}.architecture()
	if err != nil {
		return "", fmt.Errorf("find QEMU: %w", err)
	}
	program, err := exec.LookPath(a.program)
	for _, dir := range installFolders(runtime.GOOS) {
		if err == nil {
			break
		}
		program, err = exec.LookPath(filepath.Join(dir, a.program))
	}
	if err != nil {
		return "", fmt.Errorf("find QEMU: %s: %w", a.program, exec.ErrNotFound)
	}
	return program, nil
}

// installFolders are where installers put QEMU without telling PATH.
func installFolders(goos string) []string {
	switch goos {
	case "darwin":
		return []string{"/opt/homebrew/bin", "/usr/local/bin", "/opt/local/bin"}
	case "windows":
		return []string{filepath.Join(os.Getenv("ProgramFiles"), "qemu")}
	}
	return nil
}

// Machine is a virtual machine that runs. Close ends it.
type Machine struct {
	folder string // of the ports' sockets
	ports  []string
	kill   context.CancelFunc
	done   chan struct{} // closed when QEMU has ended and result is set
	result error
	closed sync.Once
}

// Start starts a machine and returns at once: when its kernel is up, the guest
// has to say itself. The machine ends with the context, with Close, or with this
// process where the system allows it (Linux); the caller closes it.
func Start(ctx context.Context, spec Spec, opts Options) (*Machine, error) {
	program := opts.Program
	if program == "" {
		var err error
		if program, err = Find(spec.Arch); err != nil {
			return nil, err
		}
	}
	folder, err := os.MkdirTemp("", "ctst-vm-")
	if err != nil {
		return nil, fmt.Errorf("start machine: %w", err)
	}
	args, err := spec.Args(folder)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(folder))
	}
	ctx, cancel := context.WithCancel(ctx)
	m := &Machine{folder: folder, ports: spec.Ports, kill: cancel, done: make(chan struct{})}
	// What QEMU says about itself is its error when it ends with one.
	complaint := &tail{limit: 4 << 10}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = opts.Console, complaint
	if opts.Log != nil {
		cmd.Stderr = io.MultiWriter(complaint, opts.Log)
	}
	cmd.WaitDelay = time.Second
	started := make(chan error, 1)
	go func() {
		defer cancel()
		// The kernel ties the end of QEMU to that of the thread that starts it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		endWithParent(cmd)
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		m.result = ended(cmd.Wait(), context.Cause(ctx), complaint.String())
		close(m.done)
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(fmt.Errorf("start machine: %w", err), os.RemoveAll(folder))
	}
	return m, nil
}

// ErrKilled is what Wait matches when the machine was ended from outside.
var ErrKilled = errors.New("machine was killed")

func ended(err, cause error, complaint string) error {
	switch {
	case err == nil:
		return nil
	case cause != nil:
		return fmt.Errorf("%w: %w", ErrKilled, cause)
	case complaint != "":
		return fmt.Errorf("machine: QEMU: %w: %s", err, strings.TrimSpace(complaint))
	default:
		return fmt.Errorf("machine: QEMU: %w", err)
	}
}

// Wait waits until the machine has ended: nil when the guest switched itself off
// or restarted, which ends it too.
func (m *Machine) Wait() error {
	<-m.done
	return m.result
}

// Done is closed when the machine has ended.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Close ends the machine as a power failure would, and removes what it had on
// the host but its disks. Ports that are open end.
func (m *Machine) Close() error {
	var err error
	m.closed.Do(func() {
		m.kill()
		<-m.done
		err = os.RemoveAll(m.folder)
	})
	return err
}

// Dial connects to a port of the machine. What the guest writes before waits for
// it. One connection at a time: a second one is served when the first is closed.
// The caller closes it.
func (m *Machine) Dial(ctx context.Context, port string) (io.ReadWriteCloser, error) {
	if !slices.Contains(m.ports, port) {
		return nil, fmt.Errorf("dial port %q of the machine: %w", port, fs.ErrNotExist)
	}
	var dialer net.Dialer
	// QEMU makes the socket a moment after its start.
	for {
		conn, err := dialer.DialContext(ctx, "unix", filepath.Join(m.folder, port))
		if err == nil {
			return conn, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("dial port %q of the machine: %w", port, errors.Join(ctx.Err(), err))
		case <-m.done:
			return nil, fmt.Errorf("dial port %q of the machine, which has ended: %w", port, errors.Join(m.result, err))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A tail keeps the last bytes of what is written to it.
type tail struct {
	mu    sync.Mutex
	limit int
	bytes []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p...)
	t.bytes = t.bytes[max(0, len(t.bytes)-t.limit):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.bytes)
}
