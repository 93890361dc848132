package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func mustOpen(t *testing.T, dir string) *store {
	t.Helper()
	s, err := open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestKeepsWhatItStored(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, dir)
	for _, p := range []pair{{"b/2", "two\nlines"}, {"a", "x"}, {"b/1", "one"}, {"b/2", "again"}} {
		if err := s.Put(p.Key, p.Value); err != nil {
			t.Fatal(err)
		}
	}
	// No Close: it must be on disk already.
	again := mustOpen(t, dir)
	want := []pair{{"b/1", "one"}, {"b/2", "again"}}
	if got := again.List("b/"); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestDropsWhatACrashCutShort(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "entries.jsonl")
	whole := `{"key":"a","value":"1"}` + "\n"
	if err := os.WriteFile(file, []byte(whole+`{"key":"b","val`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, dir)
	if err := s.Put("c", "3"); err != nil {
		t.Fatal(err)
	}
	want := []pair{{"a", "1"}, {"c", "3"}}
	if got := mustOpen(t, dir).List(""); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

func TestRefusesAFileThatIsNotItsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "entries.jsonl"), []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := open(dir); err == nil {
		t.Fatalf("opened it with %q", s.List(""))
	}
}

func TestHandler(t *testing.T) {
	h := handler(mustOpen(t, t.TempDir()))
	steps := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/healthz", "", http.StatusOK, ""},
		{"GET", "/keys", "", http.StatusOK, "[]"},
		{"GET", "/keys/entry/1", "", http.StatusNotFound, `{"error":"no such key"}`},
		{"PUT", "/keys/entry/1", "hello", http.StatusNoContent, ""},
		{"GET", "/keys/entry/1", "", http.StatusOK, "hello"},
		{"PUT", "/keys/other", "x", http.StatusNoContent, ""},
		{"GET", "/keys?prefix=entry/", "", http.StatusOK, `[{"key":"entry/1","value":"hello"}]`},
		{"PUT", "/keys/big", strings.Repeat("x", maxValue+1), http.StatusRequestEntityTooLarge, `{"error":"a value has at most 64 KiB"}`},
		{"GET", "/keys/big", "", http.StatusNotFound, `{"error":"no such key"}`},
	}
	for _, step := range steps {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(step.method, step.path, strings.NewReader(step.body)))
		if got := strings.TrimSpace(w.Body.String()); w.Code != step.status || got != step.want {
			t.Errorf("%s %s: got %d %s, want %d %s", step.method, step.path, w.Code, got, step.status, step.want)
		}
	}
}
