package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
)

// Exec runs a process inside a running container.
func (b *Backend) Exec(ctx context.Context, id container.ID, opts container.ExecOptions) (result container.ExecResult, err error) {
	c, r, err := b.running(id)
	if err != nil {
		return result, err
	}
	b.mu.Lock()
	l := &launch{backend: b, cfg: c.record.Config, ids: b.ids.from(c.record.FirstID), user: c.record.User}
	b.mu.Unlock()
	if opts.User != "" {
		if l.user, err = b.lookupUser(r, opts.User); err != nil {
			return result, err
		}
	}
	l.cfg.Args = opts.Args
	l.cfg.Env = merge(l.cfg.Env, opts.Env)
	if opts.WorkDir != "" {
		l.cfg.WorkDir = opts.WorkDir
	}
	command, err := l.command()
	if err != nil {
		return result, err
	}
	spec := sandbox.ExecSpec{Command: command}
	spec.Stdin, spec.Stdout, spec.Stderr = opts.Stdin, opts.Stdout, opts.Stderr
	if opts.Terminal != nil {
		if opts.Terminal.Opened == nil {
			return result, errors.New("exec: nobody takes the terminal")
		}
		spec.Terminal = &sandbox.Terminal{Rows: opts.Terminal.Rows, Cols: opts.Terminal.Cols}
	}
	if err := givePipes(l.ids, l.user, opts.Stdin, opts.Stdout, opts.Stderr); err != nil {
		return result, err
	}
	if r.cgroup != nil {
		spec.Cgroup = r.cgroup.File()
	}
	p, err := sandbox.Exec(ctx, r.process, spec, sandbox.Options{Logger: b.log})
	if errors.Is(err, unix.EAGAIN) && r.cgroup != nil {
		return result, fmt.Errorf("%s may have reached its limit of processes, pids: %w", id, err)
	}
	if err != nil {
		return result, commandError(err)
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	ended := make(chan struct{})
	defer close(ended)
	go pass(ctx, p, opts, ended)
	if opts.Terminal != nil {
		if opened := open(p, opts.Terminal); opened != nil {
			_ = p.Signal(unix.SIGKILL) // it may have ended meanwhile
			defer func() { err = errors.Join(opened, err) }()
		}
	}
	result.Exit, err = p.Wait(context.WithoutCancel(ctx))
	return result, err
}

// open gives the terminal of a process to who asked for it.
func open(p *sandbox.Process, t *container.Terminal) error {
	startTime, err := p.StartTime()
	if err != nil {
		return errors.Join(err, p.Terminal().Close())
	}
	return t.Opened(container.Session{Master: p.Terminal(), PID: p.PID(), StartTime: startTime})
}

// hangUpTime is how long a process may go on whose terminal is gone: a shell
// writes its history.
const hangUpTime = 5 * time.Second

// pass gives a process the signals that are for it, until it has ended. It ends
// one that nobody waits for any more.
func pass(ctx context.Context, p *sandbox.Process, opts container.ExecOptions, ended <-chan struct{}) {
	for {
		select {
		case sig := <-opts.Signals:
			_ = p.Signal(sig) // it may have ended meanwhile
		case <-ctx.Done():
			if opts.Terminal == nil {
				killGroup(p)
				return
			}
			_ = p.Signal(unix.SIGHUP)
			select {
			case <-time.After(hangUpTime):
				_ = p.Signal(unix.SIGKILL)
			case <-ended:
			}
			return
		case <-ended:
			return
		}
	}
}

// killGroup ends a process, and with it what it has started and left in its
// session: a check that takes too long must not leave its own children behind.
func killGroup(p *sandbox.Process) {
	const processGroup = 1 << 2 // PIDFD_SIGNAL_PROCESS_GROUP, Linux 6.9
	var err error
	if conn, connErr := p.PIDFD().SyscallConn(); connErr == nil {
		_ = conn.Control(func(fd uintptr) {
			err = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, processGroup)
		})
	}
	if errors.Is(err, unix.EINVAL) {
		// An earlier kernel. While the process is there, nobody else has its number.
		_ = unix.Kill(-p.PID(), unix.SIGKILL)
	}
	_ = p.Signal(unix.SIGKILL) // it may have ended meanwhile
}

