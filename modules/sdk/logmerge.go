package sdk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/containust/containust/modules/sdk/logfile"
)

// logMerge brings the lines of several streams into the order of time.
type logMerge struct {
	fn      func(LogLine) error
	streams []*logStream
}

// logStream is one of them.
type logStream struct {
	*logfile.Reader
	component *logTail
	line      LogLine // the next one
	ready     bool    // it is there
}

// logTail is shared by the streams of a component: as the last lines of each are
// read, but only the last ones of all are to be shown, some are skipped.
type logTail struct{ skip int }

// open adds a component's streams.
func (m *logMerge) open(ctx context.Context, stateDir, name string, opts LogOptions) error {
	both := opts.Stdout == opts.Stderr
	component := &logTail{skip: -opts.Tail}
	for _, stderr := range []bool{false, true} {
		if wanted := opts.Stdout && !stderr || opts.Stderr && stderr; !both && !wanted {
			continue
		}
		path := logfile.Path(stateDir, name, stderr)
		r, err := logfile.Open(ctx, path, logfile.Options{
			Tail: opts.Tail, Follow: opts.Follow, From: opts.After[filepath.Base(path)],
			Since: opts.Since, Until: opts.Until,
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has written nothing
		}
		if err != nil {
			return err
		}
		component.skip += r.Lines()
		m.streams = append(m.streams, &logStream{
			Reader: r, component: component,
			line: LogLine{Component: name, Stderr: stderr},
		})
	}
	return nil
}

// drain shows the lines that are there.
func (m *logMerge) drain(ctx context.Context) error {
	for {
		next, others, err := m.next()
		if err != nil || next == nil {
			return err
		}
		next.line.More = others || next.Ready()
		next.ready = false
		if next.component.skip > 0 {
			if !next.line.Open {
				next.component.skip--
			}
			continue
		}
		if err := m.fn(next.line); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// next returns the stream with the earliest line that is there, or nil; and
// whether others have one too. The pieces of a long line are as old as its
// beginning, so that they stay together.
func (m *logMerge) next() (first *logStream, others bool, err error) {
	for _, s := range m.streams {
		if err := s.fetch(); err != nil {
			return nil, false, err
		}
		if !s.ready {
			continue
		}
		others = others || first != nil
		if first == nil || s.line.Time.Before(first.line.Time) {
			first = s
		}
	}
	return first, others, nil
}

// fetch reads the next line if it is there.
func (s *logStream) fetch() error {
	if s.ready {
		return nil
	}
	line, err := s.Next()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	s.line.Time, s.line.Text, s.line.Open, s.line.Skipped = line.Time, line.Text, line.Open, s.Skipped()
	s.ready = true
	return nil
}

// finish makes the streams end with what they hold now.
func (m *logMerge) finish() {
	for _, s := range m.streams {
		s.Finish()
	}
}

// over tells whether streams that have no lines now will have no more.
func (m *logMerge) over() bool {
	for _, s := range m.streams {
		if !s.Over() {
			return false
		}
	}
	return true
}

func (m *logMerge) close() (err error) {
	for _, s := range m.streams {
		err = errors.Join(err, s.Close())
	}
	return err
}
