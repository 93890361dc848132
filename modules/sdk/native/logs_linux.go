package native

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
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
	file  *os.File
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
		// Not O_APPEND: splice refuses such a file.
		file, err := os.OpenFile(b.logFile(name, stream), os.O_WRONLY|os.O_CREATE, 0o600)
		if err == nil {
			_, err = file.Seek(0, io.SeekEnd)
		}
		if err != nil {
			return pumps, errors.Join(err, fifo.Close())
		}
		p := &pump{name: name + " " + stream, fifo: fifo, file: file, ended: make(chan struct{})}
		pumps = append(pumps, p)
		b.tasks.Go(func() {
			defer close(p.ended)
			err := errors.Join(p.run(b), p.file.Close(), p.fifo.Close())
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
func (p *pump) run(b *Backend) error {
	pipe, err := p.fifo.SyscallConn()
	if err != nil {
		return err
	}
	file, err := p.file.SyscallConn()
	if err != nil {
		return err
	}
	for failing := false; ; {
		var n int64
		var moveErr error
		err := pipe.Read(func(from uintptr) bool {
			controlErr := file.Control(func(to uintptr) {
				n, moveErr = unix.Splice(int(from), nil, int(to), nil, pipeSize, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			})
			moveErr = errors.Join(moveErr, controlErr)
			return !errors.Is(moveErr, unix.EAGAIN)
		})
		switch {
		case err != nil:
			return err
		case errors.Is(moveErr, unix.EINTR):
		case moveErr != nil:
			if !failing {
				b.log.Error("log cannot be written", "stream", p.name, "error", moveErr)
			}
			failing = true
			time.Sleep(retryWrite)
		case n == 0:
			return nil
		default:
			failing = false
		}
	}
}

// stop ends the pump at once; what is in the pipe stays there.
func (p *pump) stop() { _ = p.fifo.SetReadDeadline(time.Unix(1, 0)) }

// drain returns when everything that was written is in the file. All writers
// have ended.
func (p *pump) drain() { <-p.ended }

// Logs returns what a container wrote.
func (b *Backend) Logs(ctx context.Context, id container.ID, opts container.LogOptions) (io.ReadCloser, error) {
	path := logfile.Path(b.opts.StateDir, string(id), opts.Stderr)
	return logfile.Open(ctx, path, logfile.Options{Tail: opts.Tail, Follow: opts.Follow})
}
