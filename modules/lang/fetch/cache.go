package fetch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containust/containust/modules/lang/internal/wholefile"
	"github.com/containust/containust/modules/lang/schema"
)

// cache is a folder with a file for each digest.
type cache struct{ dir string }

func newCache(dir string) cache { return cache{filepath.Join(dir, "imports", "sha256")} }

// errNotKept is returned for a digest that the cache does not have.
var errNotKept = errors.New("it is not in the cache")

// read returns what has the digest. It never returns anything else, whatever
// happened to the cache.
func (c cache) read(digest string) ([]byte, error) {
	if !schema.IsDigest(digest) {
		return nil, fmt.Errorf("%q is not a digest", digest)
	}
	data, err := wholefile.Read(filepath.Join(c.dir, digest), MaxBytes)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errNotKept
	case err != nil:
		return nil, fmt.Errorf("its copy in the cache cannot be read: %w", err)
	case Digest(data) != digest:
		return nil, fmt.Errorf("its copy in the cache is damaged: %s", filepath.Join(c.dir, digest))
	}
	return data, nil
}

func (c cache) write(digest string, data []byte) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return fmt.Errorf("keep it in the cache: %w", err)
	}
	if err := wholefile.Write(filepath.Join(c.dir, digest), data, 0o600); err != nil {
		// Windows replaces no file that somebody reads, who has it already.
		if _, kept := c.read(digest); kept == nil {
			return nil
		}
		return fmt.Errorf("keep it in the cache: %w", err)
	}
	return nil
}
