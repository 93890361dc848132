package fetch_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/fetch"
)

// site is an https server that counts what it is asked.
type site struct {
	*httptest.Server
	requests atomic.Int64
}

func serve(t *testing.T, handler http.HandlerFunc) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		handler(w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that break off are meant to
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// standard returns a client as a fetcher makes it, which trusts the site.
func standard(t *testing.T, s *site) *http.Client {
	t.Helper()
	transport, ok := fetch.Transport().(*http.Transport)
	require.True(t, ok)
	transport.TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig
	return &http.Client{Transport: transport}
}

// forbidden fails the test when anything is asked of the network.
type forbidden struct{ t *testing.T }

func (f forbidden) RoundTrip(r *http.Request) (*http.Response, error) {
	f.t.Errorf("the network was asked for %s", r.URL)
	return nil, io.ErrUnexpectedEOF
}

func TestFetchKeepsByDigest(t *testing.T) {
	s := serve(t, says("text"))
	dir := t.TempDir()
	digest := fetch.Digest([]byte("text"))
	url := s.URL + "/a.ctst"

	f := fetch.New(dir, fetch.Options{Client: s.Client()})
	got, err := f.Fetch(t.Context(), url, "")
	require.NoError(t, err)
	require.Equal(t, "text", string(got))
	kept, err := os.ReadFile(filepath.Join(dir, "imports", "sha256", digest))
	require.NoError(t, err)
	require.Equal(t, "text", string(kept))

	for name, c := range map[string]struct {
		locked map[string]string
		pin    string
	}{
		"pinned":            {nil, digest},
		"locked":            {map[string]string{url: digest}, ""},
		"pinned and locked": {map[string]string{url: digest}, digest},
	} {
		for _, offline := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", offline ", offline), func(t *testing.T) {
				f := fetch.New(dir, fetch.Options{Client: &http.Client{Transport: forbidden{t}}, Locked: c.locked, Offline: offline})
				got, err := f.Fetch(t.Context(), url, c.pin)
				require.NoError(t, err)
				require.Equal(t, "text", string(got))
			})
		}
	}
	require.EqualValues(t, 1, s.requests.Load())
}

func TestDigestsThatDiffer(t *testing.T) {
	s := serve(t, says("new"))
	url := s.URL + "/a.ctst"
	old, now := fetch.Digest([]byte("old")), fetch.Digest([]byte("new"))
	for name, c := range map[string]struct {
		pin, locked string
		want        fetch.DigestError
		code        diag.Code
		says        []string
		requests    int64
	}{
		"changed":      {"", old, fetch.DigestError{Locked: old, Found: now}, diag.ImportChanged, []string{old, now, "ctst build --update"}, 1},
		"pin":          {old, "", fetch.DigestError{Pin: old, Found: now}, diag.ImportPin, []string{old, now}, 1},
		"pin and lock": {old, old, fetch.DigestError{Pin: old, Locked: old, Found: now}, diag.ImportPin, []string{old, now}, 1},
		"pin or lock":  {now, old, fetch.DigestError{Pin: now, Locked: old}, diag.ImportPin, []string{old, now, "ctst build --update"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s.requests.Store(0)
			dir := t.TempDir()
			opts := fetch.Options{Client: s.Client()}
			if c.locked != "" {
				opts.Locked = map[string]string{url: c.locked}
			}
			_, err := fetch.New(dir, opts).Fetch(t.Context(), url, c.pin)
			c.want.URL = url
			var got *fetch.DigestError
			require.ErrorAs(t, err, &got)
			require.Equal(t, c.want, *got)
			require.Equal(t, c.requests, s.requests.Load())
			d := got.Diagnostic()
			require.Equal(t, c.code, d.Code)
			for _, part := range c.says {
				require.Contains(t, d.Detail, part)
			}
			require.NoDirExists(t, filepath.Join(dir, "imports"), "what is not accepted is not kept")
		})
	}
}

func TestOffline(t *testing.T) {
	digest := fetch.Digest([]byte("text"))
	const url = "https://example.org/a.ctst"
	for name, c := range map[string]struct {
		locked, kept string
		says         string
	}{
		"never fetched": {"", "", "never fetched for this project"},
		"not kept":      {digest, "", "cache of this machine"},
		"damaged":       {digest, "texT", "damaged"},
		"cut":           {digest, "tex", "damaged"},
		"no digest":     {"../" + digest, "", "is not a digest"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if c.kept != "" {
				keep(t, dir, digest, c.kept)
			}
			opts := fetch.Options{Client: &http.Client{Transport: forbidden{t}}, Offline: true}
			if c.locked != "" {
				opts.Locked = map[string]string{url: c.locked}
			}
			_, err := fetch.New(dir, opts).Fetch(t.Context(), url, "")
			var offline *fetch.OfflineError
			require.ErrorAs(t, err, &offline)
			require.ErrorContains(t, err, "needs the network: "+url)
			d := offline.Diagnostic()
			require.Equal(t, diag.NeedsNetwork, d.Code)
			require.Contains(t, d.Summary, url)
			require.Contains(t, d.Detail, c.says)
			require.Contains(t, d.Detail, "--offline")
		})
	}
}

