package sdk_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/fetch"
	"github.com/containust/containust/modules/lang/lock"
	"github.com/containust/containust/modules/sdk"
)

// web is an https server whose files can be changed.
type web struct {
	*httptest.Server
	mu       sync.Mutex
	files    map[string]string
	requests int
}

func serve(t *testing.T, files map[string]string) *web {
	t.Helper()
	w := &web{files: files}
	w.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.requests++
		text, ok := w.files[r.URL.Path]
		if !ok {
			http.NotFound(out, r)
			return
		}
		fmt.Fprint(out, text)
	}))
	w.Config.ErrorLog = log.New(io.Discard, "", 0)
	w.StartTLS()
	t.Cleanup(w.Close)
	return w
}

func (w *web) set(path, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.files[path] = text
}

// taken returns how many requests there were since it was called last.
func (w *web) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.requests
	w.requests = 0
	return n
}

// project is a folder with a file that imports from the server; %s in the text
// stands for the server's address.
type project struct {
	t     *testing.T
	web   *web
	dir   string
	cache string
}

func newProject(t *testing.T, w *web, text string) *project {
	t.Helper()
	p := &project{t: t, web: w, dir: write(t, nil), cache: t.TempDir()}
	p.write(text)
	return p
}

func (p *project) write(text string) {
	p.t.Helper()
	require.NoError(p.t, os.WriteFile(filepath.Join(p.dir, "app.ctst"), []byte(strings.ReplaceAll(text, "%s", p.web.URL)), 0o600))
}

func (p *project) open(offline bool) *sdk.Engine {
	p.t.Helper()
	e, err := sdk.Open(sdk.Options{
		File: filepath.Join(p.dir, "app.ctst"), CacheDir: p.cache, Offline: offline, HTTPClient: p.web.Client(),
		LookupEnv: func(string) (string, bool) { return "", false },
	})
	require.NoError(p.t, err)
	return e
}

// load loads the file and returns the codes of what was found.
func (p *project) load(offline bool) []diag.Code {
	p.t.Helper()
	_, found := p.open(offline).Load(p.t.Context())
	var codes []diag.Code
	for _, d := range found {
		codes = append(codes, d.Code)
	}
	return codes
}

func (p *project) update() error {
	p.t.Helper()
	if runtime.GOOS != "linux" {
		p.t.Skip("sources are read on Linux")
	}
	_, err := p.open(false).Plan(p.t.Context(), sdk.PlanOptions{Update: true})
	return err
}

// locked returns the imports of ctst.lock, by path on the server.
func (p *project) locked() map[string]string {
	p.t.Helper()
	f, err := lock.Read(filepath.Join(p.dir, lock.Name))
	require.NoError(p.t, err)
	got := map[string]string{}
	for url, digest := range f.Imports {
		got[strings.TrimPrefix(url, p.web.URL)] = digest
	}
	return got
}

func digest(text string) string { return fetch.Digest([]byte(text)) }

const (
	oneTemplate = `COMPONENT t { command = ["/one"] }`
	twoTemplate = `COMPONENT t { command = ["/two"] }`
	usesT       = "IMPORT \"%s/lib/t.ctst\"\nCOMPONENT a FROM t { image = \"file://./root\" }"
)

func TestImportIsRecordedAndKept(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": "IMPORT \"../other/u.ctst\"\nCOMPONENT t FROM u", "/other/u.ctst": oneTemplate})
	p := newProject(t, w, usesT)
	require.Empty(t, p.load(false))
	require.Equal(t, 2, w.taken())
	require.Equal(t, map[string]string{"/lib/t.ctst": digest(w.files["/lib/t.ctst"]), "/other/u.ctst": digest(oneTemplate)}, p.locked())

	before, err := os.Stat(filepath.Join(p.dir, lock.Name))
	require.NoError(t, err)
	require.Empty(t, p.load(false))
	require.Empty(t, p.load(true))
	require.Zero(t, w.taken(), "lock and cache have it")
	after, err := os.Stat(filepath.Join(p.dir, lock.Name))
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "what says the same is not written")

	// On another machine the lock says what it must be.
	p.cache = t.TempDir()
	require.Equal(t, []diag.Code{diag.NeedsNetwork}, p.load(true))
	require.Zero(t, w.taken())
	require.Empty(t, p.load(false))
	require.Equal(t, 2, w.taken())
}

