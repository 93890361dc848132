package compose

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"github.com/containust/containust/modules/lang/schema"
)

// image writes where the root file system comes from.
func (c *converter) image(s *component) {
	uri := c.imageURI(s)
	c.references(uri, func(string) {}, func(v *variable) {
		switch {
		case v.blank():
			c.blank.note(v.name, c.at(s, "image"))
		case !v.optional:
			c.needed.note(v.name, c.at(s, "image"))
		}
	})
	s.set("image", c.quote(uri, tab))
}

// placeHolder is the image of a service that has none that .ctst can name.
func placeHolder(s *component) string { return "image://" + catalogName(s.name) }

// catalogName makes a name of the image catalog: lower case letters and digits,
// with single . _ - between them.
func catalogName(text string) string {
	var b strings.Builder
	between := ""
	for _, r := range strings.ToLower(text) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteString(between)
			b.WriteRune(r)
			between = ""
		case b.Len() == 0 || between != "":
		case r == '.' || r == '_':
			between = string(r)
		default:
			between = "-"
		}
	}
	return cmp.Or(b.String(), "image")
}

// builtImage is what the image is called that Docker would build.
func (c *converter) builtImage(s *component) string {
	name, tag := s.Image, ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i:]
	}
	uri := "image://" + catalogName(name) + tag
	if name == "" || refers(name) || strings.Contains(name, "@") || schema.CheckImage(c.expand(uri)) != nil {
		return placeHolder(s)
	}
	return uri
}

func (c *converter) imageURI(s *component) string {
	switch {
	case s.Build != nil:
		uri := c.builtImage(s)
		c.lose(s, "build", c.at(s, "build"), "ctst builds no images: build it elsewhere, and bring it in as %s with ctst images import", c.expand(uri))
		return uri
	case s.Image == "":
		c.lose(s, "image", c.model.place("services", s.Name), "there is no image: %s is a place holder for ctst images import", placeHolder(s))
		return placeHolder(s)
	}
	uri, err := c.qualify(s.Image, c.at(s, "image"))
	if err != nil && c.requireAll(s.Image) {
		uri, err = c.qualify(s.Image, c.at(s, "image"))
	}
	if err != nil {
		c.lose(s, "image", c.at(s, "image"), "%v: %s is a place holder for ctst images import", err, placeHolder(s))
		return placeHolder(s)
	}
	return uri
}

// qualify returns the URI of an image that is named as for Docker: nginx is
// docker.io/library/nginx:latest.
func (c *converter) qualify(image string, at place) (string, error) {
	now := c.expand(image)
	named, err := reference.ParseNormalizedNamed(now)
	if err != nil {
		return "", err
	}
	if d, ok := named.(reference.Digested); ok && d.Digest().Algorithm() != "sha256" {
		return "", errors.New("the digest of the image is no SHA-256")
	}
	full := reference.TagNameOnly(named).String()
	if p := schema.CheckImage("oci://" + full); p != nil {
		return "", errors.New(p.Summary)
	}
	if !refers(image) {
		return "oci://" + full, nil
	}
	// The variables stay where they are if the full name is the text with
	// something around it. One that is the first may hold a registry, which
	// nothing goes in front of.
	before, after, found := strings.Cut(full, now)
	if !found || before != "" && strings.HasPrefix(image, string(opening)) {
		c.forget(image, at)
		return "oci://" + full, nil
	}
	return "oci://" + before + image + after, nil
}

// requireAll makes the variables of a text required that would leave nothing in
// their place. False: there are none.
func (c *converter) requireAll(text string) bool {
	any := false
	c.references(text, func(string) {}, func(v *variable) {
		if v.blank() && v.now == "" {
			v.optional, v.now, any = false, "x", true
		}
	})
	return any
}

// forget notes that the variables of a text were replaced after all.
func (c *converter) forget(text string, at place) {
	c.references(text, func(string) {}, func(v *variable) {
		c.replaced.note(v.name, at)
	})
}

