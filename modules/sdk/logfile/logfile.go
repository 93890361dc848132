// Package logfile keeps what containers write: exactly the bytes, with an index
// of when they came, in files that are begun anew when they grow large.
//
//	w, err := logfile.OpenWriter(logfile.Path(stateDir, "web", false), logfile.Limits{})
//	w.Write(text)
//
//	r, err := logfile.Open(ctx, logfile.Path(stateDir, "web", false), logfile.Options{Tail: 20})
//	line, err := r.Next()
//
// # Files
//
// A stream's bytes are numbered from its beginning on. They lie in
//
//	web.out           the newest
//	web.out.N         older ones; N is the number of the file's first byte
//	web.out.N.index   when the bytes of the file that begins with byte N came
//
// so that web.out begins where the last of the older ones ends. An index is a
// series of entries of 16 bytes: the number of a byte and a time, nanoseconds
// since 1970, both little-endian. An entry says that this byte and what follows
// it were not there before that time. It is written before they are, and at most
// every 10 ms, which is how exact times are. Half an entry at the end of an index,
// and entries beyond the end of the file, say nothing: that is what a writer
// leaves that was killed.
//
// A file that has reached its size is renamed at the end of a line, if one comes
// soon, and the oldest ones are removed. No state between the steps of this is
// wrong, so that a writer may be killed at any moment.
//
// The package is portable and needs nothing but the right to the files. A stream
// has one writer at a time, and any number of readers, in other processes too.
// Writers and Readers are not safe for concurrent use.
package logfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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

// End returns the number of bytes that a stream has ever had; none if there is
// no such stream.
func End(path string) (int64, error) {
	segs, err := openSegments(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	end, err := segs.end()
	return end, errors.Join(err, segs.close())
}

// Remove removes a stream. That there is none is no error.
func Remove(path string) error {
	bases, indexes, err := older(path)
	if err != nil {
		return err
	}
	names := []string{path, path + nextSuffix}
	for _, base := range bases {
		names = append(names, olderPath(path, base))
	}
	for _, base := range indexes {
		names = append(names, indexPath(path, base))
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

const indexSuffix = ".index"

func olderPath(path string, base int64) string { return path + "." + strconv.FormatInt(base, 10) }

func indexPath(path string, base int64) string { return olderPath(path, base) + indexSuffix }

// older lists where the older files of a stream begin, and where those begin
// that have an index, in order.
func older(path string) (bases, indexes []int64, err error) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}
	for _, entry := range entries {
		number, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+".")
		if !ok {
			continue
		}
		list := &bases
		if short, ok := strings.CutSuffix(number, indexSuffix); ok {
			number, list = short, &indexes
		}
		base, err := strconv.ParseInt(number, 10, 64)
		if err != nil || base < 0 || strconv.FormatInt(base, 10) != number {
			continue // somebody else's
		}
		*list = append(*list, base)
	}
	slices.Sort(bases)
	slices.Sort(indexes)
	return bases, indexes, nil
}

// segment is one file of a stream.
type segment struct {
	base    int64
	data    *os.File
	index   *os.File // nil: it has none
	indexAt int64    // how far the reader has read it
}

func (s *segment) end() (int64, error) {
	info, err := s.data.Stat()
	if err != nil {
		return 0, err
	}
	return s.base + info.Size(), nil
}

func (s *segment) close() error {
	err := s.data.Close()
	if s.index != nil {
		err = errors.Join(err, s.index.Close())
	}
	return err
}

// segments are the files of a stream, in order.
type segments []*segment

func (all segments) close() (err error) {
	for _, s := range all {
		err = errors.Join(err, s.close())
	}
	return err
}

// end returns the number of bytes that the stream has ever had.
func (all segments) end() (int64, error) {
	if len(all) == 0 {
		return 0, nil
	}
	return all[len(all)-1].end()
}

// ReadAt reads from the byte with a number on, within one file.
func (all segments) ReadAt(p []byte, off int64) (int, error) {
	for _, s := range slices.Backward(all) {
		if off >= s.base {
			return s.data.ReadAt(p, off-s.base)
		}
	}
	return 0, io.EOF
}

// openSegments opens all files of a stream. It returns fs.ErrNotExist if there
// is none.
func openSegments(path string) (segments, error) {
	for {
		before, _, err := older(path)
		if err != nil {
			return nil, err
		}
		all, err := openOlder(path, before)
		if err == nil {
			all, err = all.addNewest(path)
		}
		after, _, listErr := older(path)
		switch {
		case listErr != nil || err != nil && !errors.Is(err, fs.ErrNotExist):
			return nil, errors.Join(err, listErr, all.close())
		case !slices.Equal(before, after):
			// Files were renamed or removed meanwhile: where the newest begins is
			// not known.
			if err := all.close(); err != nil {
				return nil, err
			}
		case len(all) == 0:
			return nil, err
		default:
			return all, nil // maybe without a newest one, if its writer was killed
		}
	}
}

func openOlder(path string, bases []int64) (all segments, err error) {
	for _, base := range bases {
		data, err := os.Open(olderPath(path, base))
		if err != nil {
			return all, err
		}
		s := &segment{base: base, data: data}
		all = append(all, s)
		if err := s.openIndex(path); err != nil {
			return all, err
		}
	}
	return all, nil
}

// addNewest adds the newest file, which begins where the last one ends.
func (all segments) addNewest(path string) (segments, error) {
	base, err := all.end()
	if err != nil {
		return all, err
	}
	data, err := os.Open(path)
	if err != nil {
		return all, err
	}
	s := &segment{base: base, data: data}
	return append(all, s), s.openIndex(path)
}

func (s *segment) openIndex(path string) error {
	index, err := os.Open(indexPath(path, s.base))
	if err == nil {
		s.index = index
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
