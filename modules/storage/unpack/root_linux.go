package unpack

import (
	"errors"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many symbolic links one name may lead through, as in the
// kernel.
const maxLinks = 40

// root resolves names with a folder as their root. Its methods return
// descriptors of folders.
type root struct {
	dir *os.File

	// Archives list the entries of a folder one after the other: the last
	// folder is kept open. It stays right until something is removed.
	lastName string
	last     int
	has      bool
}

// open opens a folder to work in. The caller closes it.
func (r *root) open(name string) (int, error) {
	for {
		fd, err := unix.Openat2(int(r.dir.Fd()), name, &unix.OpenHow{
			Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		// EAGAIN: something was renamed somewhere while ".." was resolved.
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// parent opens a folder for creating something in it, and makes it and those
// above it, with mode 0755, if they are missing. The descriptor stays root's
// and is valid until the next call of parent or forget.
func (r *root) parent(name string) (int, error) {
	if r.has && r.lastName == name {
		return r.last, nil
	}
	r.forget()
	fd, err := r.open(name)
	if errors.Is(err, unix.ENOENT) {
		fd, err = r.make(name)
	}
	if err != nil {
		return -1, err
	}
	r.last, r.lastName, r.has = fd, name, true
	return fd, nil
}

func (r *root) forget() {
	if r.has {
		unix.Close(r.last)
		r.has = false
	}
}

// make walks to a folder one component at a time and creates what is missing,
// also where a link leads: "/var/run -> /run" may come before "/run".
func (r *root) make(name string) (int, error) {
	at := "." // resolved so far, without any link
	left := strings.Split(name, "/")
	links := 0
	for len(left) > 0 {
		part := left[0]
		left = left[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at) // of ".": "."
			continue
		}
		target, err := r.step(at, part)
		if err != nil {
			return -1, err
		}
		if target == "" {
			at = path.Join(at, part)
			continue
		}
		if links++; links > maxLinks {
			return -1, unix.ELOOP
		}
		if strings.HasPrefix(target, "/") {
			at = "."
		}
		left = append(strings.Split(target, "/"), left...)
	}
	return r.open(at)
}

// step makes sure that the folder at has a folder called part, or returns the
// target of the link that is there.
func (r *root) step(at, part string) (target string, err error) {
	dir, err := r.open(at)
	if err != nil {
		return "", err
	}
	defer unix.Close(dir)
	err = unix.Mkdirat(dir, part, 0o755)
	if err == nil {
		// The process's umask has no say in what an image looks like.
		return "", unix.Fchmodat(dir, part, 0o755, 0)
	}
	if !errors.Is(err, unix.EEXIST) {
		return "", err
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, part, buf)
	if errors.Is(err, unix.EINVAL) {
		return "", nil // no link; if it is no folder either, opening it says so
	}
	return string(buf[:n]), err
}
