package event

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/containust/containust/modules/sdk/state"
)

// Filter chooses events. The zero value is all that were kept.
type Filter struct {
	After  uint64    // only those with higher sequence numbers: where to go on
	Since  time.Time // only those that are not older; zero: all
	Names  []string  // only of these components; empty: all, and the project's own
	Types  []Type    // only of these types; empty: all
	Follow bool      // go on with what happens, until the context ends
}

func (f Filter) match(e Event) bool {
	return e.Seq > f.After && !e.Time.Before(f.Since) &&
		(len(f.Names) == 0 || slices.Contains(f.Names, e.Component)) &&
		(len(f.Types) == 0 || slices.Contains(f.Types, e.Type))
}

// GapError says that events between the one to go on after and the first one
// that is still there were kept no longer. Reading can go on after it.
type GapError struct {
	After uint64 // the last one that was read
	Next  uint64 // the first one that is there
}

// Error implements error.
func (e *GapError) Error() string {
	return fmt.Sprintf("the events between %d and %d are not kept any more", e.After, e.Next)
}

// followPause is how often a file is looked at that nothing was added to.
const followPause = 100 * time.Millisecond

// Read returns the events of the project with this state folder, in order. If it
// goes on after one and later ones are gone, the first thing is a [*GapError]. The
// end of the context ends it without an error.
func Read(ctx context.Context, dir string, filter Filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		r := reader{dir: dir, filter: filter, last: filter.After, yield: yield}
		for ctx.Err() == nil {
			again, err := r.pass(ctx)
			if err != nil {
				yield(Event{}, err)
				return
			}
			if !again {
				return
			}
		}
	}
}

type reader struct {
	dir    string
	filter Filter
	last   uint64 // the sequence number of the last event that was seen
	yield  func(Event, error) bool
}

// pass reads the files that there are, oldest first, and follows the newest until
// another takes its place: then it is to be called again.
func (r *reader) pass(ctx context.Context) (again bool, err error) {
	// All are opened before one is read: a rotation in between then takes none
	// away. One that it adds is seen by the next pass.
	var files []*os.File
	defer func() {
		for _, f := range files {
			err = errors.Join(err, f.Close())
		}
	}()
	for age := keepOld; age >= 0; age-- {
		f, err := os.Open(path(r.dir, age))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, fs.ErrPermission) {
			err = &state.AccessError{Dir: r.dir, Err: err}
		}
		if err != nil {
			return false, err
		}
		files = append(files, f)
	}
	for i, f := range files {
		lines := &lines{from: f}
		for {
			more, err := r.rest(lines)
			if err != nil || !more {
				return false, err
			}
			if i < len(files)-1 {
				break
			}
			if !r.filter.Follow {
				return false, nil
			}
			if replaced, err := r.replaced(f); replaced || err != nil {
				// What was written before it was replaced.
				more, restErr := r.rest(lines)
				return more && err == nil, errors.Join(err, restErr)
			}
			if !pause(ctx) {
				return false, nil
			}
		}
	}
	// No file yet.
	return r.filter.Follow && pause(ctx), nil
}

// rest reads to the end of a file. It is false when nobody wants more.
func (r *reader) rest(lines *lines) (more bool, err error) {
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		e, ok := parse(line)
		if !ok || e.Seq <= r.last {
			continue
		}
		if r.last > 0 && e.Seq > r.last+1 {
			if !r.yield(Event{}, &GapError{After: r.last, Next: e.Seq}) {
				return false, nil
			}
		}
		r.last = e.Seq
		if r.filter.match(e) && !r.yield(e, nil) {
			return false, nil
		}
	}
}

// replaced tells whether the current file is another one now.
func (r *reader) replaced(f *os.File) (bool, error) {
	now, err := os.Stat(path(r.dir, 0))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	return err == nil && !os.SameFile(now, info), err
}

// pause waits a moment; it is false when the context ended.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(followPause):
		return true
	case <-ctx.Done():
		return false
	}
}
