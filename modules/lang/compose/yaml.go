package compose

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// What a project may have at most. Aliases, extends and ranges of ports multiply
// what a small file says.
const (
	maxNodes = 30_000
	maxText  = 64 << 20
	maxDepth = 64
)

// model is a Compose file, or several merged, as compose-go wants it, with the
// place of everything.
type model struct {
	dict   map[string]any
	places places
	resets [][]string // what !reset and !override take away from earlier files
}

func newModel() *model {
	return &model{dict: map[string]any{}, places: places{}}
}

// section returns a top-level mapping, or nil.
func (m *model) section(name string) map[string]any {
	section, _ := m.dict[name].(map[string]any)
	return section
}

// place returns where something stands, or what it is in.
func (m *model) place(keys ...string) place {
	for n := len(keys); n > 0; n-- {
		if s, ok := m.places.get(keys[:n]...); ok {
			return s.place
		}
	}
	return place{}
}

// parse reads the documents of a file.
func (l *loader) parse(file string, sc *scope) ([]*model, error) {
	text, err := l.read(file)
	if err != nil {
		return nil, err
	}
	var all []*model
	for documents := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var node yaml.Node
		err := documents.Decode(&node)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, yamlError(file, err)
		}
		d := &document{loader: l, file: file, scope: sc, model: newModel(), open: map[*yaml.Node]bool{}}
		if err := d.read(&node); err != nil {
			return nil, err
		}
		all = append(all, d.model)
	}
}

// yamlError gives an error of the YAML library its place.
func yamlError(file string, err error) error {
	p := place{file: file}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if _, after, found := strings.Cut(text, "line "); found {
		digits := after[:len(after)-len(strings.TrimLeft(after, "0123456789"))]
		p.line, _ = strconv.Atoi(digits) // 0, which is "not known", when it is no number
	}
	return p.errorf("this is not YAML: %s", text)
}

// document reads one YAML document.
type document struct {
	*loader
	file  string
	scope *scope
	model *model
	open  map[*yaml.Node]bool // that are being read: an alias to one of them is a cycle
}

func (d *document) at(n *yaml.Node) place { return place{d.file, n.Line, n.Column} }

func (d *document) read(n *yaml.Node) error {
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n.Kind == 0 || n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return nil // an empty document
	}
	for i := 0; i+1 < len(n.Content) && d.project == ""; i += 2 {
		if n.Kind == yaml.MappingNode && n.Content[i].Value == "name" {
			d.project = n.Content[i+1].Value // known before anything asks for it
		}
	}
	value, _, err := d.value(n, nil)
	if err != nil {
		return err
	}
	dict, ok := value.(map[string]any)
	if !ok {
		return d.at(n).errorf("a Compose file is a mapping: services and what belongs to them")
	}
	d.model.dict = dict
	return nil
}

// value returns a node as compose-go wants it. False: there is none, which a
// later file says with !reset.
func (d *document) value(n *yaml.Node, path []string) (any, bool, error) {
	if err := d.count(n, path); err != nil {
		return nil, false, err
	}
	switch n.Tag {
	case "!reset":
		d.model.resets = append(d.model.resets, append([]string(nil), path...))
		return nil, false, nil
	case "!override":
		d.model.resets = append(d.model.resets, append([]string(nil), path...))
	}
	switch n.Kind {
	case yaml.AliasNode:
		return d.value(n.Alias, path)
	case yaml.ScalarNode:
		v, err := d.scalar(n, path)
		return v, true, err
	}
	if d.open[n] {
		return nil, false, d.at(n).errorf("an alias that is inside of what it stands for")
	}
	d.open[n] = true
	defer delete(d.open, n)
	if n.Kind == yaml.SequenceNode {
		v, err := d.sequence(n, path)
		return v, true, err
	}
	dict := map[string]any{}
	return dict, true, d.mapping(dict, n, path, false)
}

func (d *document) count(n *yaml.Node, path []string) error {
	if err := d.take(1, len(n.Value), d.at(n)); err != nil {
		return err
	}
	if len(path) > maxDepth {
		return d.at(n).errorf("nested deeper than %d", maxDepth)
	}
	return d.ctx.Err()
}

