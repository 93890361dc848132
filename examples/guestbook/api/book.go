package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containust/containust/examples/guestbook/serve"
)

const (
	maxName    = 40  // characters
	maxMessage = 500 // characters
	shown      = 100 // entries
)

// entry is what somebody wrote.
type entry struct {
	Name    string    `json:"name"`
	Message string    `json:"message"`
	Time    time.Time `json:"time"`
}

// book is the guestbook on top of a store.
type book struct {
	store  string // URL
	client *http.Client
	now    func() time.Time
}

func (b *book) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if _, err := b.ask(r.Context(), http.MethodGet, "/healthz", nil); err != nil {
			fail(w, err)
		}
	})
	mux.HandleFunc("GET /entries", func(w http.ResponseWriter, r *http.Request) {
		entries, err := b.entries(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		serve.JSON(w, http.StatusOK, entries)
	})
	mux.HandleFunc("POST /entries", func(w http.ResponseWriter, r *http.Request) {
		var e entry
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<10)).Decode(&e); err != nil {
			serve.Error(w, http.StatusBadRequest, "not an entry")
			return
		}
		e, err := b.clean(e)
		if err != nil {
			serve.Error(w, http.StatusUnprocessableEntity, err.Error())
			return
		}
		if err := b.add(r.Context(), e); err != nil {
			fail(w, err)
			return
		}
		serve.JSON(w, http.StatusCreated, e)
	})
	return mux
}

// clean returns the entry as it is kept, or what is wrong with it.
func (b *book) clean(e entry) (entry, error) {
	e = entry{
		Name:    strings.Join(strings.Fields(e.Name), " "),
		Message: strings.TrimSpace(e.Message),
		Time:    b.now().UTC().Truncate(time.Millisecond),
	}
	switch {
	case e.Message == "":
		return e, errors.New("the message is empty")
	case utf8.RuneCountInString(e.Message) > maxMessage:
		return e, fmt.Errorf("a message has at most %d characters", maxMessage)
	case utf8.RuneCountInString(e.Name) > maxName:
		return e, fmt.Errorf("a name has at most %d characters", maxName)
	case e.Name == "":
		e.Name = "Anonymous"
	}
	return e, nil
}

func (b *book) add(ctx context.Context, e entry) error {
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	// The store lists in order of the keys; the random end keeps apart what
	// came in one moment.
	key := fmt.Sprintf("entry/%020d-%s", e.Time.UnixNano(), rand.Text()[:8])
	_, err = b.ask(ctx, http.MethodPut, "/keys/"+key, value)
	return err
}

// entries returns the newest, newest first.
func (b *book) entries(ctx context.Context) ([]entry, error) {
	text, err := b.ask(ctx, http.MethodGet, "/keys?prefix=entry/", nil)
	if err != nil {
		return nil, err
	}
	var pairs []struct{ Value string }
	if err := json.Unmarshal(text, &pairs); err != nil {
		return nil, fmt.Errorf("read the store's list: %w", err)
	}
	pairs = pairs[max(0, len(pairs)-shown):]
	slices.Reverse(pairs)
	entries := make([]entry, len(pairs))
	for i, p := range pairs {
		if err := json.Unmarshal([]byte(p.Value), &entries[i]); err != nil {
			return nil, fmt.Errorf("read an entry: %w", err)
		}
	}
	return entries, nil
}

// ask sends one request to the store and returns the body of a good answer.
func (b *book) ask(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.store+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: the store answered %s", method, path, resp.Status)
	}
	return text, nil
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	serve.Error(w, http.StatusBadGateway, "the store does not answer")
}
