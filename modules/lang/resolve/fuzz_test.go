package resolve

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
)

// FuzzLoad: any text is resolved without a panic, twice to the same, with
// every range inside the file, and with a stack exactly when there is no
// error.
func FuzzLoad(f *testing.F) {
	archives, err := filepath.Glob("../specsuite/testdata/*.txtar")
	require.NoError(f, err)
	require.NotEmpty(f, archives)
	for _, name := range archives {
		archive, err := txtar.ParseFile(name)
		require.NoError(f, err)
		for _, file := range archive.Files {
			if filepath.Ext(file.Name) == ".ctst" {
				f.Add(string(file.Data))
			}
		}
	}
	f.Add("COMPONENT off { image = \"file://x\" enabled = false port = \"${env.NOT}\" }\nCOMPONENT a { image = \"file://x\" env = { P = \"${off.port}\" } }")
	f.Fuzz(func(t *testing.T, src string) {
		opts := Options{
			ReadFile: func(name string) ([]byte, error) {
				if name == "fuzz.ctst" {
					return []byte(src), nil
				}
				return nil, fs.ErrNotExist
			},
			Fetch:     func(context.Context, string, string) ([]byte, error) { return []byte(src), nil },
			LookupEnv: func(name string) (string, bool) { return name, len(name)%2 == 0 },
			CPUs:      2,
		}
		st, found := Load(context.Background(), "fuzz.ctst", opts)
		again, foundAgain := Load(context.Background(), "fuzz.ctst", opts)
		require.Equal(t, found, foundAgain)
		require.Equal(t, st, again)
		require.Equal(t, found.HasErrors(), st == nil)
		checkRanges(t, found, len(src))
		checkNothingLost(t, opts)
	})
}

// checkNothingLost: what a deployed component says arrives in it, or there is an
// error. Poison without a report would lose it silently.
func checkNothingLost(t *testing.T, opts Options) {
	t.Helper()
	r := newResolver(context.Background(), opts)
	if r.run("fuzz.ctst"); r.found.HasErrors() {
		return
	}
	for _, inst := range r.order {
		if inst.disabled {
			continue
		}
		for name, s := range inst.settings {
			out := r.merged(inst, name)
			require.True(t, out.set || out.unset, "%s of %s is lost (line %d)", name, inst.name, s.rng.Start.Line)
		}
	}
}

func checkRanges(t *testing.T, found diag.List, size int) {
	t.Helper()
	for _, d := range found {
		require.NotEmpty(t, d.Summary)
		require.Contains(t, diag.Meanings(), d.Code)
		for _, r := range append([]diag.Related{{Range: d.Range}}, d.Related...) {
			if r.Range.File == "" {
				continue
			}
			require.LessOrEqual(t, 0, r.Range.Start.Offset, d.Summary)
			require.LessOrEqual(t, r.Range.Start.Offset, r.Range.End.Offset, d.Summary)
			require.LessOrEqual(t, r.Range.End.Offset, size, d.Summary)
			require.GreaterOrEqual(t, r.Range.Start.Line, 1, d.Summary)
			require.GreaterOrEqual(t, r.Range.Start.Column, 1, d.Summary)
		}
	}
}
