package specsuite_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/specsuite"
)

var update = flag.Bool("update", false, "rewrite the goldens")

func TestCases(t *testing.T) {
	cases, err := specsuite.Cases()
	require.NoError(t, err)
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			require.NotEmpty(t, c.Doc, "the case does not say what it shows")
			got, err := c.Run(t.Context())
			require.NoError(t, err)
			if *update {
				require.NoError(t, os.WriteFile(filepath.Join("testdata", c.Name+".txtar"), c.Update(got), 0o644))
				return
			}
			require.NotEmpty(t, c.Want, "no want; run with -update")
			require.Equal(t, c.Want, got)
		})
	}
}

// A mistake of a new user in a file of some size is exactly one diagnostic.
func TestOneMistakeIsOneDiagnostic(t *testing.T) {
	cases, err := specsuite.Cases()
	require.NoError(t, err)
	mistakes := 0
	for _, c := range cases {
		if !strings.HasPrefix(c.Name, "mistake_") {
			continue
		}
		mistakes++
		text, err := c.File(specsuite.Root)
		require.NoError(t, err)
		require.GreaterOrEqual(t, strings.Count(string(text), "\n"), 20, "%s is no realistic file", c.Name)
		st, found := c.Resolve(t.Context())
		require.Nil(t, st, c.Name)
		require.Len(t, found, 1, c.Name)
	}
	require.GreaterOrEqual(t, mistakes, 10)
}

// Each diagnostic of a case can be mended from its text: it has a suggestion or
// a detail, beside a place.
func TestEveryDiagnosticHasAMend(t *testing.T) {
	cases, err := specsuite.Cases()
	require.NoError(t, err)
	for _, c := range cases {
		_, found := c.Resolve(t.Context())
		for _, d := range found {
			if d.Suggestion+d.Detail == "" {
				t.Errorf("%s: %s at line %d: %s", c.Name, d.Code, d.Range.Start.Line, d.Summary)
			}
			require.NotEmpty(t, d.Range.File, "%s: %s has no place", c.Name, d.Code)
		}
	}
}

// Every code of the language is seen in a case, or in the test that is named.
func TestEveryCode(t *testing.T) {
	cases, err := specsuite.Cases()
	require.NoError(t, err)
	var all strings.Builder
	for _, c := range cases {
		all.WriteString(c.Want)
	}
	elsewhere := specsuite.CodesWithoutCase()
	var missing []string
	for _, code := range diag.Codes() {
		seen := strings.Contains(all.String(), "error["+string(code)+"]") || strings.Contains(all.String(), "warning["+string(code)+"]")
		if _, ok := elsewhere[code]; ok {
			require.False(t, seen, "%s is seen in a case after all", code)
			continue
		}
		if !seen {
			missing = append(missing, string(code)+" "+diag.Meanings()[code])
		}
	}
	require.Empty(t, missing, "no case shows them")
}