// keep puts something into the cache under a digest.
func keep(t *testing.T, dir, digest, text string) string {
	t.Helper()
	path := filepath.Join(dir, "imports", "sha256", digest)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestDamagedCacheIsFetchedAnew(t *testing.T) {
	s := serve(t, says("text"))
	digest := fetch.Digest([]byte("text"))
	for name, damage := range map[string]func(path string) error{
		"changed": func(path string) error { return os.WriteFile(path, []byte("texT"), 0o600) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"huge":    func(path string) error { return os.Truncate(path, 1<<40) },
		"link": func(path string) error {
			other := path + ".other"
			if err := os.Rename(path, other); err != nil {
				return err
			}
			return os.Symlink(other, path)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := keep(t, dir, digest, "text")
			if err := damage(path); err != nil {
				t.Skip(err) // Windows asks a privilege for links
			}
			f := fetch.New(dir, fetch.Options{Client: s.Client()})
			got, err := f.Fetch(t.Context(), s.URL+"/a.ctst", digest)
			require.NoError(t, err)
			require.Equal(t, "text", string(got))
			info, err := os.Lstat(path)
			require.NoError(t, err)
			require.True(t, info.Mode().IsRegular())
			kept, err := os.ReadFile(path)
			require.NoError(t, err)
			require.Equal(t, "text", string(kept))
		})
	}
}

func TestCacheThatCannotBeWritten(t *testing.T) {
	s := serve(t, says("text"))
	dir := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	_, err := fetch.New(dir, fetch.Options{Client: s.Client()}).Fetch(t.Context(), s.URL+"/a.ctst", "")
	require.ErrorContains(t, err, "keep it in the cache")
}

func TestRefused(t *testing.T) {
	plain := httptest.NewServer(says("plain"))
	t.Cleanup(plain.Close)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, plain.URL, http.StatusMovedPermanently)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/password":
			http.Redirect(w, r, "https://user:hidden@"+r.Host+"/ok", http.StatusFound)
		case "/hop":
			n := 0
			fmt.Sscan(r.URL.Query().Get("n"), &n)
			if n > 0 {
				http.Redirect(w, r, fmt.Sprintf("/hop?n=%d", n-1), http.StatusTemporaryRedirect)
			}
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		case "/login":
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
		case "/partial":
			w.WriteHeader(http.StatusPartialContent)
		case "/announced":
			w.Header().Set("Content-Length", fmt.Sprint(5<<20))
		case "/large":
			w.Write(make([]byte, fetch.MaxBytes+1))
		case "/largest":
			w.Write(make([]byte, fetch.MaxBytes))
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			zeros := make([]byte, 1<<20)
			for range 64 {
				z.Write(zeros)
			}
			z.Close()
		case "/packed":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			fmt.Fprint(z, "packed")
			z.Close()
		case "/headers":
			for i := range 100 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1<<10))
			}
		case "/short":
			w.Header().Set("Content-Length", "10")
			fmt.Fprint(w, "short")
		case "/ok":
		default:
			http.NotFound(w, r)
		}
	})
	text := func(s string) string { return fetch.Digest([]byte(s)) }
	for name, c := range map[string]struct {
		url, pin string
		want     string // of the error; empty: none
	}{
		"not there":              {s.URL + "/none", "", "the server answered 404 Not Found"},
		"another status":         {s.URL + "/teapot", "", "418"},
		"login":                  {s.URL + "/login", "", "401 Unauthorized"},
		"a part":                 {s.URL + "/partial", "", "206"},
		"redirect loop":          {s.URL + "/loop", "", "more than 5 redirects"},
		"five redirects":         {s.URL + "/hop?n=5", "", ""},
		"six redirects":          {s.URL + "/hop?n=6", "", "more than 5 redirects"},
		"https to http":          {s.URL + "/plain", "", "from https to http is refused"},
		"https to http, pinned":  {s.URL + "/plain", text("plain"), "from https to http is refused"},
		"https to a file":        {s.URL + "/file", "", "from https to file is refused"},
		"redirect with password": {s.URL + "/password", "", "user name or password"},
		"http":                   {plain.URL, "", "http needs a pin"},
		"http, pinned":           {plain.URL, text("plain"), ""},
		"http, other pin":        {plain.URL, text("other"), "pinned to sha256:" + text("other")},
		"announced":              {s.URL + "/announced", "", "larger than 4 MiB"},
		"large":                  {s.URL + "/large", "", "larger than 4 MiB"},
		"largest":                {s.URL + "/largest", "", ""},
		"gzip":                   {s.URL + "/packed", text("packed"), ""},
		"gzip bomb":              {s.URL + "/bomb", "", "larger than 4 MiB"},
		"cut":                    {s.URL + "/short", "", "unexpected EOF"},
		"password":               {strings.Replace(s.URL, "https://", "https://user:hidden@", 1), "", "user name or password"},
		"no host":                {"https:///x", "", "names no host"},
		"a file":                 {"file:///etc/passwd", "", `"file" is neither https nor http`},
		"no URL":                 {"https://a\nb", "", "invalid control character"},
		"nobody listens":         {"https://127.0.0.1:1/", "", "connect"},
		"traversal":              {s.URL + "/ok", "../../../../etc/passwd", "pinned to"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := fetch.New(dir, fetch.Options{Client: s.Client()}).Fetch(t.Context(), c.url, c.pin)
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hidden")
			require.NoDirExists(t, filepath.Join(dir, "imports"))
			var described interface{ Diagnostic() diag.Diagnostic }
			require.ErrorAs(t, err, &described)
			require.NotEmpty(t, described.Diagnostic().Summary)
			require.Contains(t, diag.Meanings(), described.Diagnostic().Code)
		})
	}

	t.Run("large headers", func(t *testing.T) {
		// The limit is the transport's, so that it is tried with the standard
		// one; only the authority is the test's.
		f := fetch.New(t.TempDir(), fetch.Options{Client: standard(t, s)})
		_, err := f.Fetch(t.Context(), s.URL+"/ok", "")
		require.NoError(t, err)
		_, err = f.Fetch(t.Context(), s.URL+"/headers", "")
		require.ErrorContains(t, err, "header")
	})
}

