package compose

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/containust/containust/modules/lang/format"
	"github.com/containust/containust/modules/lang/schema"
)

// converter turns one project into source.
type converter struct {
	*loader
	model *model
	*project
	all        []*component // in the order of the files
	byService  map[string]*component
	volumeName names
	secretName names
	remarks    []Remark
	exposed    []exposure
	byHost     map[string][]exposure // by host port: "80/tcp"
	attributes table                 // of services
	edges      []edge                // what starts after what
	known      map[edge]bool
	meshes     []mesh
	output     string // the folder of the source, absolute
}

// component is a service on its way.
type component struct {
	*types.ServiceConfig
	name       string // in the source
	job        bool   // others wait until it has completed
	properties []entry
	comments   map[string]string // above a property
	mounts     map[string]bool   // paths inside that are taken
	ports      []schema.Port
	listens    map[schema.Port]bool // of ports
	tmpfs      []string
	files      []entry
	secrets    []string
	volumes    []string
}

func newConverter(l *loader, m *model) *converter {
	return &converter{
		loader: l, model: m, attributes: newTable(serviceAttributes),
		byService: map[string]*component{}, byHost: map[string][]exposure{}, known: map[edge]bool{},
		volumeName: names{}, secretName: names{},
	}
}

func (c *converter) run() error {
	var err error
	if c.output, err = filepath.Abs(filepath.Dir(c.opts.Output)); err != nil {
		return err
	}
	if c.project, err = c.model.decodeAll(c.order); err != nil {
		return err
	}
	c.projectLosses()
	if err := c.choose(); err != nil {
		return err
	}
	if err := c.dependencies(); err != nil {
		return err
	}
	for _, s := range c.all {
		if err := c.convert(s); err != nil {
			return err
		}
	}
	c.networkLinks()
	c.variableRemarks()
	return nil
}

// projectLosses remarks on what is beside the services and lost as a whole.
func (c *converter) projectLosses() {
	rest := map[string]any{}
	for name, value := range c.model.dict {
		if name != "services" {
			rest[name] = value
		}
	}
	newTable(projectAttributes).walk(rest, "", nil, func(f found) {
		if f.row.Becomes == "" {
			c.lose(nil, attributeName(f.keys), c.model.place(f.keys...), "%s", f.row.Lost)
		}
	})
	for _, name := range sorted(c.networks) {
		if driver := c.networks[name].Driver; driver != "" && driver != "bridge" && driver != "default" {
			c.lose(nil, "networks."+name+".driver", c.model.place("networks", name, "driver"), "components are in one network of this machine, which %s is not", driver)
		}
	}
}

// choose decides which services become components, and what they are called.
func (c *converter) choose() error {
	taken := names{}
	for _, s := range c.services {
		at := c.model.place("services", s.Name)
		switch {
		case !s.HasProfile(c.opts.Profiles):
			c.remark(nil, "services."+s.Name, at, "left out: it belongs to the profile %s; --profile takes it in", strings.Join(s.Profiles, ", "))
			continue
		case s.GetScale() < 0:
			return at.errorf("services.%s: a negative number of instances", s.Name)
		case s.GetScale() == 0:
			c.remark(nil, "services."+s.Name, at, "left out: it has 0 instances")
			continue
		}
		comp := &component{ServiceConfig: s, comments: map[string]string{}, mounts: map[string]bool{}, listens: map[schema.Port]bool{}}
		comp.name = taken.give(s.Name, componentName(s.Name), foldName)
		if comp.name != s.Name {
			c.remark(comp, "", at, "called %s here, which is its host name too: names have up to 63 letters, digits, _ and, inside, -, and differ in more than case", comp.name)
		}
		c.all = append(c.all, comp)
		c.byService[s.Name] = comp
	}
	if len(c.all) == 0 {
		return c.model.place("services").errorf("there is no service to convert")
	}
	return nil
}

// lose remarks on something that the source does not say.
func (c *converter) lose(s *component, attribute string, at place, format string, args ...any) {
	c.remark(s, attribute, at, format, args...)
	c.remarks[len(c.remarks)-1].Lost = true
}

func (c *converter) remark(s *component, attribute string, at place, format string, args ...any) {
	r := Remark{File: at.file, Line: at.line, Attribute: attribute, Message: c.expand(fmt.Sprintf(format, args...))}
	if s != nil {
		r.Service = s.Name
	}
	c.remarks = append(c.remarks, r)
}

// at is where an attribute of a service stands: "deploy.resources.limits".
func (c *converter) at(s *component, attribute string) place {
	return c.model.place(append([]string{"services", s.Name}, strings.Split(attribute, ".")...)...)
}

