package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"time"
)

// Options choose what to read. The zero value is everything there is now.
type Options struct {
	Tail   int   // only the last lines; zero: all
	Follow bool  // go on with what is added; the stream need not exist yet
	From   int64 // skip so many bytes of the stream; one that was shorter was begun anew and is read whole

	// Only lines that began at Since or later, and at Until or earlier, as
	// exactly as the index knows. Zero: no bound.
	Since, Until time.Time
}

// pollInterval is how often a followed stream is looked at.
const pollInterval = 20 * time.Millisecond

// bufferSize bounds what a reader holds, and the length of a piece of a line.
const bufferSize = 64 << 10

// Line is a line of a stream, or a piece of one that is longer than 64 KiB.
type Line struct {
	Time time.Time // when its first byte came
	Text []byte    // without the newline; valid until the next call
	Open bool      // no newline follows: the line goes on in the next piece, or the stream ends
}

// Reader reads a stream. Use either Next or Read.
type Reader struct {
	path   string
	follow bool
	done   <-chan struct{}
	until  time.Time

	files   segments // from the one being read on
	end     int64    // of what is wanted
	pos     int64    // of the first byte in the buffer
	buf     []byte
	from    int
	to      int
	entries []entry // from the one that holds for pos on

	began   time.Time // when the line came of which a piece was returned
	within  bool      // it has not ended yet
	jump    int64     // where to go on once the buffer is empty; -1: where it ended
	lines   int
	skipped int64
}

