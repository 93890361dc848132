package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Of returns the folder of the v2 cgroup that a process is in (cgroups(7),
// "/proc/pid/cgroup"). One that this process's mounts or cgroup namespace do not
// show is an error that matches fs.ErrNotExist.
func Of(pid int) (string, error) {
	h, err := Find()
	if err != nil {
		return "", err
	}
	return h.Of(pid)
}

// Of is the function Of, for who asks for many processes.
func (h *Hierarchy) Of(pid int) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return "", &Error{Op: "find", Err: err}
	}
	dir, err := h.folder(text)
	if err != nil {
		return "", &Error{Op: "find", Err: fmt.Errorf("the cgroup of process %d: %w", pid, err)}
	}
	return dir, nil
}

// folder finds the v2 line of a /proc/pid/cgroup and returns its folder.
func (h *Hierarchy) folder(text []byte) (string, error) {
	for line := range bytes.Lines(text) {
		path, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "0::")
		if !ok {
			continue
		}
		rel, err := filepath.Rel(h.root, path)
		// Above the root of a cgroup namespace, a path begins with "/..".
		if err != nil || !filepath.IsLocal(rel) || path == "/.." || strings.HasPrefix(path, "/../") {
			return "", fmt.Errorf("%s is not below %s: %w", path, h.Mount, fs.ErrNotExist)
		}
		return filepath.Join(h.Mount, rel), nil
	}
	return "", fmt.Errorf("it has none: %w", fs.ErrNotExist)
}

// Delegated looks whether the caller may make cgroups in a folder, enable
// controllers for them and move processes between them, as whom a subtree was
// delegated to may (cgroup-v2.rst, "Delegation"). The error says what is refused.
func Delegated(dir string) error {
	for _, name := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
		if err := unix.Access(filepath.Join(dir, name), unix.W_OK); err != nil {
			return &Error{Op: "look at", Path: dir, Err: fmt.Errorf("it is not delegated to this user: write %s: %w", filepath.Join(dir, name), err)}
		}
	}
	return nil
}

// Settle moves a process into the cgroup Leaf of a delegated folder, which is
// made if need be. What the process starts is there too; other cgroups are made
// beside it. Controllers can be enabled only below a cgroup that has no process
// of its own.
func Settle(dir string, pid int) error {
	leaf := filepath.Join(dir, Leaf)
	err := os.Mkdir(leaf, 0o755)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	if err == nil {
		err = write(leaf, "cgroup.procs", strconv.Itoa(pid))
	}
	if err != nil {
		return &Error{Op: "settle in", Path: dir, Err: cause(err)}
	}
	return nil
}

// Settled returns the folder in whose Leaf the calling process is: moved there by
// Settle, or started by a process that was.
func Settled() (dir string, ok bool) {
	own, err := Of(os.Getpid())
	if err != nil || filepath.Base(own) != Leaf {
		return "", false
	}
	return filepath.Dir(own), true
}

// Leave undoes Settle: it moves a process to another cgroup, and removes the
// Leaf of dir that it was in, dir, and the folders between dir and the other
// cgroup, as far as they are empty then.
func Leave(dir, to string, pid int) error {
	if err := write(to, "cgroup.procs", strconv.Itoa(pid)); err != nil {
		return &Error{Op: "leave", Path: dir, Err: err}
	}
	(&Cgroup{root: to, path: filepath.Join(dir, Leaf, "x")}).removeEmptyAncestors()
	return nil
}