// item is where an entry of a list stands, if the list is the one of a file.
func (c *converter) item(s *component, attribute string, i, length int) place {
	if list, _ := c.model.places.get("services", s.Name, attribute); list.length != length {
		return c.at(s, attribute)
	}
	return c.model.place("services", s.Name, attribute, index(i))
}

// set gives a component a property whose value is written already.
func (s *component) set(name, value string) { s.properties = append(s.properties, entry{name, value}) }

// text gives a component a property that is a text, if the language takes it.
func (c *converter) text(s *component, property, attribute, value string) {
	if value == "" {
		return
	}
	if p := schema.Lookup(property).Type.Check(c.expand(value)); p != nil {
		c.lose(s, attribute, c.at(s, attribute), "%s", p.Summary)
		return
	}
	s.set(property, c.quote(value, tab))
}

func (s *component) setList(c *converter, property string, items []string) {
	s.set(property, c.list(items, tab, len(tab)+len(property)+3))
}

// convert writes the properties of one component.
func (c *converter) convert(s *component) error {
	c.serviceLosses(s)
	if n := s.GetScale(); n > 1 {
		attribute := "deploy.replicas"
		if s.Scale != nil {
			attribute = "scale"
		}
		c.lose(s, attribute, c.at(s, attribute), "there is one instance of a component, not %d", n)
	}
	c.image(s)
	c.process(s)
	if err := c.environment(s); err != nil {
		return err
	}
	c.network(s)
	if err := c.publishPorts(s); err != nil {
		return err
	}
	if err := c.mountAll(s); err != nil {
		return err
	}
	c.resources(s)
	if err := c.health(s); err != nil {
		return err
	}
	c.lifecycle(s)
	c.security(s)
	return c.labels(s)
}

// serviceLosses remarks on the attributes that are lost as a whole.
func (c *converter) serviceLosses(s *component) {
	attributes := c.model.section("services")[s.Name]
	c.attributes.walk(attributes, "", nil, func(f found) {
		if f.row.Becomes == "" {
			at := c.model.place(append([]string{"services", s.Name}, f.keys...)...)
			c.lose(s, attributeName(f.keys), at, "%s", f.row.Lost)
		}
	})
}

// attributeName returns keys as Compose would write them: without the numbers
// of entries.
func attributeName(keys []string) string {
	return strings.Join(slices.DeleteFunc(slices.Clone(keys), isIndex), ".")
}

// result writes the source and orders the remarks.
func (c *converter) result(files []string) (*Result, error) {
	slices.SortStableFunc(c.remarks, func(a, b Remark) int {
		return c.order(place{file: a.File, line: a.Line}, place{file: b.File, line: b.Line})
	})
	c.remarks = slices.Compact(c.remarks)
	of := map[string][]Remark{}
	for _, r := range c.remarks {
		of[r.Service] = append(of[r.Service], r)
	}
	var b strings.Builder
	b.WriteString(c.heading(files))
	for _, s := range c.all {
		b.WriteByte('\n')
		for _, r := range of[s.Name] {
			r.Service = "" // it stands above it
			b.WriteString(comment(r.String(), ""))
		}
		fmt.Fprintf(&b, "COMPONENT %s {\n%s}\n", s.name, lines(s.properties, s.comments, tab))
	}
	b.WriteString(c.connections())
	b.WriteString(c.exposures())
	source, found := format.Source("converted.ctst", []byte(b.String()))
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("format the converted file: %w", err)
	}
	return &Result{Source: source, Services: len(c.all), Remarks: c.remarks}, nil
}

// variableRemarks tells what became of the variables.
func (c *converter) variableRemarks() {
	for _, kind := range []struct {
		list []mention
		what string
	}{
		{c.needed.list, "must be set when ctst runs, which reads .env only with --env-file .env:"},
		{c.blank.list, "empty where they are not set, as for Compose; ${env.NAME} without :- makes a variable required:"},
		{c.replaced.list, "replaced by their values of now:"},
	} {
		var all []string
		for _, m := range kind.list {
			all = append(all, m.name)
		}
		if all != nil {
			c.remark(nil, "variables", kind.list[0].at, "%s %s", kind.what, strings.Join(all, ", "))
		}
	}
}

// heading is the comment at the top: where the source is from, and what belongs
// to no component.
func (c *converter) heading(files []string) string {
	text := "Converted from " + strings.Join(files, ", ") + " by ctst convert."
	for _, r := range c.remarks {
		if r.Service == "" {
			text += "\n" + r.String()
		}
	}
	return comment(text, "")
}
