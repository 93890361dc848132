package supervise

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/sdk/state"
)

// Client asks a project's supervisor. Each method makes its own connection.
type Client struct {
	stateDir   string
	supervisor []string

	prepared chan dialed // of Prepare; nil: none under way
}

// dialed is a connection that nothing was asked on yet.
type dialed struct {
	conn *net.UnixConn
	err  error
}

// NewClient returns a client for the project with this state folder. supervisor
// is the complete command that runs [Serve] for it, beginning with the path of a
// program; it is started, with a guardian, when there is none. Without the
// command, a project without a supervisor gives an error that matches
// fs.ErrNotExist.
func NewClient(stateDir string, supervisor []string) *Client {
	return &Client{stateDir: stateDir, supervisor: supervisor}
}

// Prepare brings a supervisor up, in the background, where there is none: for a
// caller that is about to ask for something, and has other work until then. The
// next request goes to it; if there is none, Release lets it go. Neither may be
// called while another method runs.
func (c *Client) Prepare(ctx context.Context) {
	if c.prepared != nil || len(c.supervisor) == 0 {
		return
	}
	prepared := make(chan dialed, 1)
	c.prepared = prepared
	go func() {
		// What is begun is ended by Release, even if the caller gave up meanwhile.
		conn, err := c.bringUp(context.WithoutCancel(ctx))
		prepared <- dialed{conn, err}
	}()
}

// Release undoes Prepare, if nothing was asked since, and waits for the end of a
// supervisor that has nothing to do.
func (c *Client) Release(ctx context.Context) error {
	if c.prepared == nil {
		return nil
	}
	d := <-c.prepared
	c.prepared = nil
	if d.err != nil {
		return nil // nobody is there
	}
	return c.converse(ctx, d.conn, exchange{method: "release", params: struct{}{}})
}

// Running tells whether a supervisor answers.
func (c *Client) Running() bool {
	conn, err := c.connect()
	return err == nil && conn.Close() == nil
}

// State returns the supervisor's view of the project. One that ends just when it
// is asked, because it was killed or has nothing left to do, is asked again: the
// next one knows.
func (c *Client) State(ctx context.Context) (*state.State, error) {
	for try := 1; ; try++ {
		st := &state.State{}
		err := c.call(ctx, exchange{method: "state", params: struct{}{}, result: st})
		if try == 3 || !errors.Is(err, ErrLost) {
			return st, err
		}
	}
}

// Apply asks for [Supervisor.Apply].
func (c *Client) Apply(ctx context.Context, req ApplyRequest, emit func(Event)) error {
	return c.call(ctx, exchange{method: "apply", params: req, emit: emit})
}

// Stop asks for [Supervisor.Stop].
func (c *Client) Stop(ctx context.Context, req StopRequest, emit func(Event)) error {
	return c.call(ctx, exchange{method: "stop", params: req, emit: emit})
}

// Remove asks for [Supervisor.Remove].
func (c *Client) Remove(ctx context.Context, req RemoveRequest, emit func(Event)) error {
	return c.call(ctx, exchange{method: "remove", params: req, emit: emit})
}

// Wait asks for [Supervisor.Wait].
func (c *Client) Wait(ctx context.Context, req WaitRequest, emit func(Event)) (map[string]container.ExitStatus, error) {
	exits := map[string]container.ExitStatus{}
	return exits, c.call(ctx, exchange{method: "wait", params: req, result: &exits, emit: emit})
}

// Exec asks for [Supervisor.Exec]. On a terminal the process outlives the
// supervisor, and is waited for without it then.
func (c *Client) Exec(ctx context.Context, req ExecRequest, stdio ExecIO) (container.ExitStatus, error) {
	var exit container.ExitStatus
	conn, err := c.dial(ctx)
	if err != nil {
		return exit, err
	}
	done := make(chan struct{})
	defer close(done)
	go passSignals(conn, stdio.Signals, done)
	x := exchange{method: "exec", params: req, result: &exit}
	if req.Terminal == nil {
		x.files = stdio.Stdio[:]
		err = c.converse(ctx, conn, x)
		return exit, err
	}
	// Held from the start: of a process that is gone nobody can say how it ended.
	var process *sandbox.Process
	x.opened = func(s container.Session) error {
		var err error
		process, err = sandbox.Open(s.PID, s.StartTime)
		if err != nil && !errors.Is(err, sandbox.ErrNotProcess) {
			return err
		}
		return stdio.Opened(s)
	}
	err = c.converse(ctx, conn, x)
	if process == nil {
		return exit, err
	}
	if errors.Is(err, ErrLost) {
		exit, err = process.Wait(ctx)
	}
	return exit, errors.Join(err, process.Close())
}

