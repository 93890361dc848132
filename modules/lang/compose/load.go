package compose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/override"
	"github.com/compose-spec/compose-go/v2/paths"
	"github.com/compose-spec/compose-go/v2/transform"
	"github.com/compose-spec/compose-go/v2/validation"

	"github.com/containust/containust/modules/lang/envfile"
	"github.com/containust/containust/modules/lang/internal/wholefile"
)

const (
	maxFile      = 4 << 20
	maxFiles     = 256
	maxVariables = 4 << 20 // bytes of environment files, each as often as it is read

	projectName = "COMPOSE_PROJECT_NAME"
)

// loader reads the files of one project.
type loader struct {
	ctx  context.Context
	opts Options
	dir  string            // of the first file: relative paths of the project belong to it
	env  map[string]string // of .env, or of the files given instead

	project string // its name for Compose

	nodes, text  int             // read so far
	variableText int             // of environment files
	ranks        map[string]int  // of the files, as they were read; from 1
	bases        map[string]base // files that were read for extends

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
		opts.ReadFile = func(name string) ([]byte, error) { return wholefile.Head(name, maxFile+1) }
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
	if l.variableText += len(text); l.variableText > maxVariables {
		return place{file: file}.errorf("the project reads more than %d MiB of environment files", maxVariables>>20)
	}
	err = guard(func() error { return envfile.Parse(text, format, vars, lookup) })
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
// include and extend. dir is the folder that relative paths belong to, seen
// from the project's, relative the same folder seen from where it is included,
// and chain the files that led here.
func (l *loader) load(files []string, dir, relative string, sc *scope, chain []string) (*model, error) {
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
	if err := l.finish(out, relative); err != nil {
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
	for _, name := range sections {
		if _, named := m.dict[name].(map[string]any); m.dict[name] != nil && !named {
			return m.place(name).errorf("%s is a mapping of names", name)
		}
	}
	services := m.section("services")
	for _, name := range sorted(services) {
		attributes, ok := services[name].(map[string]any)
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
		for _, name := range sorted(named) {
			entry := named[name]
			attributes, ok := entry.(map[string]any)
			if section != "services" || !ok {
				whole, err := m.one(plainExternal(entry), change, section, name)
				if err != nil {
					return err
				}
				named[name] = whole
				continue
			}
			for _, attribute := range sorted(attributes) {
				long, err := m.one(attributes[attribute], change, section, name, attribute)
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

// finish fills in what is left out, and makes relative paths, which belong to
// dir, relative to what dir is relative to.
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
