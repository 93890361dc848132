package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
)

// web answers for the network, and counts.
type web struct {
	files map[string]string
	asked []string
	err   error // of every file that is not there
}

func (w *web) fetch(_ context.Context, url, pin string) ([]byte, error) {
	w.asked = append(w.asked, strings.TrimSuffix(url+"@"+pin, "@"))
	if text, ok := w.files[url]; ok {
		return []byte(text), nil
	}
	if w.err != nil {
		return nil, w.err
	}
	return nil, errors.New("404")
}

// loadWeb resolves a root file whose fetched files come from w.
func loadWeb(ctx context.Context, w *web, src string) (*stack.Stack, diag.List) {
	return Load(ctx, "app.ctst", Options{Fetch: w.fetch, ReadFile: func(name string) ([]byte, error) {
		if name == "app.ctst" {
			return []byte(src), nil
		}
		return nil, fs.ErrNotExist
	}})
}

func TestOneAddressIsFetchedOnce(t *testing.T) {
	w := &web{files: map[string]string{
		"https://example.org/t.ctst":     `COMPONENT t { image = "image://x" }`,
		"https://example.org/t.ctst?v=2": `COMPONENT t { image = "image://y" }`,
	}}
	st, found := loadWeb(t.Context(), w, `
		IMPORT "https://example.org/t.ctst" AS a
		IMPORT "https://EXAMPLE.org/t.ctst" AS b
		IMPORT "HTTPS://example.org:443/x/../t.ctst?" AS c
		IMPORT "https://example.org/./t.ctst@sha256:`+digest([]byte(w.files["https://example.org/t.ctst"]))+`" AS d
		IMPORT "https://example.org/t.ctst?v=2"
		COMPONENT one FROM c
		COMPONENT two FROM t`)
	require.NoError(t, found.Err())
	require.Equal(t, []string{"https://example.org/t.ctst", "https://example.org/t.ctst?v=2"}, w.asked)
	require.Equal(t, "image://x", st.Components[0].Image)
	require.Equal(t, "image://y", st.Components[1].Image)
}

func TestFetchGetsThePin(t *testing.T) {
	pin := strings.Repeat("a", 64)
	w := &web{files: map[string]string{"http://example.org/t.ctst": `COMPONENT t { image = "image://x" }`}}
	_, found := loadWeb(t.Context(), w, `IMPORT "http://example.org:80/t.ctst@sha256:`+pin+`"`)
	require.Equal(t, []string{"http://example.org/t.ctst@" + pin}, w.asked)
	require.Equal(t, []diag.Code{diag.ImportPin}, codes(found), "a pin holds whatever the fetcher does")
}

// A file over http imports from the same server only what it pins.
func TestRelativeOverHTTP(t *testing.T) {
	inner := `COMPONENT u { image = "image://x" }`
	outer := `IMPORT "u.ctst"`
	pinned := `IMPORT "u.ctst@sha256:` + digest([]byte(inner)) + `"`
	for text, want := range map[string][]diag.Code{outer: {diag.ImportAddress}, pinned: nil} {
		w := &web{files: map[string]string{"http://example.org/t.ctst": text, "http://example.org/u.ctst": inner}}
		_, found := loadWeb(t.Context(), w, `IMPORT "http://example.org/t.ctst@sha256:`+digest([]byte(text))+`"`)
		require.Equal(t, want, codes(found))
	}
}

func TestFailedFetchIsToldOnce(t *testing.T) {
	w := &web{err: fmt.Errorf("outer: %w", described{})}
	_, found := loadWeb(t.Context(), w, `
		IMPORT "https://example.org/t.ctst"
		IMPORT "https://example.org/t.ctst" AS again
		COMPONENT a FROM t
		COMPONENT b FROM again.x(y = 1)`)
	require.Len(t, w.asked, 1)
	require.Equal(t, []diag.Code{diag.NeedsNetwork}, codes(found))
	require.Equal(t, "as it says", found[0].Summary)
	require.Equal(t, "app.ctst", found[0].Range.File)
	require.Equal(t, 2, found[0].Range.Start.Line)
}

// described is an error that says itself how it is shown.
type described struct{}

func (described) Error() string { return "x" }

func (described) Diagnostic() diag.Diagnostic {
	return diag.Diagnostic{Code: diag.NeedsNetwork, Summary: "as it says"}
}

func TestWithoutFetch(t *testing.T) {
	_, found := loadText(`IMPORT "https://example.org/t.ctst"`)
	require.Equal(t, []diag.Code{diag.ImportUnsupported}, codes(found))
}

