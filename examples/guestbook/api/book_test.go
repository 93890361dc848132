package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeStore answers as the store does, from a map.
func fakeStore(t *testing.T) string {
	var mu sync.Mutex
	values := map[string]string{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("PUT /keys/{key...}", func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		values[r.PathValue("key")] = string(body)
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		var keys []string
		for key := range values {
			if strings.HasPrefix(key, r.URL.Query().Get("prefix")) {
				keys = append(keys, key)
			}
		}
		slices.Sort(keys)
		list := []map[string]string{}
		for _, key := range keys {
			list = append(list, map[string]string{"key": key, "value": values[key]})
		}
		if err := json.NewEncoder(w).Encode(list); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func newBook(store string) *book {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &book{store: store, client: http.DefaultClient, now: func() time.Time {
		now = now.Add(time.Second)
		return now
	}}
}

func do(h http.Handler, method, path, body string) (status int, answer string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, strings.TrimSpace(w.Body.String())
}

func TestSignAndRead(t *testing.T) {
	h := newBook(fakeStore(t)).handler()
	if _, got := do(h, "GET", "/entries", ""); got != "[]" {
		t.Fatalf("an empty book is %s", got)
	}
	for _, body := range []string{
		`{"name":"  Ada   Lovelace ","message":" first\n","time":"1999-01-01T00:00:00Z"}`,
		`{"message":"second"}`,
	} {
		if status, got := do(h, "POST", "/entries", body); status != http.StatusCreated {
			t.Fatalf("%s: %d %s", body, status, got)
		}
	}
	want := `[{"name":"Anonymous","message":"second","time":"2026-01-02T03:04:07Z"},` +
		`{"name":"Ada Lovelace","message":"first","time":"2026-01-02T03:04:06Z"}]`
	if _, got := do(h, "GET", "/entries", ""); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestShowsTheNewest(t *testing.T) {
	h := newBook(fakeStore(t)).handler()
	for i := range shown + 2 {
		do(h, "POST", "/entries", fmt.Sprintf(`{"message":"m%d"}`, i))
	}
	_, text := do(h, "GET", "/entries", "")
	var got []entry
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != shown || got[0].Message != fmt.Sprintf("m%d", shown+1) {
		t.Fatalf("got %d entries, the first %q", len(got), got[0].Message)
	}
}

func TestRefuses(t *testing.T) {
	h := newBook(fakeStore(t)).handler()
	tests := []struct {
		name, body string
		status     int
	}{
		{"no JSON", "hello", http.StatusBadRequest},
		{"too much", `{"message":"` + strings.Repeat("x", 9<<10) + `"}`, http.StatusBadRequest},
		{"blank message", `{"name":"Ada","message":" \n"}`, http.StatusUnprocessableEntity},
		{"long message", `{"message":"` + strings.Repeat("é", maxMessage+1) + `"}`, http.StatusUnprocessableEntity},
		{"long name", `{"message":"x","name":"` + strings.Repeat("é", maxName+1) + `"}`, http.StatusUnprocessableEntity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if status, got := do(h, "POST", "/entries", tt.body); status != tt.status {
				t.Fatalf("got %d %s, want %d", status, got, tt.status)
			}
			if _, got := do(h, "GET", "/entries", ""); got != "[]" {
				t.Fatalf("it was stored: %s", got)
			}
		})
	}
	longest := `{"message":"` + strings.Repeat("é", maxMessage) + `"}`
	if status, got := do(h, "POST", "/entries", longest); status != http.StatusCreated {
		t.Fatalf("the longest message: %d %s", status, got)
	}
}

func TestStoreIsAway(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	answersBadly := newBook(server.URL).handler()
	t.Cleanup(server.Close)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, h := range []http.Handler{answersBadly, newBook(gone.URL).handler()} {
		for _, path := range []string{"/healthz", "/entries"} {
			if status, got := do(h, "GET", path, ""); status != http.StatusBadGateway {
				t.Errorf("GET %s: got %d %s, want 502", path, status, got)
			}
		}
	}
}
