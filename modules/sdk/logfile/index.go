package logfile

import (
	"encoding/binary"
	"errors"
	"io"
	"time"
)

// entry says that a byte and what follows it were not there before a time.
type entry struct {
	offset int64 // the byte's number in the stream
	time   int64 // nanoseconds since 1970
}

const entrySize = 16

func (e entry) append(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(e.offset))
	return binary.LittleEndian.AppendUint64(b, uint64(e.time))
}

func parseEntry(b []byte) entry {
	return entry{
		offset: int64(binary.LittleEndian.Uint64(b)),
		time:   int64(binary.LittleEndian.Uint64(b[8:])),
	}
}

// scanIndex calls fn with the entries of an index from a place in it on, until
// it returns false or there is no more whole entry. It returns the place of the
// entry that fn did not want, or of the end.
func scanIndex(index io.ReaderAt, at int64, fn func(entry) bool) (int64, error) {
	block := make([]byte, 256*entrySize)
	for {
		n, err := index.ReadAt(block, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, err
		}
		whole := n - n%entrySize
		for i := 0; i < whole; i += entrySize {
			if !fn(parseEntry(block[i:])) {
				return at, nil
			}
			at += entrySize
		}
		if err != nil {
			return at, nil
		}
	}
}

// find returns the first byte that came at a wanted time, or end. All entries
// before it are looked at, not every other: clocks are set back, too.
func (all segments) find(end int64, wanted func(time.Time) bool) (int64, error) {
	found := end
	for _, s := range all {
		err := s.entries(func(e entry) bool {
			if wanted(time.Unix(0, e.time)) {
				found = min(e.offset, end)
			}
			return found == end
		})
		if err != nil || found < end {
			return found, err
		}
	}
	return end, nil
}

// entries calls fn with what the index says, until fn returns false.
func (s *segment) entries(fn func(entry) bool) error {
	if s.index == nil {
		e, err := s.guess()
		if err == nil {
			fn(e)
		}
		return err
	}
	_, err := scanIndex(s.index, 0, fn)
	return err
}

// guess stands for an index that is lost: everything came when the last did.
func (s *segment) guess() (entry, error) {
	info, err := s.data.Stat()
	if err != nil {
		return entry{}, err
	}
	return entry{offset: s.base, time: info.ModTime().UnixNano()}, nil
}