// passSignals sends signals for the process of an exec, until done.
func passSignals(conn *net.UnixConn, signals <-chan os.Signal, done <-chan struct{}) {
	for {
		select {
		case sig := <-signals:
			s, ok := sig.(syscall.Signal)
			if !ok {
				continue
			}
			line, err := json.Marshal(control{Signal: int(s)})
			if err != nil {
				return
			}
			if _, err := conn.Write(append(line, '\n')); err != nil {
				return // the conversation sees the same
			}
		case <-done:
			return
		}
	}
}

// An exchange is a request and what becomes of its answers.
type exchange struct {
	method string
	params any
	files  []*os.File // passed beside the request
	result any        // pointer; nil: the final answer holds nothing

	emit   func(Event)                   // may be nil
	opened func(container.Session) error // of an exec on a terminal
}

func (c *Client) call(ctx context.Context, x exchange) error {
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	return c.converse(ctx, conn, x)
}

// converse makes one request on a connection, and closes it.
func (c *Client) converse(ctx context.Context, conn *net.UnixConn, x exchange) (err error) {
	// Hanging up is how a request is given up.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	from := newReceiver(conn)
	defer func() {
		if stop() {
			_ = conn.Close() // the answer is there, or an error that says more
		}
		err = errors.Join(err, from.close())
	}()
	if err := sendRequest(conn, x.method, x.params, x.files); err != nil {
		return given(ctx, err)
	}
	for lines := bufio.NewReader(from); ; {
		line, err := readLine(lines)
		if err != nil {
			return given(ctx, err)
		}
		var r reply
		if err := json.Unmarshal(line, &r); err != nil {
			return fmt.Errorf("understand the supervisor: %w", err)
		}
		switch {
		case r.Event != nil:
			if x.emit != nil {
				x.emit(*r.Event)
			}
			continue
		case r.Opened != nil:
			if err := x.open(r.Opened, from); err != nil {
				return err
			}
			continue
		}
		awaitEnds(ctx, conn, r.Ends)
		switch {
		case r.Error != nil:
			return r.Error
		case x.result != nil:
			return json.Unmarshal(r.Result, x.result)
		}
		return nil
	}
}

// open takes over the terminal that came beside an answer.
func (x exchange) open(o *opened, from *receiver) error {
	master, err := from.take()
	if err != nil {
		return fmt.Errorf("understand the supervisor: %w", err)
	}
	if x.opened == nil {
		return errors.Join(errors.New("understand the supervisor: nobody asked for a terminal"), master.Close())
	}
	return x.opened(container.Session{Master: master, PID: o.PID, StartTime: o.StartTime})
}

// endTime bounds how long a command waits for a project to leave the machine.
const endTime = 10 * time.Second

// awaitEnds closes the connection and waits until the processes, which lived
// while it was open, have ended.
func awaitEnds(ctx context.Context, conn *net.UnixConn, pids []int) {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	if slices.Contains(pids, os.Getpid()) {
		pids = nil // the supervisor is a part of this very process
	}
	var files []*os.File
	for _, pid := range pids {
		// Non-blocking, so that reading waits in the poller: a pidfd is readable
		// when its process has ended.
		if fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK); err == nil {
			files = append(files, os.NewFile(uintptr(fd), "pidfd"))
		}
	}
	_ = conn.Close()
	for _, f := range files {
		if deadline, ok := ctx.Deadline(); ok {
			_ = f.SetReadDeadline(deadline)
		}
		stop := context.AfterFunc(ctx, func() { _ = f.SetReadDeadline(time.Unix(1, 0)) })
		if raw, err := f.SyscallConn(); err == nil {
			_ = raw.Read(func(fd uintptr) bool {
				n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
				return n > 0 || err != nil && err != unix.EINTR
			})
		}
		stop()
		_ = f.Close()
	}
}