func TestWhatIsSent(t *testing.T) {
	var other *site
	seen := make(chan *http.Request, 2)
	other = serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		http.SetCookie(w, &http.Cookie{Name: "c", Value: "1"})
		fmt.Fprint(w, "text")
	})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r
		http.SetCookie(w, &http.Cookie{Name: "c", Value: "1"})
		http.Redirect(w, r, other.URL+"/there?x=1", http.StatusFound)
	})
	client := s.Client()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client.Jar = jar
	got, err := fetch.New(t.TempDir(), fetch.Options{Client: client}).Fetch(t.Context(), s.URL+"/a?token=hidden", "")
	require.NoError(t, err)
	require.Equal(t, "text", string(got), "another host may serve it")
	for _, path := range []string{"/a?token=hidden", "/there?x=1"} {
		r := <-seen
		require.Equal(t, path, r.URL.RequestURI())
		require.Equal(t, http.MethodGet, r.Method)
		require.Equal(t, "containust", r.UserAgent())
		for _, name := range []string{"Authorization", "Cookie", "Referer"} {
			require.Empty(t, r.Header.Get(name), name)
		}
	}
}

// A server that ends its answer when it sees nobody listening is not believed:
// half of a file is no file.
func TestSlowServer(t *testing.T) {
	started := make(chan struct{}, 100)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "te")
		w.(http.Flusher).Flush()
		started <- struct{}{}
		<-r.Context().Done()
	})
	dir := t.TempDir()
	client := s.Client()
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-started
			cancel()
		}()
		_, err := fetch.New(dir, fetch.Options{Client: client}).Fetch(ctx, s.URL, "")
		require.Equal(t, context.Canceled, err)
	}
	client.Timeout = 10 * time.Millisecond
	for range 20 {
		_, err := fetch.New(dir, fetch.Options{Client: client}).Fetch(t.Context(), s.URL, "")
		var e *fetch.Error
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "longer than 10ms")
	}
	require.NoDirExists(t, filepath.Join(dir, "imports"))
}

func TestUnknownAuthority(t *testing.T) {
	s := serve(t, says("text"))
	_, err := fetch.New(t.TempDir(), fetch.Options{}).Fetch(t.Context(), s.URL, "")
	var e *fetch.Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, e.Diagnostic().Detail, "SSL_CERT_FILE")
}

// Several fetchers, as of several processes, and several goroutines on each
// share a cache: everybody gets the whole text.
func TestConcurrent(t *testing.T) {
	text := strings.Repeat("text\n", 100_000)
	s := serve(t, says(text))
	dir := t.TempDir()
	digest := fetch.Digest([]byte(text))
	var wg sync.WaitGroup
	for range 4 {
		f := fetch.New(dir, fetch.Options{Client: s.Client()})
		for i := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				pin := ""
				if i%2 == 0 {
					pin = digest
				}
				got, err := f.Fetch(t.Context(), s.URL+"/a", pin)
				if err != nil || !bytes.Equal(got, []byte(text)) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			}()
		}
	}
	wg.Wait()
	entries, err := os.ReadDir(filepath.Join(dir, "imports", "sha256"))
	require.NoError(t, err)
	require.Len(t, entries, 1, "no temporary file is left")
}
