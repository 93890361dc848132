package lsp

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/creachadair/jrpc2"

	"github.com/containust/containust/modules/lang/editor"
	"github.com/containust/containust/modules/lang/parser"
)

// document is one version of a file: open in the editor, or as it is on disk.
// It never changes.
type document struct {
	path    string
	uri     string
	version int32
	open    bool
	text    []byte

	linesOnce, fileOnce, wideOnce sync.Once
	starts                        []int
	file                          *editor.File
	wide                          []wideChar
}

func (d *document) lines() []int {
	d.linesOnce.Do(func() { d.starts = lineStarts(d.text) })
	return d.starts
}

func (d *document) parsed() *editor.File {
	d.fileOnce.Do(func() { d.file = editor.New(d.path, d.text) })
	return d.file
}

// documents are the files that the server knows. An open document stands
// before the file on disk. The zero value is ready.
type documents struct {
	mu   sync.Mutex
	open map[string]*document // by path
	disk map[string]diskDocument
	size int // of the texts in disk
}

type diskDocument struct {
	*document
	modified time.Time
}

// maxDisk bounds the files on disk that are kept in memory; beyond it they are
// read again.
const maxDisk = 64 << 20

func (d *documents) put(doc *document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == nil {
		d.open = map[string]*document{}
	}
	d.open[doc.path] = doc
}

func (d *documents) close(path string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.open, path)
}

// opened returns the open document of a path, or nil.
func (d *documents) opened(path string) *document {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open[path]
}

// get returns an open document or a file on disk.
func (d *documents) get(path string) (*document, error) {
	if doc := d.opened(path); doc != nil {
		return doc, nil
	}
	if d.elsewhere(path) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("a file on another machine is not read while it is typed")}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	known, ok := d.disk[path]
	d.mu.Unlock()
	if ok && known.modified.Equal(info.ModTime()) && int64(len(known.text)) == info.Size() {
		return known.document, nil
	}
	text, err := parser.ReadFile(path)
	if err != nil {
		return nil, err
	}
	doc := &document{path: path, uri: uriOf(path), text: text}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.size += len(text); d.disk == nil || d.size > maxDisk {
		d.disk, d.size = map[string]diskDocument{}, len(text)
	}
	d.disk[path] = diskDocument{doc, info.ModTime()}
	return doc, nil
}

// elsewhere tells whether a path leads to another machine, with which Windows
// would talk, and log in to, because a file says so. What is open in the editor
// was chosen by its user.
func (d *documents) elsewhere(path string) bool {
	volume := filepath.VolumeName(path)
	if !strings.HasPrefix(volume, `\\`) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for open := range d.open {
		if strings.EqualFold(filepath.VolumeName(open), volume) {
			return false
		}
	}
	return true
}

// look is what one request or check sees: every file as it was when it was
// looked at first, whatever is typed meanwhile. It belongs to one goroutine.
type look struct {
	docs *documents
	open []*document // when it began, in the order of their paths
	seen map[string]*document
}

func (d *documents) look() *look {
	l := &look{docs: d, seen: map[string]*document{}}
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, doc := range d.open {
		l.open = append(l.open, doc)
		l.seen[path] = doc
	}
	slices.SortFunc(l.open, func(a, b *document) int { return strings.Compare(a.path, b.path) })
	return l
}

func (l *look) get(path string) (*document, error) {
	if doc := l.seen[path]; doc != nil {
		return doc, nil
	}
	doc, err := l.docs.get(path)
	if err != nil {
		return nil, err
	}
	l.seen[path] = doc
	return doc, nil
}

// opened returns an open document.
func (l *look) opened(id documentID) (*document, error) {
	doc := l.seen[pathOf(id.URI)]
	if doc == nil {
		return nil, jrpc2.Errorf(jrpc2.InvalidParams, "%s is not open", id.URI)
	}
	return doc, nil
}

// view is a document with the files beside it.
func (l *look) view(doc *document) editor.View {
	return editor.View{File: doc.parsed(), List: l.docs.list, Open: func(path string) *editor.File {
		other, err := l.get(path)
		if err != nil {
			return nil
		}
		return other.parsed()
	}}
}

// uri returns what the editor calls a file.
func (l *look) uri(path string) string {
	if doc := l.seen[path]; doc != nil {
		return doc.uri
	}
	return uriOf(path)
}

// maxReach bounds how many files are followed from an open one.
const maxReach = 256

// reach returns the files that a document leads to by its imports, with itself.
// Those that cannot be read are nil.
func (l *look) reach(doc *document) map[string]*document {
	found := map[string]*document{doc.path: doc}
	for queue := []*document{doc}; len(queue) > 0; queue = queue[1:] {
		for _, path := range queue[0].parsed().Imports() {
			if _, known := found[path]; known || len(found) >= maxReach {
				continue
			}
			next, err := l.get(path)
			found[path] = next
			if err == nil {
				queue = append(queue, next)
			}
		}
	}
	return found
}

// all returns the open files and those that they import.
func (l *look) all() []*editor.File {
	known := map[string]*document{}
	for _, doc := range l.open {
		maps.Copy(known, l.reach(doc))
	}
	var files []*editor.File
	for _, path := range slices.Sorted(maps.Keys(known)) {
		if doc := known[path]; doc != nil {
			files = append(files, doc.parsed())
		}
	}
	return files
}

// maxListed bounds how much of a folder is offered.
const maxListed = 1000

// list returns what a folder holds, folders with a final slash.
func (d *documents) list(dir string) []string {
	if d.elsewhere(dir) {
		return nil
	}
	f, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return nil // nothing is offered
	}
	defer f.Close()
	entries, err := f.ReadDir(maxListed)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
