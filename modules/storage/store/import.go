package store

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/unpack"
)

// progressInterval is how often Progress is told.
const progressInterval = 100 * time.Millisecond

// memory is what is remembered about a source.
type memory struct {
	Source string        `json:"source"`
	Stamp  string        `json:"stamp"`
	Digest source.Digest `json:"digest"`
}

// bare is the URI of a source without its pin, with an absolute path: what
// memory is kept for.
func bare(ref source.Ref) string { return string(ref.Scheme) + "://" + filepath.ToSlash(ref.Path) }

func (s *Store) memoryPath(ref source.Ref) string { return s.path("sources", key(bare(ref))+".json") }

// recall returns the digest of a source that has not changed since it was
// read, or "".
func (s *Store) recall(ref source.Ref, stamp source.Stamp) (source.Digest, error) {
	var m memory
	err := readJSON(s.memoryPath(ref), &m)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if m.Source != bare(ref) || m.Stamp != stamp.ID {
		return "", nil
	}
	return m.Digest, nil
}

// remember keeps the digest, if the source did not change while it was read,
// and no later change can go unseen.
func (s *Store) remember(ctx context.Context, ref source.Ref, before source.Stamp, began time.Time, digest source.Digest) error {
	after, err := source.StampOf(ctx, ref)
	if err != nil || after.ID != before.ID || !before.Settled(began) {
		return err
	}
	return s.writeJSON(s.memoryPath(ref), memory{Source: bare(ref), Stamp: before.ID, Digest: digest})
}

// Digest returns what Import would return as the image's digest, without
// unpacking: from memory when the source is unchanged, otherwise by reading it.
// A pinned source that is something else is a [*source.DigestError].
func (s *Store) Digest(ctx context.Context, ref source.Ref) (source.Digest, error) {
	began := time.Now()
	stamp, err := source.StampOf(ctx, ref)
	if err != nil {
		return "", err
	}
	known, err := s.recall(ref, stamp)
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", ref.URI, err)
	}
	if known != "" {
		return known, checkPin(ref, known)
	}
	digest, err := s.read(ctx, ref)
	if err != nil {
		return "", err
	}
	if err := s.remember(ctx, ref, stamp, began, digest); err != nil {
		return "", fmt.Errorf("digest of %s: %w", ref.URI, err)
	}
	return digest, nil
}

func checkPin(ref source.Ref, got source.Digest) error {
	if ref.Digest != "" && ref.Digest != got {
		return &source.DigestError{URI: ref.URI, Want: ref.Digest, Got: got}
	}
	return nil
}

// read hashes a source and keeps nothing of it.
func (s *Store) read(ctx context.Context, ref source.Ref) (source.Digest, error) {
	r, err := source.Open(ctx, ref, s.limits)
	if err != nil {
		return "", err
	}
	defer r.Close() // only read from
	if err := source.Drain(r); err != nil {
		return "", err
	}
	return r.Digest(), nil
}

// Import makes sure that the image of ref is in the store, and returns it. The
// source is read and unpacked only if it has changed since it was imported or
// the image is not there any more. Errors are those of [source.Open],
// [source.Reader] and [unpack.Unpack], and after any of them the store is as
// it was.
func (s *Store) Import(ctx context.Context, ref source.Ref, opts ImportOptions) (Image, error) {
	img, err := s.importRef(ctx, ref, opts)
	if err != nil {
		return Image{}, fmt.Errorf("import: %w", err)
	}
	return img, nil
}

func (s *Store) importRef(ctx context.Context, ref source.Ref, opts ImportOptions) (Image, error) {
	// A source that does not exist should not leave a lock file.
	if _, err := source.StampOf(ctx, ref); err != nil {
		return Image{}, err
	}
	// Whoever comes second waits and then finds the image.
	unlock, err := lockFile(ctx, s.path("sources", key(bare(ref))+".lock"))
	if err != nil {
		return Image{}, err
	}
	defer unlock()

	began := time.Now()
	stamp, err := source.StampOf(ctx, ref)
	if err != nil {
		return Image{}, err
	}
	known, err := s.recall(ref, stamp)
	if err != nil {
		return Image{}, err
	}
	if known == "" && ref.Digest != "" {
		// With the pinned image in the store, the source has only to be
		// compared.
		if _, err := s.image(ref.Digest); err == nil {
			if known, err = s.read(ctx, ref); err != nil {
				return Image{}, err
			}
			if err := s.remember(ctx, ref, stamp, began, known); err != nil {
				return Image{}, err
			}
		}
	}
	if known != "" {
		if err := checkPin(ref, known); err != nil {
			return Image{}, err
		}
		img, err := s.use(known, ref, opts)
		if !errors.Is(err, fs.ErrNotExist) {
			return img, err
		}
	}

	img, err := s.unpack(ctx, ref, stamp.Size, opts)
	if err != nil {
		return Image{}, err
	}
	return img, s.remember(ctx, ref, stamp, began, img.Digest)
}

