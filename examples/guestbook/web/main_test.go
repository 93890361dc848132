package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// site returns a page server in front of an api that repeats what it is asked.
func site(t *testing.T, title string) http.Handler {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusTeapot)
		if _, err := io.WriteString(w, r.Method+" "+r.URL.Path+" "+string(body)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(api.Close)
	return mustHandler(t, title, api.URL)
}

func mustHandler(t *testing.T, title, api string) http.Handler {
	t.Helper()
	u, err := url.Parse(api)
	if err != nil {
		t.Fatal(err)
	}
	h, err := handler(title, u)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func do(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func TestPageIsWhole(t *testing.T) {
	h := site(t, "Ours & <theirs>")
	page := do(h, "GET", "/", "")
	text := page.Body.String()
	if page.Code != http.StatusOK || !strings.Contains(text, "<h1>Ours &amp; &lt;theirs&gt;</h1>") {
		t.Fatalf("got %d:\n%s", page.Code, text)
	}
	links := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(text, -1)
	if len(links) < 2 {
		t.Fatalf("the page has neither style nor script:\n%s", text)
	}
	for _, link := range links {
		if w := do(h, "GET", link[1], ""); w.Code != http.StatusOK || w.Body.Len() == 0 {
			t.Errorf("%s: got %d", link[1], w.Code)
		}
	}
	if got := page.Header().Get("Content-Security-Policy"); got != "default-src 'self'" {
		t.Errorf("policy %q", got)
	}
}

func TestPassesOnOnlyEntries(t *testing.T) {
	h := site(t, "x")
	if w := do(h, "POST", "/entries", "hello"); w.Code != http.StatusTeapot || w.Body.String() != "POST /entries hello" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := do(h, "GET", "/keys", ""); w.Code != http.StatusNotFound {
		t.Errorf("/keys: got %d %s", w.Code, w.Body)
	}
	if w := do(h, "GET", "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("/healthz: got %d %s", w.Code, w.Body)
	}
}

func TestAPIIsAway(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	h := mustHandler(t, "x", gone.URL)
	if w := do(h, "GET", "/entries", ""); w.Code != http.StatusBadGateway {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if w := do(h, "GET", "/", ""); w.Code != http.StatusOK {
		t.Errorf("the page itself: got %d", w.Code)
	}
}
