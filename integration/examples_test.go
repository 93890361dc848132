package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containust/containust/modules/lang/format"
)

// TestExamplesAreFormatted: what people copy from is in canonical form.
func TestExamplesAreFormatted(t *testing.T) {
	count := 0
	err := filepath.WalkDir("../examples", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(strings.TrimSuffix(path, ".in"), ".ctst") {
			return err
		}
		count++
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		want, found := format.Source(path, src)
		if err := found.Err(); err != nil {
			return err
		}
		if string(want) != string(src) {
			t.Errorf("%s is not in canonical form: ctst fmt %s", path, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		t.Fatal("no .ctst file below examples")
	}
}
