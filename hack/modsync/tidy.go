package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// tidy tidies the modules in the folders given, or all of them.
func (r *repo) tidy(ctx context.Context, dirs []string) error {
	for i, dir := range dirs {
		dirs[i] = path.Clean(filepath.ToSlash(dir))
		if !slices.ContainsFunc(r.modules, func(m *module) bool { return m.dir == dirs[i] }) {
			return fmt.Errorf("no module in %q; name folders from the top, like modules/core", dir)
		}
	}
	for _, m := range r.modules {
		if len(dirs) > 0 && !slices.Contains(dirs, m.dir) {
			continue
		}
		tidied, err := r.tidied(ctx, m)
		if err != nil {
			return err
		}
		for name, want := range tidied {
			file := r.path(path.Join(m.dir, name))
			got, err := readOptional(file)
			switch {
			case err != nil:
				return err
			case bytes.Equal(got, want):
				continue
			case want == nil:
				err = os.Remove(file)
			default:
				err = os.WriteFile(file, want, 0o644)
			}
			if err != nil {
				return err
			}
			fmt.Println("wrote", path.Join(m.dir, name))
		}
	}
	return nil
}

// tidied returns what go.mod and go.sum of a module should hold; nil is no
// file. It changes nothing in the repository.
func (r *repo) tidied(ctx context.Context, m *module) (map[string][]byte, error) {
	tmp, err := os.MkdirTemp("", "modsync-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	modFile, sumFile := filepath.Join(tmp, "go.mod"), filepath.Join(tmp, "go.sum")

	text, err := os.ReadFile(r.path(path.Join(m.dir, "go.mod")))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(modFile, text, 0o644); err != nil {
		return nil, err
	}
	sums, err := readOptional(r.path(path.Join(m.dir, "go.sum")))
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(sumFile, sums, 0o644); err != nil {
		return nil, err
	}

	var lend, takeBack []string
	for _, name := range r.released() {
		lend = append(lend, "-replace="+prefix+name+"="+r.path("modules/"+name))
		takeBack = append(takeBack, "-dropreplace="+prefix+name)
	}
	for _, args := range [][]string{
		append(append([]string{"mod", "edit"}, lend...), modFile),
		{"mod", "tidy", "-modfile=" + modFile},
		append(append([]string{"mod", "edit"}, takeBack...), modFile),
	} {
		if _, err := r.output(ctx, m.dir, nil, "go", args...); err != nil {
			return nil, err
		}
	}

	if text, err = os.ReadFile(modFile); err != nil {
		return nil, err
	}
	if sums, err = readOptional(sumFile); err != nil {
		return nil, err
	}
	if len(sums) == 0 {
		sums = nil
	}
	return map[string][]byte{"go.mod": text, "go.sum": sums}, nil
}

// readOptional reads a file; one that isn't there is nil.
func readOptional(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return data, err
}

// lineDiff shows the lines that only one of two texts has: "-" those of a, "+"
// those of b. The order of lines in a go.mod has no meaning.
func lineDiff(a, b string) []string {
	var diff []string
	inA, inB := strings.Split(a, "\n"), strings.Split(b, "\n")
	for _, line := range inA {
		if !slices.Contains(inB, line) {
			diff = append(diff, "- "+strings.TrimSpace(line))
		}
	}
	for _, line := range inB {
		if !slices.Contains(inA, line) {
			diff = append(diff, "+ "+strings.TrimSpace(line))
		}
	}
	return diff
}
