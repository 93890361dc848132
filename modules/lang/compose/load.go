package compose

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/override"
	"github.com/compose-spec/compose-go/v2/paths"
	"github.com/compose-spec/compose-go/v2/transform"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/validation"
)

const (
	maxFile  = 4 << 20
	maxFiles = 256

	projectName = "COMPOSE_PROJECT_NAME"
)

// loader reads the files of one project.
type loader struct {
	ctx  context.Context
	opts Options
	dir  string            // of the first file: relative paths of the project belong to it
	env  map[string]string // of .env, or of the files given instead

	project string // its name for Compose

	nodes, text int             // read so far
	ranks       map[string]int  // of the files, as they were read; from 1
	bases       map[string]base // files that were read for extends

	kept     []variable
	needed   mentions // kept, and set by an environment file
	blank    mentions // kept, and nothing where nobody sets it
	replaced mentions // by its value
}

func newLoader(ctx context.Context, file string, opts Options) *loader {
	if opts.LookupEnv == nil {
		opts.LookupEnv = func(string) (string, bool) { return "", false }
	}
	if opts.ReadFile == nil {
		opts.ReadFile = os.ReadFile
	}
	if opts.Exists == nil {
		opts.Exists = func(name string) bool {
			_, err := os.Lstat(name)
			return err == nil
		}
	}
	return &loader{ctx: ctx, opts: opts, dir: filepath.Dir(file), env: map[string]string{}, ranks: map[string]int{}, bases: map[string]base{}}
}

// path returns a path of the project as it can be opened.
func (l *loader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir, filepath.FromSlash(name))
}

func (l *loader) read(file string) ([]byte, error) {
	if err := l.ctx.Err(); err != nil {
		return nil, err
	}
	if l.ranks[file] == 0 {
		l.ranks[file] = len(l.ranks) + 1
	}
	if len(l.ranks) > maxFiles {
		return nil, place{file: file}.errorf("the project has more than %d files", maxFiles)
	}
	text, err := l.opts.ReadFile(file)
	if err != nil {
		var of *fs.PathError
		if errors.As(err, &of) {
			err = of.Err
		}
		return nil, &Error{File: file, Err: err}
	}
	if len(text) > maxFile {
		return nil, place{file: file}.errorf("the file is larger than %d MiB", maxFile>>20)
	}
	return text, nil
}

// readEnvironment reads the .env beside the first file, if it is there, or the
// files given instead.
func (l *loader) readEnvironment() error {
	files := l.opts.EnvFiles
	if files == nil {
		beside := filepath.Join(l.dir, dotenv.DotEnv)
		if !l.opts.Exists(beside) {
			return nil
		}
		files = []string{beside}
	}
	for _, file := range files {
		if err := l.variables(file, "", l.env, l.opts.LookupEnv); err != nil {
			return err
		}
	}
	return nil
}

// variables adds the variables of a file to vars. What lookup or vars know can
// be used in it.
func (l *loader) variables(file, format string, vars map[string]string, lookup func(string) (string, bool)) error {
	text, err := l.read(file)
	if err != nil {
		return err
	}
	err = guard(func() error {
		return dotenv.ParseWithFormat(bytes.NewReader(text), file, vars, func(name string) (string, bool) {
			if v, ok := lookup(name); ok {
				return v, true
			}
			v, ok := vars[name]
			return v, ok
		}, format)
	})
	if err != nil {
		return &Error{File: file, Err: err}
	}
	for name, value := range vars {
		if err := unmarked(name+value, place{file: file}); err != nil {
			return err
		}
	}
	return nil
}

// guard runs code of compose-go, which expects the forms that its JSON schema
// has checked, and panics on some others.
func guard(run func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a value that does not have the form that Compose gives it (%v)", r)
		}
	}()
	return run()
}

// load reads files, the later ones over the earlier ones, with what they
// include and extend. dir is the folder that relative paths belong to, and
// chain the files that led here.
func (l *loader) load(files []string, dir string, sc *scope, chain []string) (*model, error) {
	out := newModel()
	for _, file := range files {
		documents, err := l.parse(file, sc)
		if err != nil {
			return nil, err
		}
		for _, m := range documents {
			if err := l.addIncluded(m, file, dir, sc, append(chain[:len(chain):len(chain)], file)); err != nil {
				return nil, err
			}
			removeAll(out.dict, m.resets)
			if err := l.extendAll(m, file, dir, sc); err != nil {
				return nil, err
			}
			if err := out.add(m, file); err != nil {
				return nil, err
			}
		}
	}
	if err := l.finish(out, dir); err != nil {
		return nil, err
	}
	return out, nil
}

// add puts a later file over what is there.
func (m *model) add(other *model, file string) error {
	err := guard(func() (err error) {
		if m.dict, err = override.Merge(m.dict, other.dict); err != nil {
			return err
		}
		m.dict, err = override.EnforceUnicity(m.dict)
		return err
	})
	if err != nil {
		return &Error{File: file, Err: err}
	}
	m.places.add(other.places, false)
	return m.canonical()
}

