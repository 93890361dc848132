package native

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/logfile"
)

// streams are the names of a container's named pipes, in the order of file
// descriptors 1 and 2.
var streams = [2]string{"stdout", "stderr"}

// pipeSize is what a container may write while nobody reads; and moving data in
// pieces of this size reaches the speed of the disk.
const pipeSize = 1 << 20

func (b *Backend) logFile(name, stream string) string {
	return logfile.Path(b.opts.StateDir, name, stream == "stderr")
}

// pump moves what a container writes from its named pipe to a file. The kernel
// does the moving (splice(2)): what has left the pipe is in the file, so that
// killing this process at any moment neither loses nor doubles a byte.
type pump struct {
	name  string
	fifo  *os.File
	log   *logfile.Writer
	ended chan struct{}
}

// startPumps opens a container's pipes and files. Something must hold the pipes
// open for writing, or they count as ended.
func (b *Backend) startPumps(name string) (pumps []*pump, err error) {
	defer func() {
		if err != nil {
			for _, p := range pumps {
				p.stop()
			}
		}
	}()
	for _, stream := range streams {
		fifo, err := os.OpenFile(filepath.Join(b.dir(name), stream), os.O_RDONLY|unix.O_NONBLOCK, 0)
		if err != nil {
			return pumps, err
		}
		// A smaller pipe works too, and an unprivileged user may not get more.
		_, _ = unix.FcntlInt(fifo.Fd(), unix.F_SETPIPE_SZ, pipeSize)
		log, err := logfile.OpenWriter(b.logFile(name, stream), b.opts.LogLimits)
		if err != nil {
			return pumps, errors.Join(err, fifo.Close())
		}
		p := &pump{name: name + " " + stream, fifo: fifo, log: log, ended: make(chan struct{})}
		pumps = append(pumps, p)
		b.tasks.Go(func() {
			defer close(p.ended)
			err := errors.Join(p.run(b.log), p.log.Close(), p.fifo.Close())
			if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				b.log.Error("log", "stream", p.name, "error", err)
			}
		})
	}
	return pumps, nil
}

// retryWrite is how long a log that cannot be written, for want of space say,
// waits before it tries again. The container waits once its pipe is full.
const retryWrite = 250 * time.Millisecond

// run moves data until the last writer is gone or the pipe is closed.
func (p *pump) run(log *slog.Logger) error {
	pipe, err := p.fifo.SyscallConn()
	if err != nil {
		return err
	}
	for failing := false; ; {
		var revents int16
		if err := pipe.Read(func(fd uintptr) bool { revents = pending(fd); return revents != 0 }); err != nil {
			return err
		}
		if revents&unix.POLLIN == 0 {
			return nil // the last writer is gone
		}
		err := p.move(pipe)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case errors.Is(err, os.ErrDeadlineExceeded):
			return err
		case err != nil:
			if !failing {
				log.Error("log cannot be written; what is written waits in the pipe", "stream", p.name, "error", err)
			}
			failing = true
			time.Sleep(retryWrite)
		default:
			if failing {
				log.Info("log is written again", "stream", p.name)
			}
			failing = false
		}
	}
}

// pending returns what poll(2) says about a pipe: POLLIN if there is something in
// it, POLLHUP if nobody is left who could write to it.
func pending(pipe uintptr) int16 {
	fds := []unix.PollFd{{Fd: int32(pipe), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds, 0); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fds[0].Revents
}

// move moves what is in the pipe.
func (p *pump) move(pipe syscall.RawConn) error {
	// The time is written first: a reader that sees the bytes sees it too.
	if err := p.log.Begin(time.Now()); err != nil {
		return err
	}
	file, err := p.log.Data().SyscallConn()
	if err != nil {
		return err
	}
	var n int64
	var moveErr error
	err = pipe.Read(func(from uintptr) bool {
		err := file.Control(func(to uintptr) {
			n, moveErr = unix.Splice(int(from), nil, int(to), nil, min(p.log.Room(), pipeSize), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		})
		moveErr = errors.Join(moveErr, err)
		return true
	})
	if err = errors.Join(err, moveErr); err != nil {
		return err
	}
	return p.log.Added(n)
}

// stop ends the pump at once; what is in the pipe stays there.
func (p *pump) stop() { _ = p.fifo.SetReadDeadline(time.Unix(1, 0)) }

// drainTime bounds how long the end of a container waits until what it wrote is
// in its log: the disk may be full, and somebody else may have its pipe.
const drainTime = 5 * time.Second

// drain returns when everything that a container wrote is in its files, or after
// drainTime. All of the container's processes have ended.
func (b *Backend) drain(pumps []*pump) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for _, p := range pumps {
		select {
		case <-p.ended:
			continue
		case <-ctx.Done():
		}
		b.log.Error("log given up: it cannot be written, or another process has its pipe", "stream", p.name)
		p.stop()
		<-p.ended
	}
}

// Logs returns what a container wrote.
func (b *Backend) Logs(ctx context.Context, id container.ID, opts container.LogOptions) (io.ReadCloser, error) {
	path := logfile.Path(b.opts.StateDir, string(id), opts.Stderr)
	return logfile.Open(ctx, path, logfile.Options{
		Tail: opts.Tail, Follow: opts.Follow, Since: opts.Since, Until: opts.Until,
	})
}