func TestOfflineNamesTheAddress(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate})
	p := newProject(t, w, usesT)
	_, found := p.open(true).Load(t.Context())
	require.Len(t, found, 1)
	require.Equal(t, diag.NeedsNetwork, found[0].Code)
	require.Contains(t, found[0].Summary, w.URL+"/lib/t.ctst")
	require.Zero(t, w.taken())
	require.NoFileExists(t, filepath.Join(p.dir, lock.Name))
}

func TestChangedImport(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate, "/gone.ctst": oneTemplate})
	p := newProject(t, w, usesT+"\nIMPORT \"%s/gone.ctst\"")
	require.Empty(t, p.load(false))
	w.set("/lib/t.ctst", twoTemplate)
	require.Empty(t, p.load(false), "what is locked and kept is used")

	p.cache = t.TempDir()
	_, found := p.open(false).Load(t.Context())
	require.Len(t, found, 1)
	require.Equal(t, diag.ImportChanged, found[0].Code)
	require.Contains(t, found[0].Detail, digest(oneTemplate))
	require.Contains(t, found[0].Detail, digest(twoTemplate))
	require.Contains(t, found[0].Detail, "ctst build --update")
	require.Equal(t, digest(oneTemplate), p.locked()["/lib/t.ctst"])

	p.write(usesT) // gone.ctst is not imported any more
	w.taken()
	require.NoError(t, p.update())
	require.Equal(t, 1, w.taken())
	require.Equal(t, map[string]string{"/lib/t.ctst": digest(twoTemplate)}, p.locked())
	require.Empty(t, p.load(true))
}

// An update that finds an error changes nothing, and one without the network
// is refused.
func TestUpdateIsWhole(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate})
	p := newProject(t, w, usesT)
	require.Empty(t, p.load(false))
	was := p.locked()
	w.set("/lib/t.ctst", twoTemplate)
	p.write(usesT + "\nIMPORT \"%s/none.ctst\"")
	require.ErrorContains(t, p.update(), "404")
	require.Equal(t, was, p.locked())

	p.write(usesT)
	_, err := p.open(false).Plan(t.Context(), sdk.PlanOptions{Update: true, Import: true})
	require.ErrorContains(t, err, "there is no")
	require.Equal(t, was, p.locked())
	_, err = p.open(true).Plan(t.Context(), sdk.PlanOptions{Update: true})
	require.ErrorContains(t, err, "needs the network")
}

func TestPinAndLock(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate})
	p := newProject(t, w, usesT)
	require.Empty(t, p.load(false))
	pin := func(text string) string { return strings.Replace(usesT, "t.ctst", "t.ctst@sha256:"+digest(text), 1) }
	p.write(pin(oneTemplate))
	require.Empty(t, p.load(true))

	w.set("/lib/t.ctst", twoTemplate)
	p.write(pin(twoTemplate))
	_, found := p.open(false).Load(t.Context())
	require.Len(t, found, 1)
	require.Equal(t, diag.ImportPin, found[0].Code)
	require.Contains(t, found[0].Detail, digest(oneTemplate))
	require.Contains(t, found[0].Detail, digest(twoTemplate))
	require.NoError(t, p.update())
	require.Equal(t, map[string]string{"/lib/t.ctst": digest(twoTemplate)}, p.locked())
}

