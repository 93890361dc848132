package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// mayImport tells which siblings each module may import: the architecture's
// direction. .golangci.yml says the same to the linter, which reports it at the
// line. (That nobody imports another's internal/ the compiler sees to.)
var mayImport = map[string][]string{
	"core":    {},
	"lang":    {},
	"graph":   {},
	"storage": {"core"},
	"vm":      {"core"},
	"observe": {"core"},
	"sdk":     {"core", "graph", "lang", "observe", "storage", "vm"},
	"cli":     {"core", "graph", "lang", "observe", "sdk", "storage", "vm"},
}

// portable are the modules that are pure Go without a system call, so that
// editors and servers on any platform can have them.
var portable = []string{"lang", "graph"}

// checkImports reads the imports of every Go file of a module. It parses the
// files instead of asking go list, because a build constraint for another
// platform must not hide an import.
func checkImports(module fs.FS, name string) ([]string, error) {
	allowed, known := mayImport[name]
	if !known {
		return []string{fmt.Sprintf("modules/%s: hack/modsync/imports.go does not say what it may import", name)}, nil
	}
	var problems []string
	err := fs.WalkDir(module, ".", func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || path.Ext(file) != ".go":
			return nil
		}
		if slices.Contains(portable, name) && strings.HasSuffix(strings.TrimSuffix(file, ".go"), "_linux") {
			problems = append(problems, fmt.Sprintf("modules/%s/%s: this module is for every platform alike", name, file))
		}
		text, err := fs.ReadFile(module, file)
		if err != nil {
			return err
		}
		syntax, err := parser.ParseFile(token.NewFileSet(), file, text, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("modules/%s: %w", name, err)
		}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("modules/%s/%s: import %s: %w", name, file, spec.Path.Value, err)
			}
			rest, sibling := strings.CutPrefix(imported, prefix)
			other, _, _ := strings.Cut(rest, "/")
			if sibling && other != name && !slices.Contains(allowed, other) {
				problems = append(problems, fmt.Sprintf("modules/%s/%s: %s may not import %s", name, file, name, other))
			}
		}
		return nil
	})
	return problems, err
}
