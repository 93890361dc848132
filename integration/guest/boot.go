package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/containust/containust/integration/guest/job"
	"github.com/containust/containust/modules/vm/qemu"
)

// boot runs the machines until they switch themselves off, and prints what their
// tests say. What went wrong is the error.
func boot(ctx context.Context, m machine, o options) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done after %v (-timeout)", o.timeout))
	defer cancel()
	start := time.Now()
	results := newResults(os.Stdout, m.jobs, o)
	results.started = start
	failed := make([]error, len(m.disks))
	var guests sync.WaitGroup
	for i := range m.disks {
		guests.Go(func() { failed[i] = runOne(ctx, m, i, o, results) })
	}
	guests.Wait()
	problems := results.problems()
	for _, err := range failed {
		if err != nil {
			problems = append(problems, err.Error())
		}
	}
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	fmt.Printf("guest: booted in %.1f s, done after %.0f s\n", results.booted.Seconds(), time.Since(start).Seconds())
	return nil
}

// runOne runs one of the machines.
func runOne(ctx context.Context, m machine, number int, o options, results *results) (err error) {
	console := &lastLines{}
	spec := qemu.Spec{
		Accel: qemu.Accel(o.accel), CPUs: o.cpus, Memory: o.memory << 20,
		Kernel: m.kernel.image, Initrd: m.initrd,
		Append: []string{
			"quiet",
			// A machine in trouble ends at once instead of standing still.
			"panic=-1", "oops=panic", "sysctl.vm.panic_on_oom=1",
			// A busy host delays the ticks that the kernel would look for.
			"no_timer_check",
			// Against attacks between guests that we don't have; they cost time.
			"mitigations=off",
		},
		Disks:   []qemu.Disk{{Path: m.disks[number], Scratch: true}},
		Ports:   []string{job.Port},
		Sandbox: runtime.GOOS == "linux",
	}
	var to io.Writer = console
	if o.verbose {
		to = io.MultiWriter(console, os.Stderr)
	}
	vm, err := qemu.Start(ctx, spec, qemu.Options{Console: to, Log: to})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	port, err := vm.Dial(ctx, job.Port)
	if err != nil {
		return err
	}
	defer port.Close()
	all, err := results.read(port)
	if err != nil {
		return err
	}
	// The port ends with the machine.
	if ended := vm.Wait(); ended != nil || !all {
		return fmt.Errorf("machine %d ended too early: %w; the last lines of its console:\n%s", number+1, cause(ctx, ended), console)
	}
	return nil
}

// cause says why the machine ended, in the words of who ended it.
func cause(ctx context.Context, ended error) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if ended == nil {
		return errors.New("it switched itself off")
	}
	return ended
}

// lastLines keeps the end of what is written to it.
type lastLines struct {
	mu   sync.Mutex
	text []byte
}

// consoleBytes is how much of the console is kept, and consoleLines how much of
// that is shown.
const (
	consoleBytes = 32 << 10
	consoleLines = 60
)

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	l.text = bytes.Clone(l.text[max(0, len(l.text)-consoleBytes):])
	return len(p), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(string(l.text), "\r", "")), "\n")
	return "\t" + strings.Join(lines[max(0, len(lines)-consoleLines):], "\n\t")
}
