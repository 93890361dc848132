package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containust/containust/modules/storage/source"
)

// ErrInUse is matched when an image is to be removed that somebody owns.
var ErrInUse = errors.New("image is in use")

// owned is what one owner uses.
type owned struct {
	Owner   string          `json:"owner"`
	Digests []source.Digest `json:"digests"`
}

func (s *Store) ownerPath(owner string) string { return s.path("owners", key(owner)+".json") }

// Own says which images a project uses, in place of what it said before; none
// is nothing. The owner is an absolute path that exists as long as the project
// does, such as its state folder: when it is gone, so is its claim.
func (s *Store) Own(owner string, digests []source.Digest) error {
	if !filepath.IsAbs(owner) {
		return fmt.Errorf("own images: owner %q is not an absolute path", owner)
	}
	unlock, err := s.lock()
	if err == nil {
		defer unlock()
		err = s.setOwner(owner, digests)
	}
	if err != nil {
		return fmt.Errorf("own images: %w", err)
	}
	return nil
}

// setOwner works on a locked store.
func (s *Store) setOwner(owner string, digests []source.Digest) error {
	if len(digests) == 0 {
		return ignoreNotExist(os.Remove(s.ownerPath(owner)))
	}
	digests = slices.Clone(digests)
	slices.Sort(digests)
	return s.writeJSON(s.ownerPath(owner), owned{Owner: owner, Digests: slices.Compact(digests)})
}

// addOwner works on a locked store.
func (s *Store) addOwner(owner string, digest source.Digest) error {
	if !filepath.IsAbs(owner) {
		return fmt.Errorf("owner %q is not an absolute path", owner)
	}
	var o owned
	if err := ignoreNotExist(readJSON(s.ownerPath(owner), &o)); err != nil {
		return err
	}
	if slices.Contains(o.Digests, digest) {
		return nil
	}
	return s.setOwner(owner, append(o.Digests, digest))
}

// owners returns the claims of owners that still exist.
func (s *Store) owners() ([]owned, error) {
	entries, err := os.ReadDir(s.path("owners"))
	if err != nil {
		return nil, err
	}
	var all []owned
	for _, e := range entries {
		var o owned
		err := readJSON(s.path("owners", e.Name()), &o)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// Only what surely is gone loses its claim: not what cannot be seen now.
		if _, err := os.Lstat(o.Owner); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		all = append(all, o)
	}
	return all, nil
}

// Remove removes an image and those of its layers that no other image has. An
// image that an owner uses is refused with [ErrInUse], one that is not there
// with [fs.ErrNotExist].
func (s *Store) Remove(ctx context.Context, digest source.Digest) error {
	if _, err := source.ParseDigest(string(digest)); err != nil {
		return fmt.Errorf("remove image: %w", err)
	}
	images, err := s.List()
	if err != nil {
		return fmt.Errorf("remove image %s: %w", digest, err)
	}
	i := slices.IndexFunc(images, func(img Image) bool { return img.Digest == digest })
	if i < 0 {
		return fmt.Errorf("remove image %s: %w", digest, fs.ErrNotExist)
	}
	result, err := s.sweep(ctx, func(d source.Digest, claimed bool) bool { return d != digest || claimed })
	if err != nil {
		return fmt.Errorf("remove image %s: %w", digest, err)
	}
	if len(result.Images) == 0 {
		return fmt.Errorf("remove image %s: %w by %s", digest, ErrInUse, strings.Join(images[i].Owners, ", "))
	}
	return nil
}

// GC removes the images that no owner uses and that are not in inUse, layers
// without an image, what killed imports have left, and what was remembered of
// sources that are gone.
func (s *Store) GC(ctx context.Context, inUse []source.Digest) (GCResult, error) {
	result, err := s.sweep(ctx, func(d source.Digest, claimed bool) bool { return claimed || slices.Contains(inUse, d) })
	if err != nil {
		return result, fmt.Errorf("collect garbage: %w", err)
	}
	return result, nil
}

