package lock_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/internal/wholefile"
	"github.com/containust/containust/modules/lang/lock"
)

var (
	zeros = strings.Repeat("0", 64)
	ones  = strings.Repeat("1", 64)
)

const written = `{
  "version": 1,
  "images": {
    "x": [
      1.50,
      "<&>"
    ]
  },
  "imports": {
    "https://a.example/?b=1&c=2": "sha256:ZEROS",
    "https://b.example/": "sha256:ONES"
  }
}
`

func text(s string) string { return strings.NewReplacer("ZEROS", zeros, "ONES", ones).Replace(s) }

func TestFormat(t *testing.T) {
	f, err := lock.Parse([]byte(text(`{"imports":{"https://b.example/":"sha256:ONES","https://a.example/?b=1\u0026c=2":"sha256:ZEROS"},
		"images": {"x": [1.50, "<&>"]}, "version": 1}`)))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"https://a.example/?b=1&c=2": zeros, "https://b.example/": ones}, f.Imports)
	require.Equal(t, text(written), string(f.Format()), "sorted, what is not known kept")
	require.Equal(t, "{\n  \"version\": 1\n}\n", string((&lock.File{}).Format()))
}

func TestParseErrors(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want string
		line int
		is   error
	}{
		"empty":              {"", "ends too early", 1, lock.ErrDamaged},
		"cut":                {"{\n  \"version\": 1,\n", "ends too early", 3, lock.ErrDamaged},
		"no object":          {"[]", "not an object", 1, lock.ErrDamaged},
		"null":               {"null", "not an object", 1, lock.ErrDamaged},
		"merge conflict":     {"{\n  \"version\": 1,\n<<<<<<< HEAD\n", "invalid character '<'", 3, lock.ErrDamaged},
		"no version":         {"{}", "no version", 1, lock.ErrDamaged},
		"version 0":          {`{"version": 0}`, "version", 1, lock.ErrDamaged},
		"version text":       {`{"version": "1"}`, "version", 1, lock.ErrDamaged},
		"newer":              {`{"version": 2, "imports": 7}`, "format 2", 0, lock.ErrNewer},
		"two of one key":     {text("{\"version\": 1, \"imports\": {\n\"u\": \"sha256:ZEROS\",\n\"u\": \"sha256:ONES\"}}"), `"u" stands in it twice`, 3, lock.ErrDamaged},
		"two import lists":   {`{"version": 1, "imports": {}, "imports": {}}`, "twice", 1, lock.ErrDamaged},
		"imports is a list":  {`{"version": 1, "imports": []}`, "imports is not an object", 1, lock.ErrDamaged},
		"short digest":       {`{"version": 1, "imports": {"u": "sha256:00"}}`, `digest of "u"`, 1, lock.ErrDamaged},
		"digest of others":   {text(`{"version": 1, "imports": {"u": "sha512:ZEROS"}}`), `digest of "u"`, 1, lock.ErrDamaged},
		"digest is no text":  {`{"version": 1, "imports": {"u": 7}}`, `digest of "u"`, 1, lock.ErrDamaged},
		"more behind":        {`{"version": 1} {}`, "follows its end", 1, lock.ErrDamaged},
		"rubbish behind":     {"{\"version\": 1}\n>>>>>>> x", "follows its end", 2, lock.ErrDamaged},
		"not UTF-8":          {"{\"version\": 1, \"\xff\": 1}", "UTF-8", 1, lock.ErrDamaged},
		"nested without end": {strings.Repeat(`{"a":`, 20000), "depth", 1, lock.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lock.Parse([]byte(c.text))
			require.ErrorIs(t, err, c.is)
			require.ErrorContains(t, err, c.want)
			var e *lock.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, c.line, e.Pos.Line)
			require.NotEmpty(t, e.Diagnostic().Detail)
			require.Equal(t, diag.LockUnusable, e.Diagnostic().Code)
		})
	}
}

func TestReadOnlyRegularFiles(t *testing.T) {
	dir := t.TempDir()
	f, err := lock.Read(filepath.Join(dir, "none"))
	require.NoError(t, err)
	require.Empty(t, f.Imports)

	_, err = lock.Read(dir)
	require.ErrorIs(t, err, wholefile.ErrNotRegular)
	require.EqualError(t, err, "read "+dir+": not a regular file")

	large := filepath.Join(dir, "large")
	require.NoError(t, os.WriteFile(large, nil, 0o600))
	require.NoError(t, os.Truncate(large, 17<<20))
	_, err = lock.Read(large)
	require.ErrorIs(t, err, wholefile.ErrTooLarge)

	if runtime.GOOS == "windows" {
		return // links need a privilege there
	}
	good := filepath.Join(dir, "good")
	require.NoError(t, os.WriteFile(good, []byte(text(written)), 0o600))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink(good, link))
	_, err = lock.Read(link)
	require.ErrorIs(t, err, wholefile.ErrNotRegular, "a link could lead out of the project")
	require.ErrorIs(t, lock.Update(link, func(*lock.File) error { return nil }), wholefile.ErrNotRegular)
}

func TestUpdate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, lock.Name)
	nothing := func(*lock.File) error { return nil }
	require.NoError(t, lock.Update(path, nothing))
	require.NoFileExists(t, path, "nothing to say is no file")

	add := func(url, digest string) func(*lock.File) error {
		return func(f *lock.File) error {
			if f.Imports == nil {
				f.Imports = map[string]string{}
			}
			f.Imports[url] = digest
			return nil
		}
	}
	require.NoError(t, lock.Update(path, add("https://a/", zeros)))
	require.NoError(t, lock.Update(path, add("https://b/", ones)))
	f, err := lock.Read(path)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"https://a/": zeros, "https://b/": ones}, f.Imports)

	// What is written in another way is left alone as long as it says the same.
	odd := []byte(text(`{"version":1,"imports":{"https://b/":"sha256:ONES"}}`))
	require.NoError(t, os.WriteFile(path, odd, 0o600))
	require.NoError(t, lock.Update(path, add("https://b/", ones)))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, odd, got)

	stop := errors.New("stop")
	require.ErrorIs(t, lock.Update(path, func(f *lock.File) error { clear(f.Imports); return stop }), stop)
	got, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, odd, got)

	require.ErrorIs(t, lock.Update(filepath.Join(dir, "none", lock.Name), add("u", zeros)), fs.ErrNotExist)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}

// FuzzParse: any text is read or refused without a panic; what was read is
// written to the same text again, however often.
func FuzzParse(f *testing.F) {
	f.Add([]byte(text(written)))
	f.Add([]byte(text(`{"imports":{"":"sha256:ZEROS"},"version":1,"":null}`)))
	f.Add([]byte(`{"version":1,"a":{"b":[{}, [], "\ud800", 1e9]}}`))
	f.Add([]byte(`{"version":1,"imports":{},"imports":{}}`))
	f.Add([]byte("{\"version\":2}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		first, err := lock.Parse(src)
		if err != nil {
			var e *lock.Error
			require.ErrorAs(t, err, &e)
			require.LessOrEqual(t, e.Pos.Offset, len(src))
			return
		}
		once := first.Format()
		second, err := lock.Parse(once)
		require.NoError(t, err, "%s", once)
		require.Equal(t, first.Imports, second.Imports)
		require.Equal(t, string(once), string(second.Format()))
	})
}
