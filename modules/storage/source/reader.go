package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// Errors about archives.
var (
	// ErrNotArchive is matched when a tar:// source is not a tar archive, plain
	// or compressed in a way that is known.
	ErrNotArchive = errors.New("not a tar archive")

	// ErrTruncated is matched when an archive ends before it is complete.
	ErrTruncated = errors.New("archive is truncated")
)

// Reader is a source that is being read: a sequence of entries in the form of
// package archive/tar, whatever the source is.
type Reader interface {
	// Next moves to the next entry. At the end, when everything was read and
	// hashed, it is io.EOF; or, if the Ref is pinned to another digest, a
	// *DigestError. A Reader reads names and links as they are: whoever
	// creates files from them must not trust them.
	Next() (*tar.Header, error)

	// Read reads the content of the current entry.
	Read(p []byte) (int, error)

	// Digest is what an @sha256 pin of this source means: the digest of an
	// archive's bytes, or of a folder's deterministic tar. Known after Next
	// has returned io.EOF.
	Digest() Digest

	// DiffID is the digest of the uncompressed tar. Known as Digest is.
	DiffID() Digest

	// Consumed is how many bytes were read from the source so far: compressed
	// ones for a compressed archive. It may be called concurrently.
	Consumed() int64

	// Close releases the source, at any time.
	Close() error
}

// Limits bound what a source may expand to, against archives that are made to
// fill a disk. In each field zero means the default and a negative value no
// bound. Going beyond one is a [*LimitError].
type Limits struct {
	Entries int64 // files, folders, links and so on; default 2,000,000
	Bytes   int64 // uncompressed, holes of sparse files included; default 64 GiB
	Ratio   int64 // uncompressed bytes for each compressed one, after the first 256 MiB; default 1000
}

const (
	defaultEntries = 2_000_000
	defaultBytes   = 64 << 30
	defaultRatio   = 1000
	ratioFrom      = 256 << 20
)

func (l Limits) withDefaults() Limits {
	set := func(v *int64, def int64) {
		switch {
		case *v == 0:
			*v = def
		case *v < 0:
			*v = math.MaxInt64
		}
	}
	set(&l.Entries, defaultEntries)
	set(&l.Bytes, defaultBytes)
	set(&l.Ratio, defaultRatio)
	return l
}

// LimitError says which limit a source exceeds.
type LimitError struct {
	Limit string // "entries", "bytes" or "ratio", see Limits
	Max   int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("archive expands beyond the limit: %s = %d", e.Limit, e.Max)
}

// Open opens the folder or archive of ref. The context ends the reading. What
// does not exist matches fs.ErrNotExist; a scheme that has nothing to open
// here, or a compression that is not supported, errors.ErrUnsupported.
func Open(ctx context.Context, ref Ref, limits Limits) (Reader, error) {
	switch ref.Scheme {
	case SchemeTar:
		return openArchive(ctx, ref, limits)
	case SchemeFile:
		return openTree(ctx, ref, limits)
	default:
		return nil, fmt.Errorf("open %s: %s:// has no file to open: %w", ref.URI, ref.Scheme, errors.ErrUnsupported)
	}
}

// Drain reads r to its end without keeping anything. It is how to get a digest
// alone.
func Drain(r Reader) error {
	for {
		if _, err := r.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
}
