package rootless

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/sandbox"
)

// Needed tells whether this process must go through Run to work with
// containers: it is an ordinary user's.
func Needed() bool { return os.Geteuid() != 0 }

// Inside tells whether this process is in a user namespace such as Run makes:
// who is root here is not the machine's.
func Inside() (bool, error) {
	ids, err := idmap.Own()
	if err != nil {
		return false, fmt.Errorf("rootless: %w", err)
	}
	return os.Geteuid() == 0 && !ids.Everybody(), nil
}

// Run starts a program, args[0] is its path, in a namespace and waits for its
// end. It has this process's standard streams, working folder and terminal.
// Signals that would end this process are passed on; those of a terminal it gets
// by itself. Ending ctx does not end it.
func Run(ctx context.Context, args, env []string, opts Options) (_ container.ExitStatus, err error) {
	failed := func(err error) (container.ExitStatus, error) {
		return container.ExitStatus{}, fmt.Errorf("rootless: %w", err)
	}
	ids, alone := idmap.Caller()
	if alone != nil {
		env = append(env, aloneVariable+"="+alone.Error())
	}
	user, err := find(opts.Join)
	if err == nil && user == nil {
		user, err = prepare(ctx, ids)
	}
	if err != nil {
		return failed(err)
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	p, err := sandbox.Enter(ctx, user, args, env)
	// The process keeps the namespace now.
	if err := errors.Join(err, user.Close()); err != nil {
		return failed(err)
	}
	ended := make(chan struct{})
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		for {
			select {
			case sig := <-signals:
				if s, ok := sig.(syscall.Signal); ok && !fromTerminal(s) {
					_ = p.Signal(s) // it may have ended meanwhile
				}
			case <-ended:
				return
			}
		}
	}()
	exit, err := p.Wait(context.WithoutCancel(ctx))
	close(ended)
	<-passed
	if err := errors.Join(err, p.Close()); err != nil {
		return failed(err)
	}
	return exit, nil
}

// prepare makes a user namespace.
func prepare(ctx context.Context, ids idmap.IDs) (*os.File, error) {
	ns, err := sandbox.Prepare(ctx, ids, sandbox.PrepareOptions{})
	if err != nil {
		return nil, err
	}
	return ns.User, nil
}

// fromTerminal guesses whether a signal came from a key: then the terminal has
// sent it to the whole group of processes, and once is enough.
func fromTerminal(sig syscall.Signal) bool {
	if sig != syscall.SIGINT && sig != syscall.SIGQUIT {
		return false
	}
	tty, err := os.OpenFile("/dev/tty", os.O_RDONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return false // there is none
	}
	defer tty.Close() //nolint:errcheck // only asked
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// aloneVariable tells the program inside why it has one id only.
const aloneVariable = "CONTAINUST_SINGLE_ID"

// Alone tells, inside, why the namespace has no id but root's; empty when it has
// more.
func Alone() string { return os.Getenv(aloneVariable) }
