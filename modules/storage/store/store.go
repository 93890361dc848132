// Package store keeps images by digest: what a source contains is unpacked
// once into immutable layers, shared by all projects of a user.
//
//	s, err := store.Open(dir, store.Options{})
//	ref, err := source.Parse("tar://./app.tar.zst", base)
//	img, err := s.Import(ctx, ref, store.ImportOptions{Owner: stateDir})
//	// img.Layers[0].Path is the root file system; overlay.Mount it
//
// An import goes to a temporary name, is synced and renamed: a crash, an
// error, a full disk or a mismatch of digests leaves the store as it was. What
// a killed import has left is removed by the next import or [Store.GC]. Two
// imports of the same source at once unpack it once.
//
// # Recognising what is unchanged
//
// For each source the store remembers its digest together with device, inode,
// size, mtime and ctime of the archive, or those of everything in the folder.
// While they are the same, the content is not read again, pinned or not: a pin
// is compared with the remembered digest, and what is used is the layer, which
// had this digest when it was imported. Changing a file without changing its
// ctime takes a changed clock or writing to the raw disk; whoever can do that
// is trusted here. A source that was changed within the granularity of its
// file system's clock before it was read is not remembered.
//
// # Layout
//
//	layers/sha256/<diff ID>/     root file systems
//	images/sha256/<digest>.json  what an image consists of
//	sources/<key>.json, .lock    what was remembered about a source
//	owners/<key>.json            which project uses what
//	tmp/                         imports in progress, each locked by its process
//	lock                         held for the moment of a rename or removal
//
// Linux 5.14; elsewhere importing is errors.ErrUnsupported. As root, owners,
// devices and all extended attributes are kept; otherwise everything belongs to
// the caller. A Store holds no resources and is safe for concurrent use by any
// number of goroutines and processes.
package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containust/containust/modules/storage/source"
)

// Options configure a Store.
type Options struct {
	Limits source.Limits // against archive bombs; the zero value: the defaults
}

// Image is something that can be run: layers, and what is known about them.
type Image struct {
	Digest  source.Digest `json:"digest"`  // what @sha256 means for the scheme it came from
	Layers  []Layer       `json:"layers"`  // lowest first
	Size    int64         `json:"size"`    // bytes of content of all layers
	Entries int64         `json:"entries"` // files, folders, links in all layers
	Config  Config        `json:"config,omitzero"`
	Created time.Time     `json:"created"` // when it was first imported
	Sources []string      `json:"sources"` // URIs without pins that it was imported from

	Owners []string `json:"-"` // who uses it, see [Store.Own]; filled by [Store.List]
}

// Layer is one unpacked, immutable root file system or part of one.
type Layer struct {
	DiffID source.Digest `json:"diff_id"` // of the uncompressed tar
	Tree   source.Digest `json:"tree"`    // of the unpacked folder, as source reads one: what Verify compares
	Path   string        `json:"-"`       // absolute
}

// Config is what an image itself says about how to run it. It is empty for
// folders and plain archives.
type Config struct {
	Entrypoint []string `json:"entrypoint,omitempty"`
	Cmd        []string `json:"cmd,omitempty"`
	Env        []string `json:"env,omitempty"`
	User       string   `json:"user,omitempty"`
	WorkDir    string   `json:"workdir,omitempty"`
	StopSignal string   `json:"stop_signal,omitempty"`
}

// ImportOptions are optional for Import.
type ImportOptions struct {
	// Owner, if not empty, is added as a user of the image as by [Store.Own],
	// without a moment in which a GC could remove it again.
	Owner string

	// Progress, if not nil, is told now and then how far the import is, from
	// the goroutine that called Import.
	Progress func(Progress)
}

// Progress is how far an import is.
type Progress struct {
	Read    int64 // bytes of the source
	Total   int64 // size of the archive; 0 for a folder
	Entries int64 // unpacked so far
}

// GCResult is what a GC has removed.
type GCResult struct {
	Images []source.Digest
	Layers []source.Digest
	Bytes  int64 // content of the removed images
}

// Store is a folder that holds images. Make it with [Open].
type Store struct {
	dir    string
	limits source.Limits
}

// Open opens the store in dir and creates it, with mode 0700, if it does not
// exist. There is nothing to close.
func Open(dir string, opts Options) (*Store, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{dir: abs, limits: opts.Limits}
	for _, sub := range []string{s.layers(), s.images(), s.path("sources"), s.path("owners"), s.path("tmp")} {
		// Images bring set-id programs and device nodes: nobody else may reach
		// them.
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	return s, nil
}

// Dir returns the store's folder, absolute.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}
func (s *Store) layers() string { return s.path("layers", "sha256") }
func (s *Store) images() string { return s.path("images", "sha256") }

func (s *Store) layerPath(d source.Digest) string { return filepath.Join(s.layers(), d.Hex()) }
func (s *Store) imagePath(d source.Digest) string { return filepath.Join(s.images(), d.Hex()+".json") }

// Image returns an image of the store. If it is not there, or not completely,
// the error matches [fs.ErrNotExist].
func (s *Store) Image(digest source.Digest) (Image, error) {
	img, err := s.image(digest)
	if err != nil {
		return Image{}, fmt.Errorf("image %s: %w", digest, err)
	}
	return img, nil
}

func (s *Store) image(digest source.Digest) (Image, error) {
	if _, err := source.ParseDigest(string(digest)); err != nil {
		return Image{}, err
	}
	var img Image
	if err := readJSON(s.imagePath(digest), &img); err != nil {
		return Image{}, err
	}
	for i := range img.Layers {
		l := &img.Layers[i]
		if _, err := source.ParseDigest(string(l.DiffID)); err != nil {
			return Image{}, err
		}
		l.Path = s.layerPath(l.DiffID)
		if _, err := os.Stat(l.Path); err != nil {
			return Image{}, err
		}
	}
	return img, nil
}

// List returns all images, by digest, with their owners.
func (s *Store) List() ([]Image, error) {
	owners, err := s.owners()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	digests, err := s.imageDigests()
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var images []Image
	for _, digest := range digests {
		img, err := s.image(digest)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list images: %s: %w", digest, err)
		}
		for _, o := range owners {
			if slices.Contains(o.Digests, digest) {
				img.Owners = append(img.Owners, o.Owner)
			}
		}
		slices.Sort(img.Owners)
		images = append(images, img)
	}
	return images, nil
}

func (s *Store) imageDigests() ([]source.Digest, error) {
	entries, err := os.ReadDir(s.images())
	if err != nil {
		return nil, err
	}
	var digests []source.Digest
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if d, err := source.ParseDigest("sha256:" + name); ok && err == nil {
			digests = append(digests, d)
		}
	}
	return digests, nil
}

// key makes a file name of a text.
func key(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func readJSON(path string, v any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces path in one step: after a crash it holds the old content
// or the new one.
func (s *Store) writeJSON(path string, v any) (err error) {
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(s.path("tmp"), "json-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreNotExist(os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return err
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
