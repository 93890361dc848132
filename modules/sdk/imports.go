package sdk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/fetch"
	"github.com/containust/containust/modules/lang/lock"
	"github.com/containust/containust/modules/lang/parser"
)

// imports is what one load fetches. The resolver asks for one file after the
// other.
type imports struct {
	fetcher *fetch.Fetcher
	path    string            // of ctst.lock
	locked  map[string]string // URL -> digest, of what may not have changed
	update  bool              // ctst.lock is to say what was fetched, and no more
	texts   map[string][]byte // of what was fetched, by URL
	inputs  map[string]string // path or URL of what was read -> digest
	pinned  map[string]bool   // URLs whose digest the source says
	log     *slog.Logger
}

// openImports reads ctst.lock. For an update what it says of imports does not
// count.
func (e *Engine) openImports(update bool) (*imports, error) {
	im := &imports{
		path: filepath.Join(e.project.Dir, lock.Name), update: update,
		texts: map[string][]byte{}, inputs: map[string]string{}, pinned: map[string]bool{}, log: e.opts.Logger,
	}
	file, err := lock.Read(im.path)
	if err != nil {
		return nil, err
	}
	if !update {
		im.locked = file.Imports
	}
	im.fetcher = fetch.New(e.opts.CacheDir, fetch.Options{Client: e.opts.HTTPClient, Locked: im.locked, Offline: e.opts.Offline})
	return im, nil
}

func (im *imports) readFile(name string) ([]byte, error) {
	text, err := parser.ReadFile(name)
	if path, absErr := filepath.Abs(name); err == nil && absErr == nil {
		im.inputs[path] = "sha256:" + fetch.Digest(text)
	}
	return text, err
}

func (im *imports) fetch(ctx context.Context, url, pin string) ([]byte, error) {
	text, err := im.fetcher.Fetch(ctx, url, pin)
	im.log.Debug("import", "url", url, "bytes", len(text), "error", err)
	if err == nil {
		im.texts[url], im.pinned[url] = text, pin != ""
		im.inputs[url] = "sha256:" + fetch.Digest(text)
	}
	return text, err
}

// record writes to ctst.lock what it does not say yet. It is an error if that
// cannot be, unless the source says it.
func (im *imports) record() error {
	fresh := map[string]string{}
	needed := im.update
	for url, text := range im.texts {
		if im.locked[url] == "" {
			fresh[url] = fetch.Digest(text)
			needed = needed || !im.pinned[url]
		}
	}
	if len(fresh) == 0 && !im.update {
		return nil
	}
	err := lock.Update(im.path, func(file *lock.File) error { return im.change(file, fresh) })
	var differs *fetch.DigestError
	switch {
	case err == nil || errors.As(err, &differs):
		return err
	case !needed:
		im.log.Info("imports are not recorded; the file pins them", "error", err)
		return nil
	}
	return &unrecordedError{err: err, urls: slices.Sorted(maps.Keys(fresh))}
}

// change puts what is new into the lock as it is now: somebody else may have
// been faster.
func (im *imports) change(file *lock.File, fresh map[string]string) error {
	if file.Imports == nil || im.update {
		file.Imports = map[string]string{}
	}
	for url, digest := range fresh {
		if other := file.Imports[url]; other != "" && other != digest {
			return &fetch.DigestError{URL: url, Locked: other, Found: digest}
		}
		file.Imports[url] = digest
	}
	return nil
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
	few := e.urls[:min(3, len(e.urls))]
	detail := "It must record the digests of " + strings.Join(few, ", ")
	if more := len(e.urls) - len(few); more > 0 {
		detail += fmt.Sprintf(" and %d more", more)
	}
	return diag.Diagnostic{
		Code: diag.LockUnusable, Summary: e.Error(),
		Detail: detail + ".\nMake its folder writable once, or pin the imports: add @sha256:<64 hex> to their addresses.",
	}
}

// shown is an error of imports as it is shown.
func shown(err error) diag.Diagnostic {
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
	return parser.ReadFile(name)
}