// sweep removes the images that keep does not want. Under the lock things are
// only renamed; deleting takes its time afterwards.
func (s *Store) sweep(ctx context.Context, keep func(d source.Digest, claimed bool) bool) (_ GCResult, err error) {
	if err := s.collect(); err != nil {
		return GCResult{}, err
	}
	work, err := s.workDir()
	if err != nil {
		return GCResult{}, err
	}
	defer func() { err = errors.Join(err, work.remove()) }()

	unlock, err := s.lock()
	if err != nil {
		return GCResult{}, err
	}
	defer unlock()
	if ctx.Err() != nil {
		return GCResult{}, context.Cause(ctx)
	}
	return s.sweepLocked(work.path, keep)
}

func (s *Store) sweepLocked(trash string, keep func(d source.Digest, claimed bool) bool) (GCResult, error) {
	var result GCResult
	owners, err := s.owners()
	if err != nil {
		return result, err
	}
	claimed := make(map[source.Digest]bool)
	for _, o := range owners {
		for _, d := range o.Digests {
			claimed[d] = true
		}
	}
	digests, err := s.imageDigests()
	if err != nil {
		return result, err
	}
	layers := make(map[string]bool)
	for _, d := range digests {
		var img Image
		if err := readJSON(s.imagePath(d), &img); err != nil {
			return result, err
		}
		if keep(d, claimed[d]) {
			for _, l := range img.Layers {
				layers[l.DiffID.Hex()] = true
			}
			continue
		}
		if err := os.Remove(s.imagePath(d)); err != nil {
			return result, err
		}
		result.Images = append(result.Images, d)
		result.Bytes += img.Size
	}
	if err := syncDir(s.images()); err != nil {
		return result, err
	}

	entries, err := os.ReadDir(s.layers())
	if err != nil {
		return result, err
	}
	for _, e := range entries {
		if layers[e.Name()] {
			continue
		}
		if err := os.Rename(filepath.Join(s.layers(), e.Name()), filepath.Join(trash, e.Name())); err != nil {
			return result, err
		}
		result.Layers = append(result.Layers, source.Digest("sha256:"+e.Name()))
	}
	return result, s.forget()
}

// forget removes what is remembered of sources that are gone, and the claims of
// owners that are.
func (s *Store) forget() error {
	for dir, subject := range map[string]func(path string) (string, error){
		"sources": func(path string) (string, error) {
			var m memory
			err := readJSON(path, &m)
			_, name, _ := strings.Cut(m.Source, "://")
			return filepath.FromSlash(name), err
		},
		"owners": func(path string) (string, error) {
			var o owned
			err := readJSON(path, &o)
			return o.Owner, err
		},
	} {
		entries, err := os.ReadDir(s.path(dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if filepath.Ext(e.Name()) != ".json" {
				continue // a lock: somebody may be waiting for it
			}
			path := s.path(dir, e.Name())
			about, err := subject(path)
			if err != nil {
				return err
			}
			if _, err := os.Lstat(about); errors.Is(err, fs.ErrNotExist) {
				if err := os.Remove(path); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// VerifyError says that a layer on the disk is not what was imported.
type VerifyError struct {
	Image source.Digest
	Layer source.Digest // its diff ID
	Want  source.Digest // of the tree, when it was imported
	Got   source.Digest
}

func (e *VerifyError) Error() string {
	return fmt.Sprintf("verify image %s: layer %s was changed: want tree %s, got %s", e.Image, e.Layer, e.Want, e.Got)
}

// Verify reads all layers of an image and compares names, types, owners, modes,
// extended attributes and contents with what was imported. A difference is a
// [*VerifyError].
func (s *Store) Verify(ctx context.Context, digest source.Digest) error {
	img, err := s.Image(digest)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	for _, l := range img.Layers {
		got, err := s.read(ctx, source.Ref{Scheme: source.SchemeFile, Path: l.Path, URI: "file://" + l.Path})
		if err != nil {
			return fmt.Errorf("verify image %s: %w", digest, err)
		}
		if got != l.Tree {
			return &VerifyError{Image: digest, Layer: l.DiffID, Want: l.Tree, Got: got}
		}
	}
	return nil
}
