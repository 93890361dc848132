package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	fileName = "events.jsonl"
	// A file that would grow past maxSize makes room for another; keepOld of those
	// before it are kept.
	maxSize = 1 << 20
	keepOld = 3
	// maxLine bounds a line. Nothing that is written comes near it.
	maxLine = 256 << 10
	// maxSeq is no sequence number: no project has as many events, and programs
	// that read JSON lose digits from there on.
	maxSeq = 1 << 53
)

// path returns a file of events: the current one, or the age-th before it.
func path(dir string, age int) string {
	name := filepath.Join(dir, fileName)
	if age > 0 {
		name = fmt.Sprintf("%s.%d", name, age)
	}
	return name
}

// Log writes a project's events down.
type Log struct {
	dir string

	mu   sync.Mutex
	file *os.File
	size int64
	last uint64 // the sequence number of the last event
	torn bool   // the file may end within a line
}

// OpenLog opens the events of the project with this state folder, to add to them.
// What a crash left of a last line is cut off.
func OpenLog(dir string) (*Log, error) {
	l := &Log{dir: dir}
	for age := keepOld; age >= 0; age-- {
		last, _, err := lastOf(path(dir, age))
		if err != nil {
			return nil, err
		}
		l.last = max(l.last, last)
	}
	return l, l.open()
}

// open opens the current file at its end.
func (l *Log) open() (err error) {
	_, whole, err := lastOf(path(l.dir, 0))
	if err != nil {
		return err
	}
	l.file, err = os.OpenFile(path(l.dir, 0), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	l.size, l.torn = whole, false
	if err := l.file.Truncate(whole); err != nil {
		return errors.Join(err, l.file.Close())
	}
	return nil
}

// lastOf returns the last sequence number of a file, and how long it is up to
// the end of its last whole line. A file that is not there is empty.
func lastOf(name string) (last uint64, whole int64, err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := lines{from: f}
	for {
		line, err := lines.next()
		if errors.Is(err, io.EOF) {
			return last, lines.whole, nil
		}
		if err != nil {
			return 0, 0, err
		}
		if e, ok := parse(line); ok {
			last = max(last, e.Seq)
		}
	}
}

// Append gives the event its sequence number and writes it down, unless it is
// of a kind that is not kept. On an error it has its number all the same.
func (l *Log) Append(e *Event) error {
	if !e.Type.kept() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	e.Seq = l.last
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if l.size > 0 && l.size+int64(len(text)) > maxSize {
		if err := l.rotate(); err != nil {
			return fmt.Errorf("rotate events: %w", err)
		}
	}
	if l.torn { // end the line that a failure cut short
		text = append([]byte("\n"), text...)
	}
	n, err := l.file.Write(text)
	l.size += int64(n)
	l.torn = err != nil
	return err
}

func (l *Log) rotate() error {
	for age := keepOld - 1; age >= 0; age-- {
		err := os.Rename(path(l.dir, age), path(l.dir, age+1))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	old := l.file
	if err := l.open(); err != nil {
		l.file = old
		return err
	}
	return old.Close()
}

// Close lets go of the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// lines cuts what is read into lines, as far as they are whole.
type lines struct {
	from    io.Reader
	whole   int64  // bytes up to the end of the last line that was returned or passed over
	pending []byte // read, and not yet returned
	skipped int64  // bytes of a line that is too long
	buffer  [16 << 10]byte
}

// next returns the next line without its end, valid until the next call. At the
// end it is io.EOF, and can be asked again when more has been written.
func (l *lines) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(l.pending, '\n'); i >= 0 {
			line := l.pending[:i]
			l.pending = l.pending[i+1:]
			l.whole += l.skipped + int64(i) + 1
			if l.skipped > 0 {
				l.skipped = 0
				continue
			}
			return line, nil
		}
		if len(l.pending) > maxLine {
			l.skipped += int64(len(l.pending))
			l.pending = nil
		}
		n, err := l.from.Read(l.buffer[:])
		l.pending = append(bytes.Clone(l.pending), l.buffer[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// parse returns the event of a line. A line that is none, since it was damaged,
// is passed over by who reads.
func parse(line []byte) (Event, bool) {
	var e Event
	err := json.Unmarshal(line, &e)
	return e, err == nil && e.Seq > 0 && e.Seq < maxSeq
}
