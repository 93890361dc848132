package compose

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/override"
	"github.com/compose-spec/compose-go/v2/tree"
)

// addIncluded loads what a file includes and adds it to the file's model.
func (l *loader) addIncluded(m *model, file, dir string, sc *scope, chain []string) error {
	entries, ok := m.dict["include"]
	delete(m.dict, "include")
	if !ok || entries == nil {
		return nil
	}
	list, ok := entries.([]any)
	if !ok {
		return m.place("include").errorf("include is a list of files")
	}
	for i, entry := range list {
		at := m.place("include", index(i))
		inc, err := readInclude(entry, at)
		if err != nil {
			return err
		}
		included, err := l.loadIncluded(inc, at, dir, sc, chain)
		if err != nil {
			return err
		}
		if err := m.importAll(included, file); err != nil {
			return err
		}
	}
	return nil
}

// include is one entry of include.
type include struct {
	files    []string
	dir      string
	envFiles []string
}

func readInclude(entry any, at place) (include, error) {
	long, ok := entry.(map[string]any)
	if !ok {
		long = map[string]any{"path": entry}
	}
	var inc include
	for key, value := range long {
		texts, ok := textList(value)
		switch {
		case !ok:
			return inc, at.errorf("include.%s is a path or a list of paths", key)
		case key == "path":
			inc.files = texts
		case key == "env_file":
			inc.envFiles = texts
		case key == "project_directory" && len(texts) == 1:
			inc.dir = texts[0]
		case !strings.HasPrefix(key, "x-"):
			return inc, at.errorf("include has no %q", key)
		}
	}
	if len(inc.files) == 0 {
		return inc, at.errorf("an include without a path")
	}
	for _, name := range inc.files {
		if remote(name) {
			return inc, at.errorf("%s is not on this machine: fetch it and include the copy", name)
		}
	}
	return inc, nil
}

// remote tells whether a path names something of another machine.
func remote(name string) bool {
	return strings.Contains(name, "://") || strings.HasPrefix(name, "git@") || strings.HasPrefix(name, "oci:")
}

func textList(value any) ([]string, bool) {
	switch v := value.(type) {
	case nil:
		return nil, true
	case string:
		return []string{v}, true
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			text, ok := item.(string)
			if !ok {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	return nil, false
}

func (l *loader) loadIncluded(inc include, at place, dir string, sc *scope, chain []string) (*model, error) {
	var files []string
	for _, name := range inc.files {
		file := l.path(join(dir, name))
		if slices.Contains(chain, file) {
			return nil, at.errorf("files include each other: %s", strings.Join(append(chain, file), " → "))
		}
		files = append(files, file)
	}
	relative := filepath.ToSlash(filepath.Dir(inc.files[0]))
	if inc.dir != "" {
		relative = inc.dir
	}
	folder := join(dir, relative)
	var envFiles []string
	if inc.envFiles == nil {
		if beside := l.path(join(folder, dotenv.DotEnv)); folder != dir && l.opts.Exists(beside) {
			envFiles = []string{beside}
		}
	}
	for _, name := range inc.envFiles {
		if name != os.DevNull {
			envFiles = append(envFiles, l.path(join(dir, name)))
		}
	}
	inner := &scope{own: map[string]string{}}
	for _, file := range envFiles {
		if err := l.variables(file, "", inner.own, func(name string) (string, bool) { return l.lookup(sc, name) }); err != nil {
			return nil, err
		}
	}
	for name, value := range sc.own {
		inner.own[name] = value
	}
	return l.load(files, folder, relative, inner, chain)
}

// join is path.Join that leaves an absolute second path alone.
func join(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.ToSlash(filepath.Join(dir, name))
}

// importAll adds what was included. What the file itself says stands over it.
func (m *model) importAll(included *model, file string) error {
	for _, section := range sections {
		theirs := included.section(section)
		if theirs == nil {
			continue
		}
		if m.dict[section] == nil {
			m.dict[section] = map[string]any{}
		}
		ours, ok := m.dict[section].(map[string]any)
		if !ok {
			return m.place(section).errorf("%s is a mapping of names", section)
		}
		for name, value := range theirs {
			own, both := ours[name]
			if !both {
				ours[name] = value
				continue
			}
			err := guard(func() error {
				merged, err := override.MergeYaml(value, own, tree.NewPath(section, name))
				ours[name] = merged
				return err
			})
			if err != nil {
				return m.place(section, name).errorf("%s.%s is also in what %s includes: %w", section, name, file, err)
			}
		}
	}
	m.places.add(included.places, true)
	return nil
}
