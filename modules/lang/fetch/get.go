package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"time"

	"github.com/containust/containust/modules/lang/parser"
)

// MaxBytes is the size of the largest file that is taken, unpacked if the
// server packs it: that of the language.
const MaxBytes = parser.MaxBytes

// The limits of a request.
const (
	maxRedirects   = 5
	maxHeaderBytes = 64 << 10
	headerTimeout  = 30 * time.Second
	idleTimeout    = 5 * time.Second
	wholeTimeout   = 2 * time.Minute // from the first connection to the last byte
)

// userAgent tells a server who asks.
const userAgent = "containust"

// newClient returns a client that follows redirects as this package wants it,
// and the time that a file may take. The client has no timeout of its own: see
// get.
func newClient(given *http.Client) (*http.Client, time.Duration) {
	client, timeout := &http.Client{}, wholeTimeout
	if given != nil {
		*client = *given
		if given.Timeout > 0 {
			timeout = given.Timeout
		}
	}
	if client.Transport == nil {
		client.Transport = newTransport()
	}
	client.Jar, client.Timeout, client.CheckRedirect = nil, 0, checkRedirect
	return client, timeout
}

func newTransport() http.RoundTripper {
	// A copy has the proxy of the environment and the timeouts of connecting.
	standard, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // the program has put its own there
	}
	t := standard.Clone()
	t.ResponseHeaderTimeout = headerTimeout
	t.MaxResponseHeaderBytes = maxHeaderBytes
	t.IdleConnTimeout = idleTimeout // a fetcher has no end at which it could close them
	return t
}

// checkRedirect holds what a redirect may not do.
func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	before := via[len(via)-1].URL
	if before.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("a redirect from https to %s is refused: %s", req.URL.Scheme, req.URL.Redacted())
	}
	if err := checkURL(req.URL, true); err != nil {
		return fmt.Errorf("redirect: %w", err)
	}
	// The address may hold what the next server need not know.
	req.Header.Del("Referer")
	return nil
}

// checkURL refuses what is no plain address of a file.
func checkURL(u *neturl.URL, pinned bool) error {
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%q is neither https nor http", u.Scheme)
	case u.Scheme == "http" && !pinned:
		return errors.New("http needs a pin")
	case u.Host == "":
		return errors.New("the address names no host")
	case u.User != nil:
		return errors.New("the address has a user name or password in it")
	}
	return nil
}

// get asks the server.
func (f *Fetcher) get(ctx context.Context, url string, pinned bool) ([]byte, error) {
	u, err := neturl.Parse(url)
	if err != nil {
		return nil, &Error{URL: url, Err: cause(err)}
	}
	if err := checkURL(u, pinned); err != nil {
		return nil, &Error{URL: u.Redacted(), Err: err}
	}
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	data, err := f.request(limited, url)
	// A server that sees the connection close may end the answer as if it were
	// whole, and be faster than the error: what comes then is not taken.
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, &Error{URL: url, Err: fmt.Errorf("it took longer than %s: %w", f.timeout, limited.Err())}
	}
	return data, err
}

func (f *Fetcher) request(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, &Error{URL: url, Err: err}
	}
	req.Header.Set("User-Agent", userAgent)
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, &Error{URL: url, Err: cause(err)}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, &StatusError{URL: url, Code: resp.StatusCode}
	}
	if resp.ContentLength > MaxBytes {
		return nil, &SizeError{URL: url}
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxBytes+1))
	switch {
	case len(data) > MaxBytes:
		return nil, &SizeError{URL: url}
	case err != nil:
		return nil, &Error{URL: url, Err: err}
	}
	return data, nil
}

// cause is the error of a request without the operation and the address.
func cause(err error) error {
	var request *neturl.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
