package source

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// blockSize is the unit of the tar format.
const blockSize = 512

// maxWindow is the most memory that a zstd archive may ask for: what
// zstd --ultra -22 and --long=27 use.
const maxWindow = 128 << 20

// archive reads tar:// sources.
type archive struct {
	uri    string
	pin    Digest
	limits Limits

	file   *os.File
	raw    *stage        // the archive's bytes
	plain  *stage        // uncompressed; the same stage for a plain tar
	decode io.ReadCloser // between them, or nil

	tar     *tar.Reader
	pos     int64 // uncompressed bytes that tar has read
	entries int64
	bytes   int64 // content so far, by the headers
	err     error // sticky
}

func openArchive(ctx context.Context, ref Ref, limits Limits) (_ *archive, err error) {
	// Opening a named pipe would block until somebody writes to it.
	info, err := os.Stat(ref.Path)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: ref.Path, Err: ErrNotArchive}
		if info.IsDir() {
			err = fmt.Errorf("%w: it is a folder (use file:// for one)", err)
		}
	}
	var f *os.File
	if err == nil {
		f, err = os.Open(ref.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ref.URI, err)
	}

	a := &archive{uri: ref.URI, pin: ref.Digest, limits: limits.withDefaults(), file: f}
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	a.raw = startStage(ctx, f, sha256.New(), nil)
	magic := make([]byte, 6)
	n, err := readFull(a.raw, magic)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, a.fail(err)
	}
	head := io.MultiReader(bytes.NewReader(magic[:n]), a.raw)

	switch kind := sniff(magic[:n]); kind {
	case "":
		a.plain = a.raw
		a.start(head)
		return a, nil
	case "gzip":
		z, err := gzip.NewReader(head)
		if err != nil {
			return nil, a.fail(err)
		}
		a.decode = z
	case "zstd":
		z, err := zstd.NewReader(head, zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, a.fail(err)
		}
		a.decode = z.IOReadCloser()
	case "zip":
		return nil, a.fail(fmt.Errorf("%w: it is a zip file", ErrNotArchive))
	default:
		return nil, a.fail(fmt.Errorf("archive is compressed with %s, which is not supported by this version (use gzip or zstd): %w", kind, errors.ErrUnsupported))
	}
	a.plain = startStage(ctx, a.decode, sha256.New(), a.checkExpansion)
	a.start(a.plain)
	return a, nil
}

// sniff names the compression that the first bytes of a file tell; empty: none.
func sniff(magic []byte) string {
	has := func(prefix string) bool { return bytes.HasPrefix(magic, []byte(prefix)) }
	switch {
	case has("\x1f\x8b"):
		return "gzip"
	case has("\x28\xb5\x2f\xfd"),
		// A skippable frame may come first (RFC 8878, 3.1.2).
		len(magic) >= 4 && magic[0]&0xf0 == 0x50 && bytes.Equal(magic[1:4], []byte("\x2a\x4d\x18")):
		return "zstd"
	case has("BZh"):
		return "bzip2"
	case has("\xfd7zXZ\x00"):
		return "xz"
	case has("\x04\x22\x4d\x18"):
		return "lz4"
	case has("PK\x03\x04"):
		return "zip"
	default:
		return ""
	}
}