// process writes what runs, as whom and where.
func (c *converter) process(s *component) {
	if s.Entrypoint != nil {
		s.setList(c, "entrypoint", s.Entrypoint)
	}
	switch {
	case s.Command != nil:
		s.setList(c, "command", s.Command)
	case s.Entrypoint != nil:
		// For Compose an entrypoint takes away the image's command too.
		s.set("command", "[]")
	}
	c.text(s, "workdir", "working_dir", s.WorkingDir)
	c.text(s, "user", "user", s.User)
	c.text(s, "hostname", "hostname", s.Hostname)
}

// environment writes env: what the environment files say, and what stands in
// the file over it.
func (c *converter) environment(s *component) error {
	values := map[string]string{}
	for i, f := range s.EnvFiles {
		at := c.item(s, "env_file", i, len(s.EnvFiles))
		lookup := func(name string) (string, bool) {
			if v, ok := c.lookup(&scope{}, name); ok {
				return v, true
			}
			if v := s.Environment[name]; v != nil {
				return c.expand(*v), true
			}
			return "", false
		}
		err := c.variables(c.path(f.Path), f.Format, values, lookup)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !bool(f.Required):
			continue
		case errors.Is(err, fs.ErrNotExist):
			c.lose(s, "env_file", at, "%s is not there: write its variables into env", f.Path)
		case err != nil:
			return err
		default:
			c.remark(s, "env_file", at, "the values of %s are written out; use ${secret.NAME} for what is secret, and ${env.NAME} for what changes", f.Path)
		}
	}
	for name, value := range s.Environment {
		switch {
		case value != nil:
			values[name] = *value
		case values[name] == "":
			// Compose passes it on, and leaves it out where it is not set.
			v, ok := c.reference(expression{name: name}, &scope{})
			if ok && nameLength(name) == len(name) {
				values[name] = c.keepAt(v, c.model.place("services", s.Name, "environment", name))
			}
		}
	}
	var entries []entry
	for _, name := range c.inOrder(s, "environment", slices.Collect(maps.Keys(values))) {
		if p := schema.CheckVariable(name); p != nil {
			c.lose(s, "environment", c.model.place("services", s.Name, "environment", name), "%s", p.Summary)
			continue
		}
		if err := noNUL(values[name], c.at(s, "environment")); err != nil {
			return err
		}
		entries = append(entries, entry{name, c.quote(values[name], tab+tab)})
	}
	if entries != nil {
		s.set("env", mapping(entries))
	}
	return nil
}

func noNUL(text string, at place) error {
	if strings.IndexByte(text, 0) >= 0 {
		return at.errorf("a text with a NUL in it")
	}
	return nil
}

// inOrder sorts keys of an attribute by where they stand in the file, those
// that are not in it first.
func (c *converter) inOrder(s *component, attribute string, keys []string) []string {
	at := func(name string) place {
		s, _ := c.model.places.get("services", s.Name, attribute, name)
		return s.place
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(c.order(at(a), at(b)), cmp.Compare(a, b))
	})
	return keys
}

// labels writes the labels, those of label files first.
func (c *converter) labels(s *component) error {
	values := map[string]string{}
	for i, file := range s.LabelFiles {
		at := c.item(s, "label_file", i, len(s.LabelFiles))
		err := c.variables(c.path(file), "", values, func(string) (string, bool) { return "", false })
		switch {
		case errors.Is(err, fs.ErrNotExist):
			c.lose(s, "label_file", at, "%s is not there: write its labels into labels", file)
		case err != nil:
			return err
		default:
			c.remark(s, "label_file", at, "the labels of %s are written out", file)
		}
	}
	for name, value := range s.Labels {
		values[name] = value
	}
	var entries []entry
	for _, name := range c.inOrder(s, "labels", slices.Collect(maps.Keys(values))) {
		if err := noNUL(name+values[name], c.at(s, "labels")); err != nil {
			return err
		}
		entries = append(entries, entry{name, c.quote(values[name], tab+tab)})
	}
	if entries != nil {
		s.set("labels", mapping(entries))
	}
	return nil
}

// quotedSize is a size as it is written: with quotes where it has a unit.
func quotedSize(n int64) string {
	text := schema.FormatSize(n)
	if _, err := strconv.ParseInt(text, 10, 64); err == nil {
		return text
	}
	return `"` + text + `"`
}
