package sdk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/fetch"
	"github.com/containust/containust/modules/lang/lock"
)

var errUpdateOffline = errors.New("update needs the network, and Options.Offline forbids it")

// imports is what one load has fetched. The resolver asks for one file after
// the other.
type imports struct {
	fetcher *fetch.Fetcher
	locked  map[string]string // URL -> digest
	texts   map[string][]byte // by URL
	pinned  map[string]bool   // URLs with a digest in the source
}

// openImports reads ctst.lock. With update what it says is not asked for.
func (e *Engine) openImports(update bool) (*imports, error) {
	im := &imports{texts: map[string][]byte{}, pinned: map[string]bool{}}
	file, err := lock.Read(e.lockPath())
	if err != nil {
		return nil, err
	}
	if !update {
		im.locked = file.Imports
	}
	im.fetcher = fetch.New(e.opts.CacheDir, fetch.Options{Client: e.opts.HTTPClient, Locked: im.locked, Offline: e.opts.Offline})
	return im, nil
}

func (e *Engine) lockPath() string { return filepath.Join(e.project.Dir, lock.Name) }

func (im *imports) fetch(ctx context.Context, url, pin string) ([]byte, error) {
	text, err := im.fetcher.Fetch(ctx, url, pin)
	if err == nil {
		im.texts[url], im.pinned[url] = text, pin != ""
	}
	return text, err
}

// record writes to ctst.lock what it does not have yet; after an update it then
// has what was fetched, and no more.
func (e *Engine) record(im *imports, update bool) error {
	fresh := map[string]string{}
	needed := false // the source does not say the digest of each
	for url, text := range im.texts {
		if im.locked[url] == "" {
			fresh[url] = fetch.Digest(text)
			needed = needed || !im.pinned[url]
		}
	}
	if len(fresh) == 0 && !update {
		return nil
	}
	err := lock.Update(e.lockPath(), func(file *lock.File) error {
		if update {
			file.Imports = fresh
			return nil
		}
		for url, digest := range fresh {
			// Somebody else may have been faster.
			if other := file.Imports[url]; other != "" && other != digest {
				return &fetch.DigestError{URL: url, Locked: other, Found: digest}
			}
			if file.Imports == nil {
				file.Imports = map[string]string{}
			}
			file.Imports[url] = digest
		}
		return nil
	})
	var differs *fetch.DigestError
	switch {
	case err == nil:
		e.opts.Logger.Debug("recorded imports", "lock", e.lockPath(), "new", len(fresh))
		return nil
	case errors.As(err, &differs):
		return err
	case !needed && !update:
		e.opts.Logger.Info("imports are not recorded; the file pins them", "error", err)
		return nil
	}
	return &unrecordedError{err: err, urls: slices.Sorted(maps.Keys(fresh))}
}

// unrecordedError says that what was fetched cannot be written to ctst.lock.
type unrecordedError struct {
	err  error
	urls []string
}

func (e *unrecordedError) Error() string { return e.err.Error() }

func (e *unrecordedError) Unwrap() error { return e.err }

// Diagnostic returns the error as it is shown.
func (e *unrecordedError) Diagnostic() diag.Diagnostic {
	shown := e.urls[:min(3, len(e.urls))]
	detail := "It must record the digests of " + strings.Join(shown, ", ")
	if more := len(e.urls) - len(shown); more > 0 {
		detail += fmt.Sprintf(" and %d more", more)
	}
	return diag.Diagnostic{
		Code: diag.LockUnusable, Summary: e.Error(),
		Detail: detail + ".\nMake its folder writable once, or pin the imports: add @sha256:<64 hex> to their addresses.",
	}
}

// lockProblem is what a person has to mend before ctst.lock can be used.
func lockProblem(err error) diag.Diagnostic {
	var described interface{ Diagnostic() diag.Diagnostic }
	if errors.As(err, &described) {
		return described.Diagnostic()
	}
	return diag.Diagnostic{Code: diag.LockUnusable, Summary: err.Error()}
}

// Source returns the text of a file that a diagnostic of the last Load or Plan
// names: a path, or the URL of an import.
func (e *Engine) Source(name string) ([]byte, error) {
	e.mu.Lock()
	text, ok := e.texts[name]
	e.mu.Unlock()
	if ok {
		return text, nil
	}
	return os.ReadFile(name)
}
