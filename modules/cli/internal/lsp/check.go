package lsp

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/fetch"
	"github.com/containust/containust/modules/lang/lock"
	"github.com/containust/containust/modules/lang/resolve"
	"github.com/containust/containust/modules/lang/token"
)

// pause is how long nobody types before the files are checked.
const pause = 150 * time.Millisecond

// scope says what is looked at again.
type scope int

const (
	whatChanged scope = iota // what leads to a changed document, after a pause
	everything               // all, at once: files beside them may have changed
)

// checker finds what is wrong with the open documents and publishes it. Its
// fields below belong to the goroutine of run.
type checker struct {
	server *server
	typed  chan struct{}
	asked  chan struct{}

	mu      sync.Mutex
	abandon context.CancelFunc // the check under way, whose answer is stale

	results   map[string]*result
	published map[string]publishParams // by path
}

// result is the outcome for one root.
type result struct {
	reached map[string]*document
	found   map[string][]diagnostic // by path
}

func newChecker(s *server) *checker {
	return &checker{
		server: s, typed: make(chan struct{}, 1), asked: make(chan struct{}, 1), abandon: func() {},
		results: map[string]*result{}, published: map[string]publishParams{},
	}
}

// ask wants a check, and does not wait for it.
func (c *checker) ask(what scope) {
	c.mu.Lock()
	c.abandon()
	c.mu.Unlock()
	wake := c.typed
	if what == everything {
		wake = c.asked
	}
	select {
	case wake <- struct{}{}:
	default: // it is asked for already
	}
}

// run checks whenever it is asked to, until the context ends.
func (c *checker) run(ctx context.Context) {
	again := false // a check of everything was abandoned
	for {
		all := again
		select {
		case <-ctx.Done():
			return
		case <-c.asked:
			all = true
		case <-c.typed:
			asked, ok := c.quiet(ctx)
			if !ok {
				return
			}
			all = all || asked
		}
		attempt, cancel := context.WithCancel(ctx)
		c.mu.Lock()
		c.abandon = cancel
		c.mu.Unlock()
		done := c.check(attempt, all)
		again = all && !done
		cancel()
	}
}

// quiet waits until nobody types. It returns whether all is to be checked, and
// false when the context ends.
func (c *checker) quiet(ctx context.Context) (all, ok bool) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false, false
		case <-c.typed:
			timer.Reset(pause)
		case <-c.asked:
			return true, true
		case <-timer.C:
			return false, true
		}
	}
}

// check brings the results up to date and publishes what is new. False: it was
// abandoned.
func (c *checker) check(ctx context.Context, all bool) bool {
	l := c.server.docs.look()
	reached := map[string]map[string]*document{}
	for _, doc := range l.open {
		reached[doc.path] = l.reach(doc)
	}
	results := map[string]*result{}
	for _, doc := range l.open {
		if imported(doc, l.open, reached) {
			continue
		}
		known := c.results[doc.path]
		if !all && known != nil && maps.Equal(known.reached, reached[doc.path]) {
			results[doc.path] = known
			continue
		}
		r := &result{reached: reached[doc.path], found: map[string][]diagnostic{}}
		c.load(ctx, l, doc, r)
		if ctx.Err() != nil {
			return false
		}
		results[doc.path] = r
	}
	c.results = results
	c.publish(ctx, l)
	return true
}

// imported tells whether a document is checked with another open one that
// imports it. Of two that import each other the first is the root.
func imported(doc *document, open []*document, reached map[string]map[string]*document) bool {
	for _, other := range open {
		if _, leads := reached[other.path][doc.path]; other == doc || !leads {
			continue
		}
		if _, back := reached[doc.path][other.path]; !back || other.path < doc.path {
			return true
		}
	}
	return false
}

// load resolves a root and notes what was found.
func (c *checker) load(ctx context.Context, l *look, doc *document, r *result) {
	name := doc.path
	importer := ""
	if filepath.IsAbs(doc.path) && doc.parsed().Library() {
		// Seen from a file that imports it.
		name = doc.path + "#importer"
		importer = `IMPORT "` + quoted.Replace(doc.path) + `" AS library`
	}
	read := func(path string) ([]byte, error) {
		if path == name && importer != "" {
			return []byte(importer), nil
		}
		other, err := l.get(path)
		if err != nil {
			return nil, err
		}
		return other.text, nil
	}
	_, list := resolve.Load(ctx, name, c.options(doc, read))
	for _, d := range list {
		path := d.Range.File
		if path == "" {
			path = doc.path
		}
		if path == name && importer != "" || len(r.found[path]) >= maxDiagnostics {
			continue // of the importer, which nobody wrote; or more than anybody reads
		}
		r.found[path] = append(r.found[path], c.convert(l, path, d))
	}
}

