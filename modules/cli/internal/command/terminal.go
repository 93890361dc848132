package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/sdk"
)

// execOnTerminal runs a command on a terminal in a component, which the
// caller's terminal shows until the command ends.
func (a *app) execOnTerminal(ctx context.Context, eng *sdk.Engine, name string, e execution) (container.ExitStatus, error) {
	ctx, hangUp := context.WithCancelCause(ctx)
	defer hangUp(nil)
	s := &session{
		in: a.Stdin, out: a.Stdout, interactive: e.interactive,
		hangUp: hangUp, over: ctx.Done(),
	}
	defer s.restore()

	// Keys come as bytes or, without -i, as signals of the caller's terminal.
	signals, ending, unread := make(chan os.Signal, 16), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGQUIT)
	defer signal.Stop(signals)
	// A shell ignores SIGTERM, so that it means us.
	signal.Notify(ending, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(ending)
	go s.endBy(ending)
	// It would end us before the terminal is restored.
	signal.Notify(unread, syscall.SIGPIPE)
	defer signal.Stop(unread)
	e.Signals = signals

	e.Env = a.passTERM(e.Env)
	size := s.size()
	e.Terminal = &container.Terminal{Rows: size.Rows, Cols: size.Cols, Opened: s.begin}
	exit, err := eng.Exec(ctx, name, e.ExecOptions)
	if s.output != nil {
		err = errors.Join(err, s.output.finish(s.over))
	}
	return exit, cmp.Or(context.Cause(ctx), err)
}

// A session connects the caller's terminal with one in a container.
type session struct {
	in, out     *os.File
	interactive bool                    // pass what is typed
	hangUp      context.CancelCauseFunc // with an *exitError
	over        <-chan struct{}         // closed by hangUp

	// Of the container's terminal; nil before begin.
	master *os.File
	output *output

	mu       sync.Mutex
	before   *term.State // of the caller's terminal; nil: it is as it was
	restored bool        // for good
}

// begin takes over the container's terminal.
func (s *session) begin(opened container.Session) error {
	if err := s.makeRaw(); err != nil {
		return errors.Join(fmt.Errorf("read single keys from the terminal: %w", err), opened.Master.Close())
	}
	s.master = opened.Master
	if s.interactive {
		go s.enter()
	}
	s.output = showOutput(s.master, s.out, func(err error) { s.hangUp(notShown(err)) })
	go s.follow()
	return nil
}

// makeRaw leaves every key to the container's terminal. Twice is once.
func (s *session) makeRaw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.interactive || s.restored {
		return nil
	}
	before, err := term.MakeRaw(int(s.in.Fd()))
	if err == nil && s.before == nil {
		s.before = before
	}
	return err
}

// restore makes the caller's terminal what it was. The goroutines of a session do
// it at their end, so that a panic there leaves a usable terminal.
func (s *session) restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.before != nil {
		_ = term.Restore(int(s.in.Fd()), s.before) // it fails where the terminal is gone
		s.before = nil
	}
	s.restored = true
}

// enter types into the container what is typed here. It ends with the program.
func (s *session) enter() {
	defer s.restore()
	for keys := make([]byte, 4<<10); ; {
		n, err := s.in.Read(keys)
		if err != nil { // in raw mode a terminal has an end only when it is gone
			s.hangUp(&exitError{code: signalCode(syscall.SIGHUP)})
			return
		}
		if _, err := s.master.Write(keys[:n]); err != nil {
			return // nobody reads it any more; how the command ended says why
		}
	}
}

// follow gives the container's terminal the size of the caller's, and takes the
// latter over again after this program was stopped: the shell has used it.
func (s *session) follow() {
	defer s.restore()
	changes := make(chan os.Signal, 1)
	notifyWindow(changes)
	defer signal.Stop(changes)
	for {
		if sandbox.Resize(s.master, s.size()) != nil || s.makeRaw() != nil {
			return // one of the two terminals is gone
		}
		select {
		case <-changes:
		case <-s.over:
			return
		}
	}
}

// size is that of the caller's terminal.
func (s *session) size() sandbox.Terminal {
	cols, rows, err := term.GetSize(int(s.in.Fd()))
	if err != nil {
		return sandbox.Terminal{}
	}
	return sandbox.Terminal{Rows: uint16(rows), Cols: uint16(cols)}
}

// endBy hangs up when a signal says that this program shall end.
func (s *session) endBy(ending <-chan os.Signal) {
	select {
	case sig := <-ending:
		s.hangUp(&exitError{code: signalCode(sig)})
	case <-s.over:
	}
}

// passTERM says what kind of terminal this is, unless the command line does.
func (a *app) passTERM(env []string) []string {
	kind, ok := a.LookupEnv("TERM")
	for _, variable := range env {
		ok = ok && !strings.HasPrefix(variable, "TERM=")
	}
	if ok {
		env = append(env, "TERM="+kind)
	}
	return env
}