// use returns an image that is in the store, after noting its owner and source.
func (s *Store) use(digest source.Digest, ref source.Ref, opts ImportOptions) (Image, error) {
	unlock, err := s.lock()
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	img, err := s.image(digest)
	if err != nil {
		return Image{}, err
	}
	return s.note(img, ref, opts)
}

// note adds owner and source to an image that is in the store. The store is
// locked.
func (s *Store) note(img Image, ref source.Ref, opts ImportOptions) (Image, error) {
	if uri := bare(ref); !slices.Contains(img.Sources, uri) {
		img.Sources = append(img.Sources, uri)
		if err := s.writeJSON(s.imagePath(img.Digest), img); err != nil {
			return Image{}, err
		}
	}
	if opts.Owner != "" {
		if err := s.addOwner(opts.Owner, img.Digest); err != nil {
			return Image{}, err
		}
	}
	return img, nil
}

func (s *Store) unpack(ctx context.Context, ref source.Ref, total int64, opts ImportOptions) (_ Image, err error) {
	if err := s.collect(); err != nil {
		return Image{}, err
	}
	work, err := s.workDir()
	if err != nil {
		return Image{}, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()

	root := filepath.Join(work.path, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		return Image{}, err
	}
	if err := os.Chmod(root, 0o755); err != nil { // whatever the umask
		return Image{}, err
	}
	dir, err := os.Open(root)
	if err != nil {
		return Image{}, err
	}
	defer dir.Close() // only a handle

	r, err := source.Open(ctx, ref, s.limits)
	if err != nil {
		return Image{}, err
	}
	defer r.Close() // only read from
	watched := &watchedReader{Reader: r, total: total, tell: opts.Progress}
	result, err := unpack.Unpack(ctx, dir, watched, unpack.Options{})
	if err != nil {
		return Image{}, err
	}

	// Reading back what was unpacked and writing it to the disk wait for
	// different things.
	synced := make(chan error, 1)
	go func() { synced <- syncFS(dir) }()
	tree, err := s.read(ctx, source.Ref{Scheme: source.SchemeFile, Path: root, URI: "file://" + root})
	if err := errors.Join(<-synced, err); err != nil {
		return Image{}, err
	}

	return s.commit(root, Image{
		Digest:  r.Digest(),
		Layers:  []Layer{{DiffID: r.DiffID(), Tree: tree}},
		Size:    result.Bytes,
		Entries: result.Entries,
		Created: time.Now().UTC().Truncate(time.Second),
	}, ref, opts)
}

// commit gives an unpacked root its final name, unless it has come there by
// another way meanwhile.
func (s *Store) commit(root string, img Image, ref source.Ref, opts ImportOptions) (Image, error) {
	unlock, err := s.lock()
	if err != nil {
		return Image{}, err
	}
	defer unlock()

	if there, err := s.image(img.Digest); err == nil {
		return s.note(there, ref, opts)
	}
	layer := &img.Layers[0]
	layer.Path = s.layerPath(layer.DiffID)
	if _, err := os.Stat(layer.Path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(root, layer.Path); err != nil {
			return Image{}, err
		}
		if err := syncDir(s.layers()); err != nil {
			return Image{}, err
		}
	} else if err != nil {
		return Image{}, err
	}
	return s.note(img, ref, opts)
}

// watchedReader tells how far its source was read.
type watchedReader struct {
	source.Reader
	total   int64
	tell    func(Progress)
	entries int64
	last    time.Time
}

func (w *watchedReader) Next() (*tar.Header, error) {
	hdr, err := w.Reader.Next()
	if err == nil {
		w.entries++
	}
	w.report(err != nil)
	return hdr, err
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.report(false)
	return n, err
}

func (w *watchedReader) report(always bool) {
	if w.tell == nil {
		return
	}
	if now := time.Now(); always || now.Sub(w.last) >= progressInterval {
		w.last = now
		w.tell(Progress{Read: w.Consumed(), Total: w.total, Entries: w.entries})
	}
}