// take counts what was read.
func (l *loader) take(values, text int, at place) error {
	l.nodes += values
	l.text += text
	if l.nodes > maxNodes || l.text > maxText {
		return at.errorf("the project has more than %d values, or %d MiB of text", maxNodes, maxText>>20)
	}
	return nil
}

func (d *document) sequence(n *yaml.Node, path []string) (any, error) {
	list := make([]any, 0, len(n.Content))
	for i, item := range n.Content {
		at := append(path[:len(path):len(path)], index(i))
		d.model.places.set(d.at(item), at...)
		if item.Kind == yaml.ScalarNode {
			// Compose merges such lists like mappings: by NAME of NAME=value.
			name, _, _ := strings.Cut(item.Value, "=")
			d.model.places.set(d.at(item), append(path[:len(path):len(path)], name)...)
		}
		v, ok, err := d.value(item, at)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, v)
		}
	}
	d.model.places.setLength(len(n.Content), path...)
	return list, nil
}

// mapping adds the entries of a node to dict. Those of a merge (<<) do not
// replace what is there.
func (d *document) mapping(dict map[string]any, n *yaml.Node, path []string, merged bool) error {
	var merges []*yaml.Node
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" {
			return d.at(key).errorf("a key that is not a name")
		}
		if key.ShortTag() == "!!merge" {
			merges = append(merges, item)
			continue
		}
		if first, twice := lines[key.Value]; twice {
			return d.at(key).errorf("%q is there twice, first in line %d", key.Value, first)
		}
		lines[key.Value] = key.Line
		if _, set := dict[key.Value]; set && merged {
			continue
		}
		at := append(path[:len(path):len(path)], key.Value)
		d.model.places.set(d.at(key), at...)
		v, ok, err := d.value(item, at)
		if err != nil {
			return err
		}
		if ok {
			dict[key.Value] = v
		}
	}
	for _, m := range merges {
		if err := d.merge(dict, m, path); err != nil {
			return err
		}
	}
	return nil
}

// merge adds what << names: a mapping, an alias to one, or a list of those.
func (d *document) merge(dict map[string]any, n *yaml.Node, path []string) error {
	if err := d.count(n, path); err != nil {
		return err
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if d.open[n] {
		return d.at(n).errorf("an alias that is inside of what it stands for")
	}
	d.open[n] = true
	defer delete(d.open, n)
	switch n.Kind {
	case yaml.MappingNode:
		return d.mapping(dict, n, path, true)
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if err := d.merge(dict, item, path); err != nil {
				return err
			}
		}
		return nil
	}
	return d.at(n).errorf("<< takes mappings")
}

func (d *document) scalar(n *yaml.Node, path []string) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var v bool
		err := d.decode(n, &v)
		return v, err
	case "!!int":
		var v int
		err := d.decode(n, &v)
		return v, err
	case "!!float":
		var v float64
		err := d.decode(n, &v)
		return v, err
	}
	at := d.at(n)
	if err := unmarked(n.Value, at); err != nil {
		return nil, err
	}
	ports := len(path) == 4 && path[0] == "services" && (path[2] == "ports" || path[2] == "expose")
	if ports && path[2] == "ports" {
		if long, ok := d.publish(n.Value, at, d.scope); ok {
			return long, nil
		}
	}
	text, err := d.interpolate(n.Value, at, path, d.scope)
	if err == nil && ports {
		err = d.take(portCount(text), 0, at)
	}
	if err != nil || text == n.Value || refers(text) {
		return text, err
	}
	return number(text), nil
}

func (d *document) decode(n *yaml.Node, v any) error {
	if err := n.Decode(v); err != nil {
		return d.at(n).errorf("%q is not a value that can be read", n.Value)
	}
	return nil
}

// number returns what a variable brought as the number that it is: where
// compose-go wants a number it takes no text, and where it wants text a whole
// number will do.
func number(text string) any {
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text || n > math.MaxInt32 {
		return text
	}
	return n
}