// givePipes lets the container's user open its own streams anew, as
// /dev/stdout, where they are pipes: they belong to who made them. Files and
// terminals stay their owners'.
func givePipes(ids idmap.IDs, user userRecord, streams ...*os.File) error {
	uid, gid, err := ids.Host(user.UID, user.GID)
	if err != nil {
		return fmt.Errorf("%w: a container has the ids 0–%d", err, idmap.Size-1)
	}
	for _, f := range streams {
		if f == nil {
			continue
		}
		info, err := f.Stat()
		if err == nil && info.Mode().Type() == fs.ModeNamedPipe {
			err = f.Chown(int(uid), int(gid))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) lookupUser(r *run, spec string) (userRecord, error) {
	root, err := os.OpenFile(fmt.Sprintf("/proc/%d/root", r.process.PID()), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return userRecord{}, err
	}
	user, err := rootfs.LookupUser(root, spec)
	return userRecord{UID: user.UID, GID: user.GID, Groups: user.Groups, Home: user.Home}, errors.Join(err, root.Close())
}

// merge returns env with more over it.
func merge(env, more []string) []string {
	var merged []string
	for _, kv := range env {
		key, _, _ := strings.Cut(kv, "=")
		replaced := false
		for _, m := range more {
			replaced = replaced || strings.HasPrefix(m, key+"=")
		}
		if !replaced {
			merged = append(merged, kv)
		}
	}
	return append(merged, more...)
}

// Probe makes one health check, from inside the container.
func (b *Backend) Probe(ctx context.Context, id container.ID, check container.Health) error {
	switch {
	case len(check.Command) > 0:
		result, err := b.Exec(ctx, id, container.ExecOptions{Args: check.Command})
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("the check took longer than %v", check.Timeout)
		case err == nil && (result.Exit.Code != 0 || result.Exit.Unknown):
			return fmt.Errorf("the check %s", result.Exit)
		}
		return err
	case check.HTTP != "":
		return unanswered(ctx, check, b.probeHTTP(ctx, id, check.HTTP))
	}
	conn, err := b.dial(ctx, id, fmt.Sprintf("127.0.0.1:%d", check.TCP))
	if err != nil {
		return unanswered(ctx, check, err)
	}
	return conn.Close()
}

// unanswered says of a check that failed since its time was over just that.
func unanswered(ctx context.Context, check container.Health, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("no answer within %v", check.Timeout)
}

func (b *Backend) probeHTTP(ctx context.Context, id container.ID, target string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1"+target, nil)
	if err != nil {
		return err
	}
	req.Close = true
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		return b.dial(ctx, id, addr)
	}}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req) // no redirects: where they lead says nothing about this container
	if err != nil {
		return err
	}
	if err := resp.Body.Close(); err != nil {
		return err
	}
	if resp.StatusCode >= 400 {
		return fmt.Errorf("GET %s: %s", target, resp.Status)
	}
	return nil
}

// dial connects from inside the container's network namespace.
func (b *Backend) dial(ctx context.Context, id container.ID, addr string) (net.Conn, error) {
	c, r, err := b.running(id)
	if err != nil {
		return nil, err
	}
	if c.record.Config.Network.Mode == container.NetworkHost {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}
	b.mu.Lock()
	if r.netns == nil {
		r.netns, err = namespace.Open(r.process.PID(), namespace.Network)
	}
	var ns *os.File
	if err == nil {
		ns, err = duplicate(r.netns) // the run's own may be closed under a slow dial
	}
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	conn, err := network.DialIn(ctx, ns, "tcp", addr)
	return conn, errors.Join(err, ns.Close())
}
