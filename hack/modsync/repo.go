package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// prefix is the path under which the released modules are found.
const prefix = "github.com/containust/containust/modules/"

// toolsDir holds the pinned tools: a module, but no part of the workspace.
const toolsDir = "hack/tools"

// repo is the checkout.
type repo struct {
	root     string
	versions map[string]string // of the released modules, by name
	modules  []*module         // all of the repository, by folder
	work     goWork
}

// module is one go.mod of the repository.
type module struct {
	dir  string // slash-separated, relative to the root
	file goMod
}

// name returns the name of a released module, and "" for any other.
func (m *module) name() string {
	name, ok := strings.CutPrefix(m.file.Module.Path, prefix)
	if !ok || strings.Contains(name, "/") {
		return ""
	}
	return name
}

// The parts of `go mod edit -json` and `go work edit -json` that matter here.
type (
	goMod struct {
		Module  struct{ Path string }
		Require []moduleVersion
		Replace []replacement
	}
	goWork struct {
		Use     []struct{ DiskPath string }
		Replace []replacement
	}
	replacement   struct{ Old, New moduleVersion }
	moduleVersion struct{ Path, Version string }
)

// openRepo finds the repository that the working folder is in and reads its
// versions.yaml, go.work and every go.mod.
func openRepo(ctx context.Context) (*repo, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for !exists(filepath.Join(dir, "versions.yaml")) {
		up := filepath.Dir(dir)
		if up == dir {
			return nil, errors.New("no versions.yaml here or above; run it inside the repository")
		}
		dir = up
	}
	r := &repo{root: dir}

	text, err := os.ReadFile(filepath.Join(dir, "versions.yaml"))
	if err != nil {
		return nil, err
	}
	if r.versions, err = parseVersions(string(text)); err != nil {
		return nil, fmt.Errorf("versions.yaml: %w", err)
	}
	out, err := r.output(ctx, "", nil, "go", "work", "edit", "-json", filepath.Join(dir, "go.work"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(out, &r.work); err != nil {
		return nil, fmt.Errorf("read go.work: %w", err)
	}
	return r, r.findModules(ctx)
}

func (r *repo) findModules(ctx context.Context) error {
	return fs.WalkDir(os.DirFS(r.root), ".", func(name string, d fs.DirEntry, err error) error {
		switch base := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && (base == "testdata" || name != "." && strings.HasPrefix(base, ".")):
			return fs.SkipDir
		case base != "go.mod":
			return nil
		}
		m := &module{dir: path.Dir(name)}
		out, err := r.output(ctx, "", nil, "go", "mod", "edit", "-json", r.path(name))
		if err != nil {
			return err
		}
		if err := json.Unmarshal(out, &m.file); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		r.modules = append(r.modules, m)
		return nil
	})
}

// released returns the names of the released modules in order.
func (r *repo) released() []string {
	names := make([]string, 0, len(r.versions))
	for name := range r.versions {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// path returns the file name of a slash-separated path in the repository.
func (r *repo) path(name string) string { return filepath.Join(r.root, filepath.FromSlash(name)) }

// output runs a program in a folder of the repository and returns what it
// prints; env is added to the environment. The error holds what it complained.
func (r *repo) output(ctx context.Context, dir string, env []string, name string, args ...string) ([]byte, error) {
	if !filepath.IsAbs(dir) {
		dir = r.path(dir)
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "GOWORK=off"), env...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s (in %s): %w\n%s%s",
			name, strings.Join(args, " "), dir, err, out, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}
