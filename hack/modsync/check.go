package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// check returns everything that is out of step, a line or a few for each.
func (r *repo) check(ctx context.Context) ([]string, error) {
	problems := r.checkVersions()
	for _, name := range r.released() {
		if !exists(r.path("modules/" + name)) {
			continue // reported by checkVersions
		}
		found, err := checkImports(moduleFS(r, name), name)
		if err != nil {
			return nil, err
		}
		problems = append(problems, found...)
	}
	for _, m := range r.modules {
		tidied, err := r.tidied(ctx, m)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		for _, name := range []string{"go.mod", "go.sum"} {
			have, err := readOptional(r.path(path.Join(m.dir, name)))
			if err != nil {
				return nil, err
			}
			if diff := lineDiff(string(have), string(tidied[name])); len(diff) > 0 {
				problems = append(problems, fmt.Sprintf("%s/%s is not tidy: run make tidy\n    %s",
					m.dir, name, strings.Join(diff, "\n    ")))
			}
		}
	}
	return problems, nil
}

// checkVersions holds go.work and the go.mod files against versions.yaml.
func (r *repo) checkVersions() []string {
	var problems []string
	found := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	inWork := make(map[string]bool)
	for _, use := range r.work.Use {
		inWork[path.Clean(use.DiskPath)] = true
	}
	names := make(map[string]bool)
	for _, m := range r.modules {
		names[m.name()] = true
		if inWork[m.dir] == (m.dir == toolsDir) {
			if m.dir == toolsDir {
				found("go.work uses %s: the tools have their own versions and stay outside", m.dir)
			} else {
				found("go.work does not use ./%s", m.dir)
			}
		}
		if m.name() != "" && r.versions[m.name()] == "" {
			found("%s is not in versions.yaml", m.dir)
		}
		if len(m.file.Replace) > 0 {
			found("%s/go.mod has a replace: nobody who requires the module would see it", m.dir)
		}
		for _, req := range m.file.Require {
			name, sibling := strings.CutPrefix(req.Path, prefix)
			if want := r.versions[name]; sibling && want != req.Version {
				found("%s/go.mod requires %s %s, versions.yaml says %q: run make sync", m.dir, name, req.Version, want)
			}
		}
	}
	for _, name := range r.released() {
		if !names[name] {
			found("versions.yaml names %s, but modules/%s/go.mod is not there", name, name)
		}
		want := replacement{
			Old: moduleVersion{prefix + name, r.versions[name]},
			New: moduleVersion{Path: "./modules/" + name},
		}
		if !slices.Contains(r.work.Replace, want) {
			found("go.work does not replace %s %s with %s: run make sync", want.Old.Path, want.Old.Version, want.New.Path)
		}
	}
	return problems
}

// moduleFS returns the files of a released module.
func moduleFS(r *repo, name string) fs.FS { return os.DirFS(r.path("modules/" + name)) }
