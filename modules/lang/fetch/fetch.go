// Package fetch gets imported files over https and keeps them.
//
//	locked, err := lock.Read(filepath.Join(dir, lock.Name))
//	f := fetch.New(cacheDir, fetch.Options{Locked: locked.Imports})
//	text, err := f.Fetch(ctx, "https://example.org/postgres.ctst", "")
//
// A file whose digest is known, because the source pins it or ctst.lock has
// it, comes from the cache; only what is not there is asked for over the
// network, and nothing else than what has that digest is taken. The proxy of
// the environment is used, no credentials and no cookies are sent, and
// SSL_CERT_FILE names further authorities where Go knows it (not on macOS and
// Windows).
//
// It runs on every platform, and needs no privileges. A [Fetcher] may be used
// from any number of goroutines, and several processes may share a cache.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// Options say how to fetch. The zero value works.
type Options struct {
	// Client makes the requests. Its Jar is not used, its CheckRedirect is
	// replaced, and its Timeout, zero: two minutes, is that of one file. nil:
	// one with the proxy of the environment.
	Client *http.Client

	// Locked has the digests of what was fetched before: URL -> 64 hex digits
	// of the SHA-256. A file that has another one now is a *DigestError. It
	// must not be changed any more.
	Locked map[string]string

	// Offline: only the cache serves, no connection is made, and a file that
	// is not there is an *OfflineError.
	Offline bool
}

// Fetcher gets files. Make it with [New].
type Fetcher struct {
	cache   cache
	client  *http.Client
	timeout time.Duration // of one file
	locked  map[string]string
	offline bool
}

// New returns a fetcher that keeps files below the folder cacheDir, in
// imports/sha256/<64 hex digits>. The folder is made when it is needed.
func New(cacheDir string, opts Options) *Fetcher {
	f := &Fetcher{cache: newCache(cacheDir), locked: opts.Locked, offline: opts.Offline}
	f.client, f.timeout = newClient(opts.Client)
	return f
}

// Fetch returns the file behind an absolute URL with the scheme https, or http
// when there is a pin: the 64 hex digits of the SHA-256 that it must have.
//
// The error is a *DigestError, *OfflineError, *StatusError, *SizeError or
// *Error, or that of the context.
func (f *Fetcher) Fetch(ctx context.Context, url, pin string) ([]byte, error) {
	locked := f.locked[url]
	if pin != "" && locked != "" && pin != locked {
		return nil, &DigestError{URL: url, Pin: pin, Locked: locked}
	}
	want := pin
	if want == "" {
		want = locked
	}
	var kept error // why the cache cannot serve
	if want != "" {
		var data []byte
		if data, kept = f.cache.read(want); kept == nil {
			return data, nil
		}
	}
	if f.offline {
		return nil, &OfflineError{URL: url, Err: kept}
	}
	data, err := f.get(ctx, url, pin != "")
	if err != nil {
		return nil, err
	}
	found := Digest(data)
	if want != "" && found != want {
		return nil, &DigestError{URL: url, Pin: pin, Locked: locked, Found: found}
	}
	if err := f.cache.write(found, data); err != nil {
		return nil, &Error{URL: url, Err: err}
	}
	return data, nil
}

// Digest returns the SHA-256 of data as 64 hex digits.
func Digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
