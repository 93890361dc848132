package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// GuardOptions describe a project's guardian.
type GuardOptions struct {
	StateDir   string
	Supervisor []string // the command that runs Serve, complete

	// Settle is called once the guardian is the only one, before it starts
	// anything: it moves the process to where the project's are to live. What it
	// returns is called when nothing of the project runs any more. May be nil.
	Settle func(ctx context.Context) (leave func() error)

	// Ready is passed to the first supervisor as its file 3, which that closes
	// once it answers; the guardian closes its own. May be nil.
	Ready  *os.File
	Logger *slog.Logger // nil discards
}

// Guard is a project's guardian: it runs the supervisor, and runs it again when
// it dies, until it ends by itself. The containers of a dead supervisor become
// the guardian's children, so that their ends are seen: it writes down how each
// ended. It returns nil at once when the project turns out to have a supervisor
// already.
//
// It reaps every child of the calling process, so that process should do
// nothing else.
func Guard(ctx context.Context, opts GuardOptions) (err error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(runDir(opts.StateDir), 0o700); err != nil {
		return err
	}
	lock, err := acquireGuardian(ctx, opts.StateDir)
	if lock == nil || err != nil {
		return err
	}
	defer closeInto(&err, lock)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	if err := writePID(opts.StateDir, "guardian"); err != nil {
		return err
	}
	leave := func() error { return nil }
	if opts.Settle != nil {
		leave = opts.Settle(ctx)
	}
	// Closing a terminal is no reason to leave containers without a guardian.
	// Catching, unlike ignoring, is not inherited by what we start.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT)

	first := true
	for backoff := newBackoff(); ; first = false {
		began := time.Now()
		pid, err := startSupervisor(opts)
		if err != nil {
			return err
		}
		opts.Ready = nil
		status, err := reapUntil(pid, opts)
		if err != nil {
			return err
		}
		if status.Exited() && status.ExitStatus() == 0 {
			return errors.Join(leave(), removePID(opts.StateDir, "guardian"), removeExits(opts.StateDir))
		}
		if first && status.Exited() && time.Since(began) < startTime {
			return fmt.Errorf("the supervisor could not start: it exited with code %d", status.ExitStatus())
		}
		backoff.ran(time.Since(began))
		opts.Logger.Error("supervisor ended", "status", uint32(status))
		select {
		case <-time.After(backoff.next() - firstBackoff): // the first time at once
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// acquireGuardian takes the guardian's place. While an earlier guardian is about
// to end it waits; nil without an error means that nobody is needed.
func acquireGuardian(ctx context.Context, stateDir string) (*os.File, error) {
	for ctx, cancel := context.WithTimeout(ctx, startTime); ; {
		lock, err := state.Acquire(runDir(stateDir), "guardian.lock")
		if err == nil || !errors.Is(err, state.ErrLocked) {
			cancel()
			return lock, err
		}
		if NewClient(stateDir, nil).Running() {
			cancel()
			return nil, nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			cancel()
			return nil, err
		}
	}
}

func startSupervisor(opts GuardOptions) (int, error) {
	attr := &os.ProcAttr{Files: []*os.File{nil, nil, os.Stderr}, Env: os.Environ(), Dir: "/"}
	if opts.Ready != nil {
		attr.Files = append(attr.Files, opts.Ready)
		attr.Env = append(attr.Env, readyVariable+"=3")
	}
	p, err := os.StartProcess(opts.Supervisor[0], opts.Supervisor, attr)
	if opts.Ready != nil {
		err = errors.Join(err, opts.Ready.Close())
	}
	if err != nil {
		return 0, fmt.Errorf("start the supervisor: %w", err)
	}
	pid := p.Pid
	return pid, p.Release() // it is reaped with all others
}

// reapUntil reaps children until the process pid has ended.
func reapUntil(pid int, opts GuardOptions) (syscall.WaitStatus, error) {
	for {
		var status syscall.WaitStatus
		child, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil:
			return 0, fmt.Errorf("wait for children: %w", err)
		case child == pid:
			return status, nil
		}
		if err := noteExit(opts.StateDir, child, status); err != nil {
			opts.Logger.Error("note an exit", "pid", child, "error", err)
		}
	}
}

// readyVariable tells a guardian and a supervisor which of their files to close
// once the supervisor answers.
const readyVariable = "CONTAINUST_READY_FD"

// ReadyFile returns the file that whoever started this process wants to see
// closed when it is ready; nil if nobody waits.
func ReadyFile() (*os.File, error) {
	text := os.Getenv(readyVariable)
	if text == "" {
		return nil, nil
	}
	fd, err := strconv.Atoi(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", readyVariable, err)
	}
	unix.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "ready"), os.Unsetenv(readyVariable)
}

// exitRecord is a line of the file in which a guardian notes how its adopted
// children ended.
type exitRecord struct {
	PID  int                  `json:"pid"`
	Exit container.ExitStatus `json:"exit"`
	Time time.Time            `json:"time"`
}

func exitsFile(stateDir string) string { return filepath.Join(runDir(stateDir), "exits") }

func noteExit(stateDir string, pid int, status syscall.WaitStatus) error {
	exit := container.ExitStatus{Code: status.ExitStatus()}
	if status.Signaled() {
		exit.Signal = int(status.Signal())
		exit.Code = 128 + exit.Signal
	}
	line, err := json.Marshal(exitRecord{PID: pid, Exit: exit, Time: time.Now()})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(exitsFile(stateDir), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// FindExit returns how the process pid ended after the given time, if a
// guardian of the project reaped it.
func FindExit(stateDir string, pid int, after time.Time) (container.ExitStatus, bool, error) {
	f, err := os.Open(exitsFile(stateDir))
	if errors.Is(err, os.ErrNotExist) {
		return container.ExitStatus{}, false, nil
	}
	if err != nil {
		return container.ExitStatus{}, false, err
	}
	var found container.ExitStatus
	ok := false
	for dec := json.NewDecoder(f); ; {
		var r exitRecord
		err := dec.Decode(&r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break // the last line may be half written yet
		}
		if err != nil {
			return found, false, errors.Join(fmt.Errorf("read %s: %w", f.Name(), err), f.Close())
		}
		if r.PID == pid && r.Time.After(after) {
			found, ok = r.Exit, true
		}
	}
	return found, ok, f.Close()
}

func removeExits(stateDir string) error {
	if err := os.Remove(exitsFile(stateDir)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
