// Package source finds out what an image's URI means and reads it: a folder or
// an archive becomes one stream of file system entries with a digest.
//
//	ref, err := source.Parse("tar://./app.tar.zst@sha256:…", "/srv/stack")
//	r, err := source.Open(ctx, ref, source.Limits{})
//	defer r.Close()
//	for {
//		hdr, err := r.Next() // *DigestError in place of io.EOF on a mismatch
//		…
//	}
//
// What an archive is, is found by its content and not by its name: plain tar,
// or tar compressed with gzip or zstd.
//
// The package is portable; owners, devices, hard links and extended attributes
// of folders are read on Linux only, so file:// is for Linux. It needs no
// privileges beyond reading. A [Ref] is a value; a [Reader] belongs to one
// goroutine.
package source

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Scheme is the kind of a source.
type Scheme string

// The schemes. Only file, tar and image are supported by this version.
const (
	SchemeFile  Scheme = "file"  // a folder that is a root file system
	SchemeTar   Scheme = "tar"   // an archive of a root file system
	SchemeImage Scheme = "image" // a name in the project's catalog, see package image
	SchemeOCI   Scheme = "oci"   // a registry
	SchemeHTTPS Scheme = "https" // an archive to download
	SchemeHTTP  Scheme = "http"  // the same
)

// Ref is a parsed source URI.
type Ref struct {
	Scheme Scheme
	Path   string // file and tar: absolute and clean
	Name   string // image: name:tag
	Digest Digest // the pin; empty: none
	URI    string // as written
}

// String returns the URI as it was written.
func (r Ref) String() string { return r.URI }

// URIError says why a source URI is not usable.
type URIError struct {
	URI string
	Err error // matches ErrDigest, errors.ErrUnsupported, or says what is wrong
}

func (e *URIError) Error() string { return fmt.Sprintf("parse source %q: %v", e.URI, e.Err) }

// Unwrap returns the cause.
func (e *URIError) Unwrap() error { return e.Err }

var (
	pinned    = regexp.MustCompile(`^(.*)@((?i:sha|md5|blake)[A-Za-z0-9_-]*:[^/@]*)$`)
	imageName = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$`)
)

// Parse reads a source URI. What follows file:// or tar:// is a path of this
// system as it is, without any escapes; a relative one is taken from base,
// which is best absolute. Nothing is opened: a path that does not exist is an
// error of [Open].
//
// The error is a [*URIError]. It matches [errors.ErrUnsupported] for a scheme
// that is planned but not supported by this version.
func Parse(uri, base string) (Ref, error) {
	ref, err := parse(uri, base)
	if err != nil {
		return Ref{}, &URIError{URI: uri, Err: err}
	}
	return ref, nil
}

func parse(uri, base string) (Ref, error) {
	scheme, rest, ok := strings.Cut(uri, "://")
	if !ok {
		return Ref{}, errors.New("want a scheme, such as file:// or tar://")
	}
	ref := Ref{Scheme: Scheme(scheme), URI: uri}

	// A path may contain "@"; only the name of a hash function and a colon
	// after the last one make it a pin.
	if m := pinned.FindStringSubmatch(rest); m != nil {
		digest, err := ParseDigest(m[2])
		if err != nil {
			return Ref{}, err
		}
		rest, ref.Digest = m[1], digest
	}

	switch ref.Scheme {
	case SchemeFile, SchemeTar:
		if rest == "" {
			return Ref{}, errors.New("no path after " + scheme + "://")
		}
		if strings.ContainsRune(rest, 0) {
			return Ref{}, errors.New("path contains a NUL byte")
		}
		path := filepath.FromSlash(rest)
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		abs, err := filepath.Abs(path)
		if err != nil {
			return Ref{}, err
		}
		ref.Path = abs
	case SchemeImage:
		name, err := ParseName(rest)
		if err != nil {
			return Ref{}, err
		}
		ref.Name = name
	case SchemeOCI, SchemeHTTPS, SchemeHTTP:
		return Ref{}, fmt.Errorf("%s:// is not supported by this version (use file:// or tar://): %w", scheme, errors.ErrUnsupported)
	default:
		return Ref{}, fmt.Errorf("unknown scheme %q: want file, tar or image", scheme)
	}
	return ref, nil
}

// NameError says that a text is not the name of an image.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("%q is not an image name: want lower case letters and digits, with single . _ - between them, and an optional :tag", e.Name)
}

// ParseName checks the name of an image in the catalog and adds the tag
// "latest" where there is none. The error is a [*NameError].
func ParseName(name string) (string, error) {
	if !imageName.MatchString(name) {
		return "", &NameError{Name: name}
	}
	if !strings.Contains(name, ":") {
		name += ":latest"
	}
	return name, nil
}
