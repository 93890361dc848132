package sdk

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containust/containust/modules/sdk/logfile"
)

// Logs calls fn with each line that the chosen components wrote: those of one
// stream in order, those of several in the order of time, as exactly as their
// indexes know it. When following, lines are shown when they come. It never holds
// more than some 64 KiB of each stream.
func (e *Engine) Logs(ctx context.Context, opts LogOptions, fn func(LogLine) error) (err error) {
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
	m := logMerge{fn: fn}
	defer func() { err = errors.Join(err, m.close()) }()
	for _, name := range names {
		if err := m.open(ctx, e.project.StateDir, name, opts); err != nil {
			return err
		}
	}
	if opts.Follow {
		return e.follow(ctx, &m, names)
	}
	return m.drain(ctx)
}

// LogPosition returns where the project's logs end now. The zero position, of a
// project that has written nothing, is not nil.
func (e *Engine) LogPosition() (LogPosition, error) {
	position := LogPosition{}
	entries, err := os.ReadDir(filepath.Dir(logfile.Path(e.project.StateDir, "x", false)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, entry := range entries {
		name, stderr := strings.CutSuffix(entry.Name(), ".err")
		name, stdout := strings.CutSuffix(name, ".out")
		if !stdout && !stderr {
			continue
		}
		if position[entry.Name()], err = logfile.End(logfile.Path(e.project.StateDir, name, stderr)); err != nil {
			return nil, err
		}
	}
	return position, nil
}

// followInterval is how often followed logs are looked at.
const followInterval = 20 * time.Millisecond

// follow shows lines as they come, until the context ends or nothing runs.
func (e *Engine) follow(ctx context.Context, m *logMerge, names []string) error {
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		_, err := e.Wait(waiting, names, nil)
		ended <- err
	}()
	defer func() {
		stop()
		<-ended
	}()
	for {
		err := m.drain(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case m.over():
			m.finish()
			return m.drain(ctx)
		}
		select {
		case <-time.After(followInterval):
		case <-ctx.Done():
			return nil
		case err := <-ended:
			ended <- nil // for who waits until nobody asks any more
			m.finish()
			return errors.Join(m.drain(ctx), err)
		}
	}
}