// given says why a connection ended: because the caller wanted it, or not.
func given(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrLost, err)
}

func (c *Client) connect() (*net.UnixConn, error) {
	var conn *net.UnixConn
	err := atSocket(c.stateDir, func(addr *net.UnixAddr) (err error) {
		conn, err = net.DialUnix("unix", nil, addr)
		return err
	})
	return conn, err
}

// startTime bounds how long a supervisor may take until it answers.
const startTime = 15 * time.Second

// dial returns a connection for a request.
func (c *Client) dial(ctx context.Context) (*net.UnixConn, error) {
	if c.prepared == nil {
		return c.bringUp(ctx)
	}
	d := <-c.prepared
	c.prepared = nil
	return d.conn, d.err
}

// bringUp connects to the supervisor, and brings one up where there is none.
func (c *Client) bringUp(ctx context.Context) (*net.UnixConn, error) {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	for {
		conn, err := c.connect()
		if err == nil {
			return conn, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("reach the project's supervisor: %w", err)
		}
		if len(c.supervisor) == 0 {
			return nil, fmt.Errorf("the project has no supervisor: %w", fs.ErrNotExist)
		}
		if err := c.startGuardian(ctx); err != nil {
			return nil, err
		}
	}
}

// startGuardian starts a guardian and returns when its supervisor answers, or,
// after a moment, when there is another guardian, whose supervisor will answer or
// which is about to end.
func (c *Client) startGuardian(ctx context.Context) (err error) {
	if err := os.MkdirAll(runDir(c.stateDir), 0o700); err != nil {
		return err
	}
	lock, err := state.Acquire(runDir(c.stateDir), "guardian.lock")
	if errors.Is(err, state.ErrLocked) {
		select {
		case <-time.After(5 * time.Millisecond):
			return nil
		case <-ctx.Done():
			return c.noAnswer(ctx)
		}
	}
	if err != nil {
		return err
	}
	defer closeInto(&err, lock)
	logFile, err := os.OpenFile(c.logFile(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer closeInto(&err, logFile)
	said, err := logFile.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	ready, readyWriter, err := os.Pipe()
	if err != nil {
		return err
	}
	defer closeInto(&err, ready)
	cmd, err := newGuardian(c.stateDir, c.supervisor, readyWriter, logFile, lock)
	if err != nil {
		return errors.Join(fmt.Errorf("make the project's guardian: %w", err), readyWriter.Close())
	}
	err = errors.Join(cmd.Start(), readyWriter.Close())
	for _, f := range cmd.ExtraFiles[:2] {
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return fmt.Errorf("start the project's guardian: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	answered := make(chan struct{})
	go func() {
		_, _ = ready.Read(make([]byte, 1)) // ends when nobody holds the other end
		close(answered)
	}()
	select {
	case <-answered:
	case err := <-ended:
		return c.guardianError(said, err)
	case <-ctx.Done():
		return c.noAnswer(ctx)
	}
	// Either the supervisor answers now, or it ended at once and says why.
	if c.Running() {
		return nil
	}
	select {
	case err := <-ended:
		return c.guardianError(said, err)
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

func (c *Client) logFile() string { return filepath.Join(runDir(c.stateDir), "supervisor.log") }

func (c *Client) noAnswer(ctx context.Context) error {
	return fmt.Errorf("the project's supervisor does not answer; see %s: %w", c.logFile(), ctx.Err())
}

// guardianError says what the supervisor wrote before it ended, and its guardian.
// One that had nothing to do and ended is no error.
func (c *Client) guardianError(from int64, err error) error {
	if err == nil {
		return nil
	}
	text, readErr := os.ReadFile(c.logFile())
	if readErr != nil || int64(len(text)) <= from {
		return fmt.Errorf("the project's supervisor could not start (see %s): %w", c.logFile(), err)
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text[from:])), "\n")
	return fmt.Errorf("the project's supervisor could not start: %s (see %s)", strings.TrimPrefix(first, "error: "), c.logFile())
}