func (a *archive) start(plain io.Reader) {
	a.tar = tar.NewReader(readerFunc(func(p []byte) (int, error) {
		n, err := plain.Read(p)
		a.pos += int64(n)
		return n, err
	}))
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// checkExpansion runs in the goroutine of the plain stage.
func (a *archive) checkExpansion(plain int64) error {
	if plain > a.limits.Bytes {
		return &LimitError{Limit: "bytes", Max: a.limits.Bytes}
	}
	if raw := max(a.raw.count.Load(), 1); plain > ratioFrom && plain/raw > a.limits.Ratio {
		return &LimitError{Limit: "ratio", Max: a.limits.Ratio}
	}
	return nil
}

func (a *archive) Next() (*tar.Header, error) {
	if a.err != nil {
		return nil, a.err
	}
	hdr, err := a.next()
	if err != nil {
		a.err = err
	}
	return hdr, err
}

func (a *archive) next() (*tar.Header, error) {
	// Skip what was not read of the last entry here: then, after the end, it is
	// known how much Next itself has read.
	if a.entries > 0 {
		if _, err := io.Copy(io.Discard, a.tar); err != nil {
			return nil, a.fail(err)
		}
	}
	before := a.pos
	hdr, err := a.tar.Next()
	switch {
	case err == io.EOF:
		// archive/tar takes a file that ends between two entries for complete;
		// POSIX has blocks of zeros at the end, which tell a cut archive apart.
		padded := (before + blockSize - 1) / blockSize * blockSize
		if a.pos < padded+blockSize {
			if a.pos == 0 {
				return nil, a.fail(fmt.Errorf("%w: it is empty", ErrNotArchive))
			}
			return nil, a.fail(io.ErrUnexpectedEOF)
		}
		return nil, a.finish()
	case errors.Is(err, tar.ErrHeader) && a.entries == 0, a.decode == nil && a.pos < blockSize:
		return nil, a.fail(ErrNotArchive)
	case err != nil:
		return nil, a.fail(err)
	}

	a.entries++
	if a.entries > a.limits.Entries {
		return nil, a.fail(&LimitError{Limit: "entries", Max: a.limits.Entries})
	}
	if hdr.Size > a.limits.Bytes-a.bytes {
		return nil, a.fail(&LimitError{Limit: "bytes", Max: a.limits.Bytes})
	}
	a.bytes += hdr.Size
	return hdr, nil
}

// finish reads what follows the last entry, for the digests, and compares.
func (a *archive) finish() error {
	if _, err := io.Copy(io.Discard, a.plain); err != nil {
		return a.fail(err)
	}
	if a.raw != a.plain {
		if _, err := io.Copy(io.Discard, a.raw); err != nil {
			return a.fail(err)
		}
	}
	a.raw.wait()
	a.plain.wait()
	if got := a.Digest(); a.pin != "" && got != a.pin {
		return &DigestError{URI: a.uri, Want: a.pin, Got: got}
	}
	return io.EOF
}

func (a *archive) Read(p []byte) (int, error) {
	n, err := a.tar.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = a.fail(err)
	}
	return n, err
}

func (a *archive) Digest() Digest  { return digestOf(a.raw.hash) }
func (a *archive) DiffID() Digest  { return digestOf(a.plain.hash) }
func (a *archive) Consumed() int64 { return a.raw.count.Load() }

// Close ends the stages in the direction of the data, so that none waits for
// one that has ended.
func (a *archive) Close() error {
	if a.raw != nil {
		a.raw.stop()
	}
	if a.plain != nil {
		a.plain.stop()
		a.plain.wait()
	}
	if a.raw != nil {
		a.raw.wait()
	}
	if a.decode != nil {
		a.decode.Close() // nothing is written: there is nothing to lose
	}
	return a.file.Close()
}

// fail names the source and tells a cut archive from a damaged one.
func (a *archive) fail(err error) error {
	var limit *LimitError
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: %w", ErrTruncated, io.ErrUnexpectedEOF)
	case errors.Is(err, zstd.ErrWindowSizeExceeded):
		err = fmt.Errorf("zstd window is larger than %d MiB (compress with --long=27 or less): %w", maxWindow>>20, err)
	case errors.As(err, &limit), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, ErrNotArchive), errors.Is(err, errors.ErrUnsupported), errors.As(err, new(*fs.PathError)), errors.Is(err, errClosed):
	default:
		err = fmt.Errorf("archive is damaged: %w", err)
	}
	return fmt.Errorf("read %s: %w", a.uri, err)
}
