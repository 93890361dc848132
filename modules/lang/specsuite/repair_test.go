package specsuite_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/resolve"
)

// TestRepair: files as people and language models write them with the habits of
// other languages. What is printed is enough to mend each: the mended file has
// exactly those changes, and nothing is said about it.
func TestRepair(t *testing.T) {
	names, err := filepath.Glob("testdata/repair/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), 15)
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			require.NoError(t, err)
			require.NotEmpty(t, archive.Comment, "the archive does not say what led to the changes")
			files := map[string]*txtar.File{}
			for i := range archive.Files {
				files[archive.Files[i].Name] = &archive.Files[i]
			}
			golden := files["diagnostics"]
			require.NotNil(t, golden)

			found, text := printed(t, files, "broken.ctst")
			require.NotEmpty(t, found)
			for _, d := range found {
				if !strings.Contains(string(archive.Comment), string(d.Code)) {
					t.Errorf("the comment does not name %s", d.Code)
				}
				if d.Suggestion+d.Detail == "" {
					t.Errorf("%s at line %d cannot be mended from its text", d.Code, d.Range.Start.Line)
				}
			}
			if *update {
				golden.Data = []byte(text)
				require.NoError(t, os.WriteFile(name, txtar.Format(archive), 0o644))
			} else {
				require.Equal(t, string(golden.Data), text)
			}
			_, text = printed(t, files, "mended.ctst")
			require.Empty(t, text)
		})
	}
}

// printed resolves one of the files, where every secret is set and no variable,
// and returns what is found and its text.
func printed(t *testing.T, files map[string]*txtar.File, root string) (diag.List, string) {
	t.Helper()
	source := func(name string) ([]byte, error) {
		if f := files[name]; f != nil {
			return f.Data, nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	_, found := resolve.Load(t.Context(), root, resolve.Options{
		ReadFile:     source,
		LookupSecret: func(string) (string, error) { return "x", nil },
		CPUs:         4,
	})
	var out bytes.Buffer
	require.NoError(t, diag.Print(&out, found, source, diag.PrintOptions{}))
	return found, out.String()
}
