package sdk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/containust/containust/modules/sdk/logfile"
)

// Logs calls fn with each line that the chosen components wrote, one call at a
// time. The lines of one stream come in order; those of different streams come
// one stream after the other, or, when following, as they are written.
func (e *Engine) Logs(ctx context.Context, opts LogOptions, fn func(LogLine) error) error {
	st, err := e.current(ctx)
	if err != nil {
		return err
	}
	if err := known(st, opts.Names); err != nil {
		return err
	}
	names := opts.Names
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(st.Components))
	}
	both := opts.Stdout == opts.Stderr
	var streams []LogLine
	for _, name := range names {
		if both || opts.Stdout {
			streams = append(streams, LogLine{Component: name})
		}
		if both || opts.Stderr {
			streams = append(streams, LogLine{Component: name, Stderr: true})
		}
	}
	if !opts.Follow {
		for _, s := range streams {
			if err := e.readLog(ctx, s, opts, fn); err != nil {
				return err
			}
		}
		return nil
	}
	return e.follow(ctx, streams, opts, fn)
}

// LogPosition returns where the project's logs end now. The zero position, of a
// project that has written nothing, is not nil.
func (e *Engine) LogPosition() (LogPosition, error) {
	position := LogPosition{}
	paths, err := filepath.Glob(filepath.Join(filepath.Dir(logfile.Path(e.project.StateDir, "x", false)), "*"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile, with its component
		}
		if err != nil {
			return nil, err
		}
		position[filepath.Base(path)] = info.Size()
	}
	return position, nil
}

// follow reads all streams at once, until the context ends or nothing runs.
func (e *Engine) follow(ctx context.Context, streams []LogLine, opts LogOptions, fn func(LogLine) error) error {
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	one := func(line LogLine) error {
		mu.Lock()
		defer mu.Unlock()
		return fn(line)
	}
	results := make(chan error, len(streams))
	for _, s := range streams {
		go func() {
			err := e.readLog(reading, s, opts, one)
			if err != nil {
				stop() // whoever takes the lines wants no more
			}
			results <- err
		}()
	}
	names := make([]string, 0, len(streams))
	for _, s := range streams {
		if !slices.Contains(names, s.Component) {
			names = append(names, s.Component)
		}
	}
	_, waitErr := e.Wait(reading, names, nil)
	stop()
	var errs []error
	for range streams {
		errs = append(errs, <-results)
	}
	if waitErr != nil && !errors.Is(waitErr, context.Canceled) {
		errs = append(errs, waitErr)
	}
	return errors.Join(errs...)
}

// readLog reads one stream.
func (e *Engine) readLog(ctx context.Context, s LogLine, opts LogOptions, fn func(LogLine) error) (err error) {
	path := logfile.Path(e.project.StateDir, s.Component, s.Stderr)
	r, err := logfile.Open(ctx, path, logfile.Options{
		Tail: opts.Tail, Follow: opts.Follow, From: opts.After[filepath.Base(path)],
	})
	if errors.Is(err, fs.ErrNotExist) || err != nil && ctx.Err() != nil {
		return nil // it has written nothing
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for lines := bufio.NewReaderSize(r, 64<<10); ; {
		// A line that does not fit is passed on in pieces, to bound memory.
		text, err := lines.ReadSlice('\n')
		if len(text) > 0 {
			s.Text = bytes.TrimSuffix(text, []byte("\n"))
			if err := fn(s); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