func TestLockThatCannotBeUsed(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate})
	for name, c := range map[string]struct {
		text string
		line int
		says string
	}{
		"damaged": {"{\n  \"version\": 1,\n<<<<<<< HEAD\n", 3, "a merge may have left it so"},
		"newer":   {`{"version": 2}`, 0, "newer ctst"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProject(t, w, usesT)
			path := filepath.Join(p.dir, lock.Name)
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			st, found := p.open(false).Load(t.Context())
			require.Nil(t, st)
			require.Len(t, found, 1)
			require.Equal(t, diag.LockUnusable, found[0].Code)
			require.Equal(t, c.line, found[0].Range.Start.Line)
			require.Contains(t, found[0].Detail, c.says)
			require.ErrorContains(t, p.update(), path)
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, c.text, string(got), "it is left for a person to mend")
		})
	}
}

// A folder that cannot be written is in the way only of what must be recorded.
func TestFolderThatCannotBeWritten(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []diag.Code
	}{
		"new":    {usesT, []diag.Code{diag.LockUnusable}},
		"pinned": {strings.Replace(usesT, "t.ctst", "t.ctst@sha256:"+digest(oneTemplate), 1), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var p *project
			w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate})
			// Modes do not bind root; a folder that is gone by then does.
			w.Config.Handler = http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
				if err := os.RemoveAll(p.dir); err != nil {
					t.Error(err)
				}
				fmt.Fprint(out, oneTemplate)
			})
			p = newProject(t, w, c.text)
			require.Equal(t, c.want, p.load(false))
			require.NoDirExists(t, p.dir)
		})
	}
}

func TestUnknownPartsOfTheLockStay(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate})
	p := newProject(t, w, usesT)
	path := filepath.Join(p.dir, lock.Name)
	require.NoError(t, os.WriteFile(path, []byte(`{"version": 1, "images": {"a": "sha256:b"}}`), 0o600))
	require.Empty(t, p.load(false))
	require.NoError(t, p.update())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var got struct {
		Images, Imports map[string]string
	}
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, map[string]string{"a": "sha256:b"}, got.Images)
	require.Len(t, got.Imports, 1)
}

func TestSourceOfAnImport(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": `COMPONENT t { imagee = "x" }`})
	p := newProject(t, w, usesT)
	e := p.open(false)
	_, found := e.Load(t.Context())
	require.Equal(t, w.URL+"/lib/t.ctst", found[0].Range.File)
	text, err := e.Source(found[0].Range.File)
	require.NoError(t, err)
	require.Equal(t, w.files["/lib/t.ctst"], string(text))
	_, err = e.Source(filepath.Join(p.dir, "app.ctst"))
	require.NoError(t, err)
}

// Who was faster is not overwritten: what was fetched differs from what the
// lock says by then.
func TestRecordedByAnotherMeanwhile(t *testing.T) {
	var p *project
	w := serve(t, nil)
	w.Config.Handler = http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		text := fmt.Sprintf(`{"version": 1, "imports": {"%s/lib/t.ctst": "sha256:%s"}}`, p.web.URL, digest(twoTemplate))
		if err := os.WriteFile(filepath.Join(p.dir, lock.Name), []byte(text), 0o600); err != nil {
			t.Error(err)
		}
		fmt.Fprint(out, oneTemplate)
	})
	p = newProject(t, w, usesT)
	require.Equal(t, []diag.Code{diag.ImportChanged}, p.load(false))
	require.Equal(t, digest(twoTemplate), p.locked()["/lib/t.ctst"])
}

// Two processes that load at once record both, and see the same.
func TestLoadedAtOnce(t *testing.T) {
	w := serve(t, map[string]string{"/lib/t.ctst": oneTemplate})
	p := newProject(t, w, usesT)
	var wg sync.WaitGroup
	for range 8 {
		e := p.open(false)
		wg.Add(1)
		go func() {
			defer wg.Done()
			if _, found := e.Load(t.Context()); len(found) > 0 {
				t.Errorf("%v", found)
			}
		}()
	}
	wg.Wait()
	require.Equal(t, map[string]string{"/lib/t.ctst": digest(oneTemplate)}, p.locked())
}
