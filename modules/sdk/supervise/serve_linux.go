package supervise

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// ServeOptions describe the supervisor of one project.
type ServeOptions struct {
	StateDir string

	// Open opens the backend. It is called once the supervisor knows that it is
	// the only one; Serve closes what it returns.
	Open func(ctx context.Context) (ProjectBackend, error)

	Ready  io.Closer    // closed once the socket answers; may be nil
	Logger *slog.Logger // nil discards
}

// ProjectBackend is a backend that holds things for a project as a whole.
type ProjectBackend interface {
	container.Backend
	// Release removes what the project as a whole has on the machine, such as
	// its network. No container runs when it is called.
	Release(ctx context.Context) error
	// Close lets go of everything; containers go on.
	Close() error
}

// graceTime is how long a supervisor with nothing to keep waits for a first
// command that gives it something. Questions alone don't end it: whoever asks
// is likely to go on.
const graceTime = 5 * time.Second

// Serve is a project's supervisor. It returns nil when the last container has
// ended and nobody is connected any more; everything the project had on the
// machine but its state folder is then gone. Another supervisor of the project
// makes it return an error that matches [state.ErrLocked].
func Serve(ctx context.Context, opts ServeOptions) (err error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(runDir(opts.StateDir), 0o700); err != nil {
		return err
	}
	lock, err := state.Acquire(opts.StateDir, "lock")
	if err != nil {
		return err
	}
	defer closeInto(&err, lock)
	guardian, guarded := Guardian()
	for name, pid := range map[string]int{"supervisor": os.Getpid(), guardianName: guardian} {
		if name == guardianName && !guarded {
			continue
		}
		if err := writePID(opts.StateDir, name, pid); err != nil {
			return err
		}
	}
	backend, err := opts.Open(ctx)
	if err != nil {
		return err
	}
	defer closeInto(&err, backend)

	life, letGo := context.WithCancel(ctx)
	defer letGo()
	s, err := NewSupervisor(life, backend, state.NewStore(opts.StateDir), opts.Logger)
	if err != nil {
		return err
	}
	listener, err := listen(opts.StateDir)
	if err != nil {
		return err
	}
	srv := &server{s: s, log: opts.Logger, listener: listener, guardian: guardian, touched: make(chan struct{}, 1)}
	go srv.accept(life)
	if opts.Ready != nil {
		if err := opts.Ready.Close(); err != nil {
			return err
		}
	}
	if err := srv.untilIdle(life); err != nil {
		return err
	}
	return errors.Join(backend.Release(ctx), removeRunFiles(opts.StateDir))
}

func closeInto(err *error, c io.Closer) { *err = errors.Join(*err, c.Close()) }

