package logfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// Limits bound what a stream takes on disk. The zero value is 3 files of 10 MiB.
type Limits struct {
	// Size is the bytes, with the index, from which on a file is done; it may
	// grow by some hundred KiB more until a line ends. Zero: 10 MiB.
	Size int64
	// Files is how many are kept, with the one that is written. Zero: 3. One is as
	// good as two: what was written last must not vanish with the next line.
	Files int
}

const (
	defaultSize  = 10 << 20
	defaultFiles = 3
)

// endOfLine is how much more than its size a file may hold because its last
// line has not ended, and endStep how much is added to it at once then.
const (
	endOfLine = 1 << 20
	endStep   = 64 << 10
)

// entryInterval is the least time between two entries of an index.
const entryInterval = 10 * time.Millisecond

// Writer adds to a stream.
type Writer struct {
	path   string
	limits Limits

	base, size int64 // of the newest file
	data       *os.File
	index      *os.File
	indexSize  int64
	last       entry // of the index; valid if indexSize is not 0
}

// OpenWriter opens a stream for writing, or makes it. What a writer before this
// one has left half done is put right. The folder must be there.
func OpenWriter(path string, limits Limits) (*Writer, error) {
	if limits.Size <= 0 {
		limits.Size = defaultSize
	}
	if limits.Files == 0 {
		limits.Files = defaultFiles
	}
	w := &Writer{path: path, limits: limits}
	if err := w.open(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

func (w *Writer) open() error {
	bases, _, err := older(w.path)
	if err != nil {
		return err
	}
	if len(bases) > 0 {
		last := bases[len(bases)-1]
		info, err := os.Stat(olderPath(w.path, last))
		if err != nil {
			return err
		}
		w.base = last + info.Size()
	}
	// Not O_APPEND: splice(2) refuses such a file.
	if w.data, err = os.OpenFile(w.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if w.size, err = w.data.Seek(0, io.SeekEnd); err != nil {
		return err
	}
	if w.index, err = os.OpenFile(indexPath(w.path, w.base), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	w.indexSize, err = scanIndex(w.index, 0, func(e entry) bool {
		if e.offset < w.base || e.offset >= w.base+w.size {
			return false // after a power cut; or nothing came after it any more
		}
		w.last = e
		return true
	})
	if err != nil {
		return err
	}
	return w.index.Truncate(w.indexSize)
}

// Data returns the file to add to, at its offset, between [Writer.Begin] and
// [Writer.Added]. It stays the writer's.
func (w *Writer) Data() *os.File { return w.data }

// Begin notes that something is about to be added.
func (w *Writer) Begin(now time.Time) error {
	at := w.indexSize
	if at > 0 {
		since := now.UnixNano() - w.last.time
		if since >= 0 && since < int64(entryInterval) {
			return nil
		}
		if w.last.offset == w.base+w.size {
			at -= entrySize // nothing came
		}
	}
	e := entry{offset: w.base + w.size, time: now.UnixNano()}
	if _, err := w.index.WriteAt(e.append(nil), at); err != nil {
		return err
	}
	w.last, w.indexSize = e, at+entrySize
	return nil
}

// Room is how many bytes to add at once at most.
func (w *Writer) Room() int { return int(max(w.limits.Size-w.size-w.indexSize, endStep)) }

// Added notes that n bytes have been added. If they are the last ones of their
// file, the next file is begun; an error of that leaves the stream as it was, so
// that writing may go on.
func (w *Writer) Added(n int64) error {
	w.size += n
	over := w.size + w.indexSize - w.limits.Size
	if over < 0 || w.size == 0 {
		return nil
	}
	if over < endOfLine {
		var last [1]byte
		if _, err := w.data.ReadAt(last[:], w.size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			return nil
		}
	}
	return w.rotate()
}

// Write adds to the stream.
func (w *Writer) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if err = w.Begin(time.Now()); err != nil {
			return n, err
		}
		var written int
		written, err = w.data.Write(p[n:min(len(p), n+w.Room())])
		n += written
		err = errors.Join(err, w.Added(int64(written)))
	}
	return n, err
}

// rotate begins the next file.
func (w *Writer) rotate() error {
	// First of all, since it makes room where there may be none.
	if err := w.prune(); err != nil {
		return err
	}
	next := &Writer{path: w.path, limits: w.limits, base: w.base + w.size}
	if err := next.create(olderPath(w.path, w.base)); err != nil {
		return errors.Join(err, next.Close())
	}
	err := w.Close()
	*w = *next
	return err
}

// nextSuffix is of a file that is about to be the newest.
const nextSuffix = ".next"

// create makes the files, and gives the one that was the newest its other name.
func (w *Writer) create(old string) (err error) {
	if w.index, err = os.OpenFile(indexPath(w.path, w.base), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	fresh := w.path + nextSuffix
	if w.data, err = os.OpenFile(fresh, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	if err := os.Rename(w.path, old); err != nil {
		return err
	}
	if err := os.Rename(fresh, w.path); err != nil {
		return errors.Join(err, os.Rename(old, w.path))
	}
	return nil
}

// prune removes all older files but those that are kept beside the newest and
// the next one, and indexes that belong to none.
func (w *Writer) prune() error {
	bases, indexes, err := older(w.path)
	if err != nil {
		return err
	}
	first := w.base
	if kept := min(w.limits.Files-2, len(bases)); kept > 0 {
		first = bases[len(bases)-kept]
	}
	var names []string
	for _, base := range bases {
		if base < first {
			names = append(names, olderPath(w.path, base))
		}
	}
	for _, base := range indexes {
		if base < first {
			names = append(names, indexPath(w.path, base))
		}
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close closes the files.
func (w *Writer) Close() (err error) {
	for _, f := range []*os.File{w.data, w.index} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}
