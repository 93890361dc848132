package native

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
)

// defaultStopTimeout is how long a process has to end after its stop signal.
const defaultStopTimeout = 10 * time.Second

// watch waits for a process's end, and leaves nothing of it behind.
func (b *Backend) watch(name string, c *instance, r *run) {
	exit, err := r.process.Wait(b.life)
	if b.life.Err() != nil {
		return
	}
	if err != nil {
		b.log.Error("wait", "container", name, "error", err)
		exit = container.ExitStatus{Unknown: true}
	}
	if exit.Unknown {
		b.mu.Lock()
		rec := c.record
		b.mu.Unlock()
		exit = b.missedExit(rec)
	}
	exit.OutOfMemory = b.outOfMemory(name, r.cgroup, exit)
	if err := b.cleanUp(context.Background(), name, r); err != nil {
		b.log.Error("clean up", "container", name, "error", err)
	}
	b.drain(r.logs)
	b.noteEnd(name, c, exit)
	b.mu.Lock()
	err = r.close()
	b.mu.Unlock()
	if err != nil {
		b.log.Error("close", "container", name, "error", err)
	}
	close(r.done)
}

func (b *Backend) noteEnd(name string, c *instance, exit container.ExitStatus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c.run = nil
	c.record.PID, c.record.StartTime = 0, 0
	c.record.Exit, c.record.Finished = &exit, time.Now()
	if err := b.save(c); err != nil {
		b.log.Error("save record", "container", name, "error", err)
	}
}

// cleanUp removes a run's kernel objects: processes that are still there, the
// cgroup, the interface.
func (b *Backend) cleanUp(ctx context.Context, name string, r *run) error {
	var err error
	if r.cgroup != nil {
		err = r.cgroup.Kill()
		if err == nil {
			err = r.cgroup.WaitEmpty(ctx)
		}
		if err == nil {
			err = r.cgroup.Remove(ctx)
		}
	}
	if r.cgroup == nil && r.process != nil {
		err = b.kill(r)
	}
	return errors.Join(err, b.net.detach(ctx, name))
}

// Stop ends a container's processes.
func (b *Backend) Stop(ctx context.Context, id container.ID, opts container.StopOptions) error {
	c, err := b.instance(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c.operation.Lock()
	defer c.operation.Unlock()
	b.mu.Lock()
	cfg, r := c.record.Config, c.run
	b.mu.Unlock()
	if r == nil {
		return nil
	}
	timeout := opts.Timeout
	if timeout == 0 {
		timeout = cfg.StopTimeout
	}
	if timeout == 0 {
		timeout = defaultStopTimeout
	}
	if timeout > 0 {
		if r.cgroup != nil { // what is paused hears nothing
			if err := r.cgroup.Thaw(ctx); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		asked, err := b.ask(cfg, r)
		if err != nil {
			return err
		}
		if asked {
			select {
			case <-r.done:
				return nil
			case <-time.After(timeout):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	if err := b.kill(r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kill ends all processes of a run at once.
func (b *Backend) kill(r *run) error {
	if r.cgroup != nil {
		err := r.cgroup.Kill()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just ended by itself
		}
		return err
	}
	// The first process of a pid namespace takes all others with it.
	if err := r.process.Signal(unix.SIGKILL); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// ask sends the stop signal. It is false if the process would not notice: the
// kernel drops signals for the first process of a pid namespace that it neither
// catches nor waits for, so waiting would be in vain.
func (b *Backend) ask(cfg container.Config, r *run) (bool, error) {
	sig, err := ParseSignal(cfg.StopSignal)
	if err != nil {
		return false, err
	}
	if sig != unix.SIGKILL && !cfg.Init { // an init passes it on
		notices, err := noticesSignal(r.process.PID(), sig)
		if err != nil || !notices {
			return false, err
		}
	}
	if err := r.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return false, err
	}
	return true, nil
}

// ParseSignal returns the signal that a name or number means; empty is SIGTERM.
func ParseSignal(name string) (syscall.Signal, error) {
	if name == "" {
		return unix.SIGTERM, nil
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n <= 64 {
		return syscall.Signal(n), nil
	}
	full := strings.ToUpper(name)
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if sig := unix.SignalNum(full); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", name)
}

// noticesSignal tells whether a process catches a signal or keeps it blocked, as
// programs do that wait for it. While one waits with sigtimedwait(2) it is not
// blocked.
func noticesSignal(pid int, sig syscall.Signal) (bool, error) {
	for range looks {
		if notices, err := catches(pid, sig); err != nil || notices {
			return notices, err
		}
		call, err := os.ReadFile(fmt.Sprintf("/proc/%d/syscall", pid))
		if err != nil {
			return true, nil // to wait in vain is better than to kill who would have listened
		}
		switch number, _, _ := strings.Cut(string(call), " "); strings.TrimSpace(number) {
		case strconv.Itoa(unix.SYS_RT_SIGTIMEDWAIT):
			return true, nil
		case "running": // just out of that call, or into it
			time.Sleep(time.Millisecond)
		default:
			return catches(pid, sig) // it may have come out of that call since
		}
	}
	return false, nil
}

// looks is how often a process is looked at that has no time for it.
const looks = 20

// catches reads from /proc/pid/status (proc(5)) whether a process catches a signal
// or blocks it.
func catches(pid int, sig syscall.Signal) (bool, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // it ended: whoever waits sees that
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if key != "SigCgt" && key != "SigBlk" {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil {
			return false, err
		}
		if mask&(1<<(uint(sig)-1)) != 0 {
			return true, nil
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, unix.ESRCH) {
		return false, err
	}
	return false, nil
}
