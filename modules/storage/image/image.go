// Package image gives names to images: a project's catalog.
//
//	c, err := image.Open(filepath.Join(stateDir, "images"), s)
//	err = c.Set("site:1.2", img.Digest)
//	entry, err := c.Lookup("site:1.2")
//	img, err := s.Image(entry.Digest)
//
// The catalog is an owner of what it names (see [store.Store.Own]), so that a
// garbage collection, of this project or another one, keeps it.
//
// Portable, but for changing a catalog, which is for Linux as the store is. A
// Catalog holds no resources; one process at a time may change it, under the
// project's lock.
package image

import (
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
	"github.com/containust/containust/modules/storage/store"
)

// Entry is a name and what it stands for.
type Entry struct {
	Name    string        `json:"name"` // with its tag
	Digest  source.Digest `json:"digest"`
	Created time.Time     `json:"created"` // when the name was given
}

// Catalog is a file of names in a project's folder. Make it with [Open].
type Catalog struct {
	dir   string
	store *store.Store
}

// Open opens the catalog in dir, which is made when the first name is set.
func Open(dir string, s *store.Store) (*Catalog, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return &Catalog{dir: abs, store: s}, nil
}

func (c *Catalog) path() string { return filepath.Join(c.dir, "catalog.json") }

// List returns all entries, by name.
func (c *Catalog) List() ([]Entry, error) {
	data, err := os.ReadFile(c.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read catalog: %w", err)
	}
	var entries []Entry
	if err := json.Unmarshal(data, &entries); err != nil {
		return nil, fmt.Errorf("read catalog %s: %w", c.path(), err)
	}
	return entries, nil
}

// Lookup returns the entry of a name; without a tag, that of "latest". A name
// that nothing has matches fs.ErrNotExist.
func (c *Catalog) Lookup(name string) (Entry, error) {
	full, err := source.ParseName(name)
	if err != nil {
		return Entry{}, fmt.Errorf("look up image: %w", err)
	}
	entries, err := c.List()
	if err != nil {
		return Entry{}, err
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == full })
	if i < 0 {
		return Entry{}, fmt.Errorf("look up image %s: %w", full, fs.ErrNotExist)
	}
	return entries[i], nil
}

// Set gives a name to an image that is in the store; the name's former image,
// if any, has it no more.
func (c *Catalog) Set(name string, digest source.Digest) error {
	full, err := source.ParseName(name)
	if err != nil {
		return fmt.Errorf("name image: %w", err)
	}
	if _, err := c.store.Image(digest); err != nil {
		return fmt.Errorf("name image %s: %w", full, err)
	}
	entries, err := c.List()
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e Entry) bool { return e.Name == full })
	entries = append(entries, Entry{Name: full, Digest: digest, Created: time.Now().UTC().Truncate(time.Second)})
	return c.write(entries)
}

// Remove takes a name away. The image stays until it is removed or collected.
func (c *Catalog) Remove(name string) error {
	entry, err := c.Lookup(name)
	if err != nil {
		return err
	}
	entries, err := c.List()
	if err != nil {
		return err
	}
	return c.write(slices.DeleteFunc(entries, func(e Entry) bool { return e.Name == entry.Name }))
}

func (c *Catalog) write(entries []Entry) error {
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	data, err := json.MarshalIndent(entries, "", "\t")
	if err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	if err := replace(c.path(), append(data, '\n')); err != nil {
		return fmt.Errorf("write catalog: %w", err)
	}
	// The names come first: what has a name but no owner is an error to be
	// seen, what has an owner but no name would stay for ever.
	digests := make([]source.Digest, len(entries))
	for i, e := range entries {
		digests[i] = e.Digest
	}
	return c.store.Own(c.dir, digests)
}

// replace writes a file in one step.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".catalog-")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
