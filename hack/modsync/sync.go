package main

import (
	"context"
	"path"
	"strings"
)

// sync writes the versions of versions.yaml to every go.mod that requires a
// sibling, and to go.work.
func (r *repo) sync(ctx context.Context) error {
	for _, m := range r.modules {
		var edits []string
		for _, req := range m.file.Require {
			name, sibling := strings.CutPrefix(req.Path, prefix)
			if want := r.versions[name]; sibling && want != "" && want != req.Version {
				edits = append(edits, "-require="+req.Path+"@"+want)
			}
		}
		if len(edits) == 0 {
			continue
		}
		args := append(append([]string{"mod", "edit"}, edits...), r.path(path.Join(m.dir, "go.mod")))
		if _, err := r.output(ctx, "", nil, "go", args...); err != nil {
			return err
		}
	}

	args := []string{"work", "edit"}
	for _, old := range r.work.Replace {
		if name, ours := strings.CutPrefix(old.Old.Path, prefix); ours && r.versions[name] != old.Old.Version {
			args = append(args, "-dropreplace="+old.Old.Path+"@"+old.Old.Version)
		}
	}
	for _, name := range r.released() {
		args = append(args, "-replace="+prefix+name+"@"+r.versions[name]+"=./modules/"+name)
	}
	_, err := r.output(ctx, "", nil, "go", append(args, r.path("go.work"))...)
	return err
}