// canonical brings the short forms to the long ones.
func (m *model) canonical() error {
	for name, entries := range m.dict {
		if _, named := entries.(map[string]any); slices.Contains(sections, name) && entries != nil && !named {
			return m.place(name).errorf("%s is a mapping of names", name)
		}
	}
	for name, service := range m.section("services") {
		attributes, ok := service.(map[string]any)
		if !ok {
			return m.place("services", name).errorf("the service %q is a mapping of attributes", name)
		}
		maps.DeleteFunc(attributes, func(attribute string, value any) bool {
			return value == nil || strings.HasPrefix(attribute, "x-")
		})
	}
	err := m.each(func(dict map[string]any) (map[string]any, error) { return transform.Canonical(dict, false) })
	if err != nil {
		return err
	}
	// A range of ports can repeat what another entry says.
	err = guard(func() (err error) {
		m.dict, err = override.EnforceUnicity(m.dict)
		return err
	})
	if err != nil {
		return m.place("services").errorf("%w", err)
	}
	return nil
}

// each changes every attribute of every service, and every other named thing,
// for itself: an error has its place then.
func (m *model) each(change func(map[string]any) (map[string]any, error)) error {
	for _, section := range sections {
		named := m.section(section)
		for name, entry := range named {
			attributes, ok := entry.(map[string]any)
			if section != "services" || !ok {
				whole, err := m.one(plainExternal(entry), change, section, name)
				if err != nil {
					return err
				}
				named[name] = whole
				continue
			}
			for attribute, value := range attributes {
				long, err := m.one(value, change, section, name, attribute)
				if err != nil {
					return err
				}
				attributes[attribute] = long
			}
		}
	}
	return nil
}

// one changes the value that stands at the keys.
func (m *model) one(value any, change func(map[string]any) (map[string]any, error), keys ...string) (any, error) {
	for i := len(keys) - 1; i >= 0; i-- {
		value = map[string]any{keys[i]: value}
	}
	err := guard(func() error {
		changed, err := change(value.(map[string]any))
		if err != nil {
			return err
		}
		value = changed
		for _, key := range keys {
			value = value.(map[string]any)[key]
		}
		return nil
	})
	if err != nil {
		return nil, m.place(keys...).errorf("%s: %w", strings.Join(keys, "."), err)
	}
	return value, nil
}

// plainExternal brings the old external: { name: x } to what replaced it.
func plainExternal(entry any) any {
	resource, ok := entry.(map[string]any)
	if !ok {
		return entry
	}
	if external, ok := resource["external"].(map[string]any); ok {
		if name, given := external["name"]; given {
			resource["name"] = name
		}
		resource["external"] = true
	}
	return resource
}

// finish fills in what is left out, and makes relative paths relative to the
// project's folder; those of the model belong to dir.
func (l *loader) finish(m *model, dir string) error {
	err := m.each(func(dict map[string]any) (map[string]any, error) {
		dict, err := transform.SetDefaultValues(dict)
		if err != nil {
			return nil, err
		}
		return dict, validation.Validate(dict)
	})
	if err != nil {
		return err
	}
	return l.resolvePaths(m, dir)
}

func (l *loader) resolvePaths(m *model, dir string) error {
	for _, service := range m.section("services") {
		attributes, _ := service.(map[string]any)
		if attributes["develop"] != nil {
			attributes["develop"] = true // its paths would be looked up on disk
		}
		volumes, _ := attributes["volumes"].([]any)
		for _, volume := range volumes {
			l.keepHome(volume)
		}
	}
	if err := guard(func() error { return paths.ResolveRelativePaths(m.dict, dir, nil) }); err != nil {
		return m.place("services").errorf("%w", err)
	}
	return nil
}

// keepHome keeps the ~ of a host path as ${env.HOME}: another user may run the
// source. The / in front makes the path absolute until it is written.
func (l *loader) keepHome(volume any) {
	long, _ := volume.(map[string]any)
	source, _ := long["source"].(string)
	if rest, ok := strings.CutPrefix(source, "~"); ok && (rest == "" || rest[0] == '/') {
		home, _ := l.opts.LookupEnv("HOME")
		long["source"] = "/" + l.keep(variable{name: "HOME", now: home}) + rest
	}
}

// removeAll removes what is at the paths.
func removeAll(dict map[string]any, all [][]string) {
	for _, path := range all {
		at := dict
		for i, key := range path {
			if i == len(path)-1 {
				delete(at, key)
				break
			}
			next, ok := at[key].(map[string]any)
			if !ok {
				break
			}
			at = next
		}
	}
}

// sections are the parts of a Compose file that hold named things.
var sections = []string{"services", "jobs", "networks", "volumes", "secrets", "configs", "models"}

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
	folder := join(dir, filepath.ToSlash(filepath.Dir(inc.files[0])))
	if inc.dir != "" {
		folder = join(dir, inc.dir)
	}
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
	return l.load(files, folder, inner, chain)
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