func TestInterruptedFetch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &web{}
	_, found := Load(ctx, "app.ctst", Options{
		ReadFile: func(string) ([]byte, error) { return []byte(`IMPORT "https://example.org/t.ctst"`), nil },
		Fetch: func(ctx context.Context, url, pin string) ([]byte, error) {
			cancel()
			return w.fetch(ctx, url, pin)
		},
	})
	require.Equal(t, []diag.Code{diag.FileUnreadable}, codes(found), "the interruption alone")
}

// Both kinds of imports count for the limits, and what cannot be had counts
// too: a file is no way to make thousands of requests.
func TestLimitsOfFetched(t *testing.T) {
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "IMPORT \"https://example.org/none%d.ctst\"\n", i)
	}
	w := &web{}
	_, found := loadWeb(t.Context(), w, many.String())
	require.Len(t, w.asked, maxFiles-1, "the root file is one")
	require.Contains(t, codes(found), diag.ImportLimit)

	deep := &web{files: map[string]string{}}
	for i := range 40 {
		deep.files[fmt.Sprintf("https://example.org/f%d.ctst", i)] = fmt.Sprintf("IMPORT \"f%d.ctst\"\nCOMPONENT c { image = \"image://x\" }", i+1)
	}
	_, found = loadWeb(t.Context(), deep, `IMPORT "https://example.org/f0.ctst"`)
	require.Equal(t, []diag.Code{diag.ImportLimit}, codes(found))
	require.Len(t, deep.asked, maxImportDepth)
}

// A fetched file never gets to see the environment, not even that of a name
// which is not set.
func TestFetchedFileAsksForNothing(t *testing.T) {
	w := &web{files: map[string]string{"https://example.org/t.ctst": `
		LET l = "${env.LET}"
		COMPONENT t(p = "${env.DEFAULT:-x}", q: string) {
			image = "image://${env.IMAGE}"
			env   = { A = "${let.l}", B = "${param.p}", C = "${secret.key}", D = "${param.q}" }
		}
		COMPONENT u FROM t(q = "${env.ARGUMENT}")`}}
	var asked []string
	_, found := Load(t.Context(), "app.ctst", Options{
		Fetch: w.fetch,
		ReadFile: func(name string) ([]byte, error) {
			if name == ".env" {
				return nil, fs.ErrNotExist
			}
			return []byte("IMPORT \"https://example.org/t.ctst\"\nCOMPONENT a FROM t.t(q = \"${env.GIVEN}\")\nCOMPONENT b FROM t.u"), nil
		},
		LookupEnv: func(name string) (string, bool) {
			asked = append(asked, name)
			return "x", true
		},
		LookupSecret: func(name string) (string, error) {
			asked = append(asked, name)
			return "x", nil
		},
	})
	require.Equal(t, []string{"GIVEN"}, asked)
	require.Equal(t, []diag.Code{diag.NotInFetched, diag.NotInFetched, diag.NotInFetched, diag.NotInFetched, diag.NotInFetched}, codes(found))
}

// FuzzAddress: the form of an address that an import gets is the form that it
// keeps, has no credentials, and is over https or pinned.
func FuzzAddress(f *testing.F) {
	for _, address := range []string{
		"https://example.org/a.ctst", "HTTPS://BÜCHER.example:443/../a?b=c", "http://[::1]:80/x", "https://a@b/", "https://%C3%A9.org/%2e%2e/%41",
		"../x.ctst", "/x", "//h/x", "?q", "#f", "https:x", "file:/x", "https://faß.de:0443/", "https://h:/%zz", "https://h/a b\u202e",
	} {
		f.Add(address, true)
		f.Add(address, false)
	}
	f.Fuzz(func(t *testing.T, address string, fetched bool) {
		r := &resolver{reported: map[reportKey]bool{}}
		u := &unit{}
		if fetched {
			at, ok := r.locateURL(u, &ast.Import{Path: &ast.String{}}, "https://example.org/dir/base.ctst", "")
			require.True(t, ok)
			u.location = at
		}
		at, ok := r.locateURL(u, &ast.Import{Path: &ast.String{}}, address, "")
		if !ok {
			require.NotEmpty(t, r.found)
			return
		}
		require.True(t, strings.HasPrefix(at.name, "https://"), at.name)
		require.Nil(t, at.url.User)
		for _, c := range at.name {
			require.True(t, c > ' ' && c < 0x7f, at.name)
		}
		again, ok := r.locateURL(&unit{}, &ast.Import{Path: &ast.String{}}, at.name, "")
		require.True(t, ok, "%s: %v", at.name, r.found)
		require.Equal(t, at.name, again.name)
	})
}
