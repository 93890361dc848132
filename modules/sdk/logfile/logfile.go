// Package logfile reads the files in which a project keeps what its containers
// wrote.
//
//	r, err := logfile.Open(ctx, logfile.Path(stateDir, "web", false), logfile.Options{Tail: 20, Follow: true})
//	io.Copy(os.Stdout, r)
//
// The files hold exactly the bytes that were written. The package is portable
// and needs nothing but the right to read the files.
package logfile

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// Path returns the log file of a component in a state folder: of its standard
// error, or else of its standard output.
func Path(stateDir, name string, stderr bool) string {
	suffix := ".out"
	if stderr {
		suffix = ".err"
	}
	return filepath.Join(stateDir, "logs", name+suffix)
}

// Options choose what to read. The zero value is everything there is now.
type Options struct {
	Tail   int   // only the last lines; zero: all
	Follow bool  // wait for more until the context ends
	From   int64 // skip so many bytes; a shorter file was begun anew and is read whole
}

// pollInterval is how often a followed file is looked at.
const pollInterval = 50 * time.Millisecond

// Open opens a log. With Options.Follow its reader ends with the context, with
// io.EOF, and the file need not exist yet. The caller closes it.
func Open(ctx context.Context, path string, opts Options) (io.ReadCloser, error) {
	f, err := os.Open(path)
	for opts.Follow && errors.Is(err, os.ErrNotExist) {
		select {
		case <-time.After(pollInterval):
			f, err = os.Open(path)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	if opts.From > 0 {
		if err := skip(f, opts.From); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if opts.Tail > 0 {
		if err := seekTail(f, opts.Tail); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if !opts.Follow {
		return f, nil
	}
	return &follower{File: f, done: ctx.Done()}, nil
}

// skip moves to a place that the file may not have any more.
func skip(f *os.File, to int64) error {
	info, err := f.Stat()
	if err != nil || info.Size() < to {
		return err
	}
	_, err = f.Seek(to, io.SeekStart)
	return err
}

// seekTail moves to the start of the last n lines.
func seekTail(f *os.File, n int) error {
	at, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	end, lines := at, 0
	for at > 0 {
		size := min(int64(len(buf)), at)
		at -= size
		if _, err := f.ReadAt(buf[:size], at); err != nil {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if buf[i] != '\n' || at+i == end-1 {
				continue // the newline that ends the last line begins none
			}
			if lines++; lines == n {
				_, err := f.Seek(at+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// follower reads on when more was written.
type follower struct {
	*os.File
	done <-chan struct{}
}

func (f *follower) Read(p []byte) (int, error) {
	for {
		n, err := f.File.Read(p)
		if n > 0 || !errors.Is(err, io.EOF) {
			return n, err
		}
		select {
		case <-time.After(pollInterval):
		case <-f.done:
			return f.File.Read(p) // what came between the last look and the end
		}
	}
}