// listen makes the project's socket. The lock is held, so a socket that is
// there belongs to nobody.
func listen(stateDir string) (*net.UnixListener, error) {
	var l *net.UnixListener
	err := os.Remove(filepath.Join(runDir(stateDir), socketName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err = atSocket(stateDir, func(addr *net.UnixAddr) error {
		var err error
		if l, err = net.ListenUnix("unix", addr); err != nil {
			return err
		}
		l.SetUnlinkOnClose(false) // by then the address leads elsewhere
		return os.Chmod(addr.Name, 0o600)
	})
	return l, err
}

// server answers commands.
type server struct {
	s        *Supervisor
	log      *slog.Logger
	listener *net.UnixListener
	guardian int // its process id

	mu      sync.Mutex
	open    int  // connections
	served  bool // a command that may have ended what there was to keep
	touched chan struct{}
}

func (srv *server) accept(ctx context.Context) {
	for {
		conn, err := srv.listener.AcceptUnix()
		if err != nil {
			return // closed by untilIdle
		}
		srv.count(1)
		go func() {
			defer srv.count(-1)
			if err := srv.serve(ctx, conn); err != nil {
				srv.log.Warn("connection", "error", err)
			}
		}()
	}
}

func (srv *server) count(n int) {
	srv.mu.Lock()
	srv.open += n
	srv.mu.Unlock()
	select {
	case srv.touched <- struct{}{}:
	default:
	}
}

// untilIdle returns when there is nothing to keep and nobody to serve; the
// socket is gone then, so that nobody comes later.
func (srv *server) untilIdle(ctx context.Context) error {
	grace := time.After(graceTime)
	for waited := false; ; {
		srv.mu.Lock()
		idle := srv.open == 0 && (srv.served || waited)
		srv.mu.Unlock()
		if idle && srv.s.Idle() {
			return errors.Join(
				os.Remove(filepath.Join(runDir(srv.s.store.Dir()), socketName)),
				srv.listener.Close())
		}
		srv.s.mu.Lock()
		changed := srv.s.changed
		srv.s.mu.Unlock()
		select {
		case <-changed:
		case <-srv.touched:
		case <-grace:
			waited = true
		case <-ctx.Done():
			return errors.Join(ctx.Err(), srv.listener.Close())
		}
	}
}

// serve answers the one request of a connection.
func (srv *server) serve(ctx context.Context, conn *net.UnixConn) error {
	if err := checkPeer(conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	p, req, err := receiveRequest(conn)
	if errors.Is(err, io.EOF) {
		return conn.Close() // somebody only looked whether we are there
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	ctx, cancel := context.WithCancel(WithCaller(ctx, req.Caller))
	defer cancel()
	signals := make(chan syscall.Signal, 16)
	go func() {
		defer cancel() // the client hung up, or is done
		for {
			line, err := readLine(p.lines)
			if err != nil {
				return
			}
			var c control
			if json.Unmarshal(line, &c) == nil && c.Signal > 0 {
				select {
				case signals <- syscall.Signal(c.Signal):
				case <-ctx.Done():
					return
				}
			}
		}
	}()
	switch req.Method {
	case "apply", "stop", "remove", "release", "restart", "signal":
		srv.mu.Lock()
		srv.served = true
		srv.mu.Unlock()
	}
	out := newEventQueue(p)
	result, err := srv.call(ctx, req, p, signals, out.add)
	if err := out.flush(); err != nil {
		return errors.Join(err, p.close())
	}
	final := reply{}
	if err != nil {
		srv.log.Error(req.Method, "error", err)
		final.Error = newRemoteError(err)
	} else if final.Result, err = json.Marshal(result); err != nil {
		return errors.Join(err, p.close())
	}
	final.Ends = srv.ends()
	return errors.Join(p.send(final), p.close())
}

// ends returns the processes that are about to end once the connection that is
// being served is closed.
func (srv *server) ends() []int {
	srv.mu.Lock()
	alone := srv.open == 1 && srv.served
	srv.mu.Unlock()
	if !alone || !srv.s.Idle() {
		return nil
	}
	pids := []int{os.Getpid()}
	if pid, ok := Guardian(); ok && pid == srv.guardian { // it was not killed
		pids = append(pids, pid)
	}
	return pids
}

// untilAlone waits a moment for those who asked something before to be gone, so
// that who asks now can be told who ends. While something runs nobody does.
func (srv *server) untilAlone(ctx context.Context) {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		srv.mu.Lock()
		alone := srv.open == 1
		srv.mu.Unlock()
		if alone || !srv.s.Idle() {
			return
		}
	}
}

// call carries a request out.
func (srv *server) call(ctx context.Context, req request, p *peer, signals <-chan syscall.Signal, emit func(Event)) (any, error) {
	switch req.Method {
	case "state":
		return srv.s.tell(), nil
	case "release": // of one that was brought up in vain
		srv.untilAlone(ctx)
		return struct{}{}, nil
	case "apply":
		var params ApplyRequest
		if err := json.Unmarshal(req.Params, &params); err != nil {
			return nil, err
		}
		return struct{}{}, srv.s.Apply(ctx, params, emit)
	case "stop":
		var params StopRequest
		if err := json.Unmarshal(req.Params, &params); err != nil {
			return nil, err
		}
		return struct{}{}, srv.s.Stop(ctx, params, emit)
	case "remove":
		var params RemoveRequest
		if err := json.Unmarshal(req.Params, &params); err != nil {
			return nil, err
		}
		return struct{}{}, srv.s.Remove(ctx, params, emit)
	case "wait":
		var params WaitRequest
		if err := json.Unmarshal(req.Params, &params); err != nil {
			return nil, err
		}
		return srv.s.Wait(ctx, params.Names, emit)
	case "exec":
		var params ExecRequest
		if err := json.Unmarshal(req.Params, &params); err != nil {
			return nil, err
		}
		return srv.exec(ctx, params, p, signals)
	}
	if answer, ok, err := srv.control(ctx, req, p, emit); ok {
		return answer, err
	}
	return nil, fmt.Errorf("unknown method %q", req.Method)
}

func (srv *server) exec(ctx context.Context, params ExecRequest, p *peer, signals <-chan syscall.Signal) (container.ExitStatus, error) {
	opts := container.ExecOptions{
		Args: params.Args, Env: params.Env, WorkDir: params.WorkDir, User: params.User,
		Signals: signals,
	}
	files, want := p.from.files, 3
	if params.Terminal != nil {
		want = 0
	}
	if len(files) != want {
		return container.ExitStatus{}, fmt.Errorf("exec needs %d files, not %d", want, len(files))
	}
	if size := params.Terminal; size == nil {
		opts.Stdin, opts.Stdout, opts.Stderr = files[0], files[1], files[2]
	} else {
		// What the client has alone ends with the client, and not with us.
		opts.Terminal = &container.Terminal{Rows: size.Rows, Cols: size.Cols, Opened: func(s container.Session) error {
			return errors.Join(p.send(reply{Opened: &opened{PID: s.PID, StartTime: s.StartTime}}, s.Master), s.Master.Close())
		}}
	}
	result, err := srv.s.Exec(ctx, params.Name, opts)
	return result.Exit, err
}

// eventQueue sends events without ever making the supervisor wait for a client.
type eventQueue struct {
	p       *peer
	mu      sync.Mutex
	pending []Event
	closed  bool
	wake    chan struct{}
	sent    chan error
}

func newEventQueue(p *peer) *eventQueue {
	q := &eventQueue{p: p, wake: make(chan struct{}, 1), sent: make(chan error, 1)}
	go q.run()
	return q
}

func (q *eventQueue) add(e Event) {
	q.mu.Lock()
	q.pending = append(q.pending, e)
	q.mu.Unlock()
	q.poke()
}

func (q *eventQueue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// flush returns when everything added has been sent.
func (q *eventQueue) flush() error {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.poke()
	return <-q.sent
}

func (q *eventQueue) run() {
	var failed error
	for range q.wake {
		q.mu.Lock()
		events, closed := q.pending, q.closed
		q.pending = nil
		q.mu.Unlock()
		for i := range events {
			if failed == nil {
				failed = q.p.send(reply{Event: &events[i]})
			}
		}
		if closed {
			q.sent <- failed
			return
		}
	}
}

// writePID leaves a process id where a person, or a test, finds it. It need not
// outlive a power cut.
func writePID(stateDir, name string, pid int) error {
	return os.WriteFile(pidFile(stateDir, name), []byte(strconv.Itoa(pid)+"\n"), 0o600)
}

func pidFile(stateDir, name string) string { return filepath.Join(runDir(stateDir), name+".pid") }

// removeRunFiles removes what says how to find the project's processes, and how
// they ended.
func removeRunFiles(stateDir string) error {
	var failed error
	for _, path := range []string{pidFile(stateDir, "supervisor"), pidFile(stateDir, guardianName), endsFile(stateDir)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