// Open opens a stream. Without Options.Follow one that does not exist is
// fs.ErrNotExist; what is added later, or removed, does not matter. With it, Read
// waits for more until the context ends. The caller closes the reader.
func Open(ctx context.Context, path string, opts Options) (*Reader, error) {
	r := &Reader{
		path: path, follow: opts.Follow, done: ctx.Done(), until: opts.Until,
		end: math.MaxInt64, jump: -1, buf: make([]byte, bufferSize),
	}
	var err error
	if r.files, err = openSegments(path); err != nil {
		if opts.Follow && errors.Is(err, fs.ErrNotExist) {
			return r, nil
		}
		return nil, err
	}
	if err := r.seek(opts); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// seek finds the first and the last byte that are wanted.
func (r *Reader) seek(opts Options) error {
	end, err := r.files.end()
	if err != nil {
		return err
	}
	if !opts.Follow {
		r.end = end
	}
	if !opts.Until.IsZero() {
		last, err := r.files.find(end, opts.Until.Before)
		if err != nil {
			return err
		}
		if last < end {
			if end, err = r.files.lineStart(last, end); err != nil {
				return err
			}
			r.end = end
		}
	}
	start := r.files[0].base
	if opts.From <= end {
		start = max(start, opts.From)
	}
	if !opts.Since.IsZero() {
		first, err := r.files.find(end, func(t time.Time) bool { return !t.Before(opts.Since) })
		if err == nil && first > start {
			start, err = r.files.lineStart(first, end)
		}
		if err != nil {
			return err
		}
	}
	if opts.Tail > 0 {
		if start, r.lines, err = r.files.tail(start, end, opts.Tail); err != nil {
			return err
		}
	}
	r.goTo(start)
	return nil
}

// lineStart returns the first place from off on where a line begins, or end.
func (all segments) lineStart(off, end int64) (int64, error) {
	if off <= all[0].base {
		return off, nil
	}
	buf := make([]byte, bufferSize)
	for at := off - 1; at < end; {
		n, err := all.ReadAt(buf[:min(int64(len(buf)), end-at)], at)
		if i := bytes.IndexByte(buf[:n], '\n'); i >= 0 {
			return at + int64(i) + 1, nil
		}
		at += int64(n)
		if n == 0 {
			return end, ignoreEOF(err)
		}
	}
	return end, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// tail returns where the last n lines between two places begin, and how many
// there are.
func (all segments) tail(low, end int64, n int) (start int64, lines int, err error) {
	buf := make([]byte, bufferSize)
	for i := len(all) - 1; i >= 0; i-- {
		s := all[i]
		first := max(low, s.base)
		at, err := s.end()
		if err != nil {
			return 0, 0, err
		}
		for at = min(at, end); at > first; {
			size := min(int64(len(buf)), at-first)
			at -= size
			if _, err := s.data.ReadAt(buf[:size], at-s.base); err != nil {
				return 0, 0, err
			}
			for i := size - 1; i >= 0; i-- {
				if buf[i] != '\n' || at+i == end-1 {
					continue // the newline that ends the last line begins none
				}
				if lines++; lines == n {
					return at + i + 1, n, nil
				}
			}
		}
	}
	if low < end {
		lines++ // the one that begins there
	}
	return low, lines, nil
}

// Lines returns how many lines there were to read when a reader with
// Options.Tail was opened.
func (r *Reader) Lines() int { return r.lines }

// Skipped returns how many bytes, since the last call, were removed before a
// reader that follows had come to them.
func (r *Reader) Skipped() int64 {
	n := r.skipped
	r.skipped = 0
	return n
}

// Over tells whether a reader that follows, and has nothing now, will have no
// more: the time of Options.Until has passed.
func (r *Reader) Over() bool {
	return r.pos+int64(r.to-r.from) >= r.end || !r.until.IsZero() && time.Since(r.until) > 2*entryInterval
}

// Finish makes a reader that follows end with what there is now.
func (r *Reader) Finish() { r.follow = false }

// Ready tells whether the next line is at hand.
func (r *Reader) Ready() bool { return bytes.IndexByte(r.buf[r.from:r.to], '\n') >= 0 }

// Next returns the next line, and io.EOF if there is none now; when following,
// there may be one later, and a line that has not ended is none.
func (r *Reader) Next() (Line, error) {
	for seen := 0; ; {
		text := r.buf[r.from:r.to]
		if i := bytes.IndexByte(text[seen:], '\n'); i >= 0 {
			return r.take(seen+i, 1), nil
		}
		if len(text) == len(r.buf) {
			return r.take(len(text), 0), nil
		}
		seen = len(text)
		err := r.fill()
		switch {
		case err == nil:
		case len(text) > 0 && (errors.Is(err, errJump) || errors.Is(err, io.EOF) && !r.follow):
			return r.take(len(text), 0), nil
		default:
			return Line{}, err
		}
	}
}

// take returns n bytes of the buffer, and skips the newline after them.
func (r *Reader) take(n, newline int) Line {
	if !r.within {
		r.began = r.time()
	}
	r.within = newline == 0
	line := Line{Time: r.began, Text: r.buf[r.from : r.from+n], Open: r.within}
	r.from += n + newline
	r.pos += int64(n + newline)
	return line
}

// time returns when the byte at the reader's place came.
func (r *Reader) time() time.Time {
	for len(r.entries) > 1 && r.entries[1].offset <= r.pos {
		r.entries = r.entries[1:]
	}
	return time.Unix(0, r.entries[0].time)
}

// Read reads bytes as they were written. It waits when following.
func (r *Reader) Read(p []byte) (int, error) {
	for r.from == r.to {
		err := r.fill()
		if errors.Is(err, io.EOF) && r.follow && !r.Over() {
			select {
			case <-time.After(pollInterval):
			case <-r.done:
				r.Finish() // with what came between the last look and the end
			}
			continue
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf[r.from:r.to])
	r.from += n
	r.pos += int64(n)
	return n, nil
}

// errJump says that what follows does not adjoin what is in the buffer.
var errJump = errors.New("bytes are missing")

// fill reads more into the buffer, which is not full, or returns io.EOF if there
// is no more now.
func (r *Reader) fill() error {
	if r.from > 0 {
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	}
	if r.jump >= 0 {
		if r.to > 0 {
			return errJump
		}
		r.goTo(r.jump)
	}
	for {
		n, err := r.readMore()
		if n > 0 {
			r.to += n
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		switch {
		case r.pos+int64(r.to) >= r.end:
			return io.EOF
		case len(r.files) > 1:
			err := r.files[0].close()
			if r.files = r.files[1:]; err != nil {
				return err
			}
			continue
		case !r.follow:
			return io.EOF
		}
		if err := r.refresh(); err != nil {
			return err
		}
	}
}

// readMore reads from the first file what the buffer has room for, and what the
// index says about that.
func (r *Reader) readMore() (int, error) {
	at := r.pos + int64(r.to)
	if len(r.files) == 0 || at >= r.end {
		return 0, io.EOF
	}
	s := r.files[0]
	n, err := s.data.ReadAt(r.buf[r.to:min(int64(len(r.buf)), int64(r.to)+r.end-at)], at-s.base)
	if n == 0 {
		return 0, err
	}
	if err := r.learn(s, at+int64(n)); err != nil {
		return 0, err
	}
	if r.end < at+int64(n) { // the time is over
		n = int(max(r.end-at, 0))
	}
	return n, nil
}

// learn reads what the index says about the bytes before a place. They are there,
// and so is what it says.
func (r *Reader) learn(s *segment, before int64) (err error) {
	add := func(e entry) bool {
		if e.offset >= before {
			return false
		}
		if r.follow && !r.until.IsZero() && time.Unix(0, e.time).After(r.until) && e.offset >= r.pos {
			r.end = min(r.end, e.offset)
		}
		if e.offset <= r.pos {
			r.entries = r.entries[:0]
		}
		r.entries = append(r.entries, e)
		return true
	}
	if s.index != nil {
		s.indexAt, err = scanIndex(s.index, s.indexAt, add)
	}
	if err == nil && len(r.entries) == 0 {
		var e entry
		if e, err = s.guess(); err == nil {
			add(e)
		}
	}
	return err
}

// goTo continues at a place.
func (r *Reader) goTo(pos int64) {
	r.pos, r.jump, r.within, r.entries = pos, -1, false, nil
}

// refresh looks whether the stream goes on in another file than the last known
// one, which has been read to its end. It returns io.EOF if not.
func (r *Reader) refresh() error {
	info, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return io.EOF // between two steps of a rotation, or removed
	}
	if err != nil {
		return err
	}
	at := r.pos + int64(r.to)
	if len(r.files) > 0 {
		known, err := r.files[0].data.Stat()
		if err != nil {
			return err
		}
		if os.SameFile(info, known) {
			return io.EOF
		}
		if r.files[0].base+known.Size() > at {
			return nil // that came after we looked, and before it was renamed
		}
	}
	files, err := openSegments(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return io.EOF
	}
	if err != nil {
		return err
	}
	return r.replace(files, at)
}

// replace goes on in other files than before.
func (r *Reader) replace(files segments, at int64) error {
	anew := len(r.files) == 0
	if !anew {
		// Removed and begun anew, or only removed because it is old?
		anew = files[0].base <= r.files[0].base
		old, err := r.files[0].data.Stat()
		for _, s := range files {
			var info os.FileInfo
			if err == nil {
				info, err = s.data.Stat()
			}
			anew = anew && err == nil && !os.SameFile(old, info)
		}
		if err = errors.Join(err, r.files.close()); err != nil {
			r.files = files
			return err
		}
	}
	r.files = files
	end, err := files.end()
	first := files[0].base
	switch {
	case err != nil:
		return err
	case anew || at > end:
		r.jump = first
	case at < first:
		r.skipped += first - at
		r.jump = first
	default:
		for len(r.files) > 1 && r.files[1].base <= at {
			err = errors.Join(err, r.files[0].close())
			r.files = r.files[1:]
		}
		return err
	}
	if r.to > 0 {
		return errJump
	}
	r.goTo(r.jump)
	return nil
}

// Close closes the files.
func (r *Reader) Close() error {
	err := r.files.close()
	r.files = nil
	return err
}
