package integration

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/format"
	"github.com/containust/containust/modules/sdk"
)

// TestExampleStacks validates and plans every stack of examples/stacks. Their
// images are not there, which is all that is found.
func TestExampleStacks(t *testing.T) {
	files, err := filepath.Glob("../examples/stacks/*/*.ctst")
	require.NoError(t, err)
	stacks := 0
	for _, file := range files {
		folder := filepath.Base(filepath.Dir(file))
		if folder == "templates" {
			continue
		}
		stacks++
		t.Run(folder, func(t *testing.T) {
			require.Equal(t, folder+".ctst", filepath.Base(file))
			eng, err := sdk.Open(sdk.Options{
				File: file, StateDir: filepath.Join(t.TempDir(), "state"), CacheDir: t.TempDir(),
				LookupEnv: func(name string) (string, bool) { return "x", strings.HasPrefix(name, "CONTAINUST_SECRET_") },
			})
			require.NoError(t, err)
			st, found := eng.Load(t.Context())
			require.Empty(t, found)
			require.NotEmpty(t, st.Links)
			require.NotEmpty(t, st.Exposures)

			d, err := eng.Plan(t.Context(), sdk.PlanOptions{})
			require.NoError(t, err)
			require.Len(t, d.Plan.Changes, len(st.Components))
			for _, w := range d.Warnings {
				require.Equal(t, diag.Warning, w.Severity)
				require.Contains(t, []diag.Code{sdk.SourceMissing, sdk.SourceUnsupported, sdk.NotInThisVersion, sdk.MachineLacks, sdk.FileMissing}, w.Code, w.Summary)
			}
		})
	}
	require.GreaterOrEqual(t, stacks, 8)
}

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
	require.NoError(t, err)
	require.NotZero(t, count)
}
