// Command guest runs the tests that need a kernel in a virtual machine with
// Debian's kernel, which has what the machine at hand may lack: cgroup v2 with
// all controllers, and an age. `make test-vm` calls it.
//
//	go run ./integration/guest [-v] [-run REGEXP] [-guests 1] [PACKAGE…]
//
// Packages are named as the go command takes them; without any it runs all that
// have a test for Linux alone, or one that uses core/kerneltest. It prints what
// `go test` prints. Nothing may be skipped there but what this program lists
// with a reason.
//
// Two guests run side by side, each package in the one that is free.
//
// It needs Linux, QEMU, mke2fs, and some programs that the guest gets from this
// machine (busybox, ip, nft, newuidmap); hack/setup test-vm installs them. No
// privileges are needed. The kernel comes from Debian's package once and stays in
// bin/vm.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containust/containust/modules/vm/qemu"
)

// options are what the command line says.
type options struct {
	patterns []string
	run      string
	verbose  bool
	systemd  bool
	accel    string
	kernel   string
	memory   int64 // MiB
	guests   int
	cpus     int
	timeout  time.Duration
	each     time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.run, "run", "", "run only tests that match this `regexp`")
	flag.BoolVar(&o.verbose, "v", false, "print the output of all tests, and the machine's console")
	flag.BoolVar(&o.systemd, "systemd", false, "let systemd run the machine, and run the tests that need it")
	flag.StringVar(&o.accel, "accel", string(qemu.TCG), "kvm or tcg")
	flag.StringVar(&o.kernel, "kernel", "", "use the kernel in this `folder`, an unpacked package of Debian's")
	flag.Int64Var(&o.memory, "memory", 2048, "a machine's memory in `MiB`")
	flag.IntVar(&o.guests, "guests", 2, "run as many `machines` side by side")
	flag.IntVar(&o.cpus, "cpus", 2, "a machine's `processors`")
	flag.DurationVar(&o.timeout, "timeout", 20*time.Minute, "end the machines after this time")
	flag.DurationVar(&o.each, "each", 8*time.Minute, "end a package's tests after this time")
	flag.Parse()
	o.patterns = flag.Args()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// When nobody reads what is printed, the machine still has to be ended.
	signal.Ignore(syscall.SIGPIPE)
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	top, err := topFolder(ctx)
	if err != nil {
		return err
	}
	cache := filepath.Join(top, "bin", "vm")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	begin := time.Now()
	k, err := findKernel(ctx, cache, o.kernel)
	if err != nil {
		return err
	}
	if o.systemd && len(o.patterns) == 0 {
		o.patterns = systemdSuites
	}
	suites, err := findSuites(ctx, top, o.patterns)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp(cache, "run-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	systemd := ""
	if o.systemd {
		if systemd, err = findSystemd(ctx, cache); err != nil {
			return err
		}
	}
	g, err := prepare(ctx, work, k, systemd, suites, o)
	if err != nil {
		return err
	}
	fmt.Printf("guest: Linux %s, %d packages, prepared in %.1f s\n", k.release, len(suites), time.Since(begin).Seconds())
	return boot(ctx, g, o)
}