// maxDiagnostics bounds what is published of one file.
const maxDiagnostics = 1000

// quoted writes a path as the text of a string.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`)

// options are those of a check. No value of a secret is read: that there is one
// is enough. Nor is the network touched: imports over it come from the cache.
func (c *checker) options(root *document, read func(string) ([]byte, error)) resolve.Options {
	secrets := filepath.Join(filepath.Dir(root.path), ".containust", "secrets")
	return resolve.Options{
		ReadFile: read,
		LookupEnv: func(name string) (string, bool) {
			value, ok := c.server.opts.LookupEnv(name)
			if strings.HasPrefix(name, "CONTAINUST_SECRET_") {
				value = ""
			}
			return value, ok
		},
		LookupSecret: func(name string) (string, error) {
			if info, err := os.Stat(filepath.Join(secrets, name)); err != nil {
				return "", err
			} else if !info.Mode().IsRegular() {
				return "", fs.ErrNotExist
			}
			return "", nil
		},
		Fetch: c.cached(root),
		// The CPUs of this machine say nothing about the one that deploys.
	}
}

// cached returns imports that other commands have fetched, as the ctst.lock beside
// the root file says them.
func (c *checker) cached(root *document) func(ctx context.Context, url, pin string) ([]byte, error) {
	if c.server.opts.CacheDir == "" {
		return nil
	}
	var locked map[string]string
	file, err := lock.Read(filepath.Join(filepath.Dir(root.path), lock.Name))
	if err != nil {
		c.server.opts.Logger.Debug("lock", "error", err) // the commands tell it
	} else {
		locked = file.Imports
	}
	return fetch.New(c.server.opts.CacheDir, fetch.Options{Locked: locked, Offline: true}).Fetch
}

func (c *checker) convert(l *look, path string, d diag.Diagnostic) diagnostic {
	out := diagnostic{
		Range: c.place(l, path, d.Range), Severity: severityError, Code: string(d.Code), Source: "ctst", Message: d.Summary,
	}
	switch {
	case d.Code == diag.VariableUnset || d.Code == diag.SecretUnset || d.Code == diag.NeedsNetwork:
		out.Severity = severityInformation // they may be there where it is deployed
	case d.Severity == diag.Warning:
		out.Severity = severityWarning
	}
	if d.Code == diag.UnusedLet {
		out.Tags = []int{tagUnnecessary}
	}
	if d.Suggestion != "" {
		out.Message += ": " + d.Suggestion
	}
	if d.Detail != "" {
		out.Message += "\n" + d.Detail
	}
	for _, other := range d.Related {
		if path := other.Range.File; path != "" {
			out.Related = append(out.Related, related{
				Location: location{URI: l.uri(path), Range: c.place(l, path, other.Range)}, Message: other.Label,
			})
		}
	}
	return out
}

func (c *checker) place(l *look, path string, r token.Range) textRange {
	doc, err := l.get(path)
	if err != nil {
		return textRange{} // a file that cannot be read has no places
	}
	return c.server.textRange(doc, r)
}

// publish sends what differs from what was sent before.
func (c *checker) publish(ctx context.Context, l *look) {
	wanted := map[string]publishParams{}
	for _, doc := range l.open {
		wanted[doc.path] = publishParams{URI: doc.uri, Version: &doc.version, Diagnostics: []diagnostic{}}
	}
	// Two roots find the same in what both import.
	type key struct {
		path, code, message string
		place               textRange
	}
	known := map[key]bool{}
	for _, root := range slices.Sorted(maps.Keys(c.results)) {
		for path, list := range c.results[root].found {
			p, ok := wanted[path]
			if !ok {
				p = publishParams{URI: l.uri(path)}
			}
			for _, d := range list {
				if k := (key{path, d.Code, d.Message, d.Range}); !known[k] {
					known[k] = true
					p.Diagnostics = append(p.Diagnostics, d)
				}
			}
			wanted[path] = p
		}
	}
	for path, old := range c.published {
		if _, ok := wanted[path]; !ok {
			wanted[path] = publishParams{URI: old.URI, Diagnostics: []diagnostic{}}
		}
	}
	for _, path := range slices.Sorted(maps.Keys(wanted)) {
		p := wanted[path]
		if reflect.DeepEqual(p, c.published[path]) {
			continue
		}
		if err := c.server.rpc.Notify(ctx, "textDocument/publishDiagnostics", p); err != nil {
			c.server.opts.Logger.Debug("publish diagnostics", "error", err)
			return
		}
		c.published[path] = p
		if p.Version == nil && len(p.Diagnostics) == 0 {
			delete(c.published, path)
		}
	}
}
