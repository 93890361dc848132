package compose

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/override"
)

// base is a service of a file, of which others are extensions.
type base struct {
	model *model
	file  string
	dir   string // the folder that extends.file belongs to, seen from the project's
	name  string
}

// extendAll follows extends in all services of a file.
func (l *loader) extendAll(m *model, file, dir string, sc *scope) error {
	services := m.section("services")
	for _, name := range slices.Sorted(maps.Keys(services)) {
		if err := l.extend(base{m, file, dir, name}, sc, nil); err != nil {
			return err
		}
	}
	return nil
}

// extend merges a service with the one that it extends, after that has been
// done for the other. chain are the services that led here.
func (l *loader) extend(b base, sc *scope, chain []string) error {
	service, ok := b.model.section("services")[b.name].(map[string]any)
	if !ok || service["extends"] == nil {
		return nil
	}
	at := b.model.place("services", b.name, "extends")
	link := b.name + " of " + b.file
	if slices.Contains(chain, link) {
		return at.errorf("services extend each other: %s", strings.Join(append(chain, link), " → "))
	}
	chain = append(chain[:len(chain):len(chain)], link)
	parent, err := l.parent(b, service["extends"], at, sc)
	if err != nil {
		return err
	}
	if err := l.extend(parent, sc, chain); err != nil {
		return err
	}
	whole, ok := parent.model.section("services")[parent.name].(map[string]any)
	if !ok {
		return at.errorf("there is no service %q in %s to extend", parent.name, parent.file)
	}
	values, text := size(whole)
	if err := l.take(values, text, at); err != nil {
		return err
	}
	source, _ := clone(whole).(map[string]any)
	for _, path := range b.model.resets {
		if len(path) > 2 && path[0] == "services" && path[1] == b.name {
			removeAll(source, [][]string{path[2:]})
		}
	}
	err = guard(func() error {
		merged, err := override.ExtendService(source, service)
		if err == nil {
			delete(merged, "extends")
			b.model.section("services")[b.name] = merged
		}
		return err
	})
	if err != nil {
		return at.errorf("extend %s of %s: %w", parent.name, parent.file, err)
	}
	of, _ := owner([]string{"services", parent.name})
	to, _ := owner([]string{"services", b.name})
	b.model.places.inherit(to, parent.model.places[of], true)
	return nil
}

// parent finds the service that another one extends, and reads its file.
func (l *loader) parent(b base, extends any, at place, sc *scope) (base, error) {
	parent := base{model: b.model, file: b.file, dir: b.dir}
	switch v := extends.(type) {
	case string:
		parent.name = v
		return parent, nil
	case map[string]any:
		parent.name, _ = v["service"].(string)
		name, other := v["file"].(string)
		if parent.name == "" || v["file"] != nil && !other {
			break
		}
		if !other {
			return parent, nil
		}
		if remote(name) {
			return base{}, at.errorf("%s is not on this machine: fetch it and extend the copy", name)
		}
		return l.readBase(b.dir, name, parent.name, sc)
	}
	return base{}, at.errorf("extends is the name of a service, or a service and a file")
}

// readBase reads a file for the sake of one service. Neither what it includes
// nor its other parts count.
func (l *loader) readBase(dir, name, service string, sc *scope) (base, error) {
	file := l.path(join(dir, name))
	known := fmt.Sprintf("%q %q %p", dir, file, sc)
	if b, ok := l.bases[known]; ok {
		b.name = service
		return b, nil
	}
	documents, err := l.parse(file, sc)
	if err != nil {
		return base{}, err
	}
	m := newModel()
	for _, d := range documents {
		removeAll(m.dict, d.resets)
		if err := m.add(d, file); err != nil {
			return base{}, err
		}
	}
	if err := l.resolvePaths(m, filepath.ToSlash(filepath.Dir(name))); err != nil {
		return base{}, err
	}
	// Its own extends.file is relative to the same folder now.
	b := base{model: m, file: file, dir: dir, name: service}
	l.bases[known] = b
	return b, nil
}

// size is how many values there are in a value, and how much text.
func size(value any) (values, text int) {
	values = 1
	add := func(item any) {
		v, t := size(item)
		values += v
		text += t
	}
	switch v := value.(type) {
	case string:
		text = len(v)
	case []any:
		for _, item := range v {
			add(item)
		}
	case map[string]any:
		for _, item := range v {
			add(item)
		}
	}
	return values, text
}

func clone(value any) any {
	switch v := value.(type) {
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			list[i] = clone(item)
		}
		return list
	case map[string]any:
		dict := make(map[string]any, len(v))
		for key, item := range v {
			dict[key] = clone(item)
		}
		return dict
	}
	return value
}
