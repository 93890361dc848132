// Package unpack creates files from a stream of archive entries inside one
// folder, whatever the entries say.
//
//	r, err := source.Open(ctx, ref, source.Limits{})
//	dir, err := os.Open(root)
//	result, err := unpack.Unpack(ctx, dir, r, unpack.Options{})
//
// Every path is resolved by the kernel with the folder as its root
// (openat2(2) with RESOLVE_IN_ROOT), and the last component is never followed,
// so nothing leads out. What honest archives contain works: "/var/run -> /run"
// before or after "/run" exists, absolute names and links, "./", ".." that
// stays inside, and entries given twice, of which the last one wins. A name or
// a hard link's target with more ".." than folders before them is refused with
// an [*EntryError].
//
// Kept are modes, times, hard links, holes of sparse files, named pipes, and
// the extended attributes user.*, security.capability and POSIX ACLs. As root
// also owners and device nodes; otherwise everything belongs to the caller and
// devices are left out (see [Result]). Attributes of overlay file systems are
// never created, since an archive could redirect lookups with them.
//
// Whiteouts have no meaning here: a source is one complete file system, and a
// file called ".wh.x" is a file.
//
// Linux 5.8; elsewhere [errors.ErrUnsupported]. The folder must not be changed
// by others meanwhile, which endangers the result but nothing outside of it.
package unpack

import (
	"archive/tar"
	"errors"
	"io"
	"strconv"
)

// Entries is what Unpack reads: a *tar.Reader, or any [source.Reader].
type Entries interface {
	io.Reader                   // content of the current entry
	Next() (*tar.Header, error) // io.EOF at the end
}

// Options are optional for Unpack.
type Options struct {
	// Progress, if not nil, is called after each entry with their number.
	Progress func(entries int64)
}

// Result tells what was unpacked.
type Result struct {
	Entries int64
	Bytes   int64    // content of regular files
	Skipped []string // names of what needs a privilege that the caller lacks
}

// ErrEscapes is matched by the error about an entry or hard link whose name
// leads out of the root.
var ErrEscapes = errors.New("name leads out of the root")

// EntryError says which entry was not created and why.
type EntryError struct {
	Name string // as in the archive
	Err  error
}

func (e *EntryError) Error() string { return "entry " + strconv.Quote(e.Name) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *EntryError) Unwrap() error { return e.Err }
