package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestVisit(t *testing.T) {
	tests := []struct {
		name      string
		page      string
		forgetful bool
		want      string // in the error
	}{
		{"works", "<h1>Guestbook</h1>", false, ""},
		{"another page", "It works!", false, "no page of the guestbook"},
		{"the entry is lost", "<h1>Guestbook</h1>", true, "not the first of the 1 entries"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			book := []entry{{Name: "Ada", Message: "before", Time: time.Unix(0, 0).UTC()}}
			mux := http.NewServeMux()
			mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.page) })
			mux.HandleFunc("POST /entries", func(w http.ResponseWriter, r *http.Request) {
				e := entry{Time: time.Unix(1, 0).UTC()}
				if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
					t.Error(err)
				}
				e.Time = time.Unix(1, 0).UTC()
				if !tt.forgetful {
					book = append([]entry{e}, book...)
				}
				_ = json.NewEncoder(w).Encode(e)
			})
			mux.HandleFunc("GET /entries", func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(book) })
			server := httptest.NewServer(mux)
			defer server.Close()

			var out strings.Builder
			err := visit(&out, server.URL, "hello")
			switch {
			case tt.want == "" && (err != nil || !strings.Contains(out.String(), "make demo: hello")):
				t.Fatalf("%v, printed %q", err, out.String())
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}
