package editor

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/token"
)

// Hover is what there is to say about the text at the cursor.
type Hover struct {
	Range token.Range
	Code  string // to be shown as code
	Text  string // sentences below it, separated by blank lines
}

// Hover says what the name at the cursor means. False: there is none.
func (v View) Hover(offset int) (Hover, bool) {
	offset = v.File.clamp(offset)
	u := v.File.useAt(offset)
	if u == nil {
		return v.keyword(offset)
	}
	h := Hover{Range: u.rng}
	switch u.kind {
	case useProperty:
		h.Code = u.name + " = " + u.property.Type.Name
		if u.owner != "" {
			h.Code = u.owner + "." + h.Code
		}
		h.Text = propertyDoc(u.property)
	case useComponent:
		file := v.open(u.file)
		if file == nil || file.defined().components[u.name] == nil {
			return Hover{}, false
		}
		v.component(&h, file, file.defined().components[u.name])
	case useLet:
		let := v.File.defined().lets[u.name]
		if let == nil {
			return Hover{}, false
		}
		h.Code = v.File.source(let.Range)
	case useParam:
		comp, file := v.owner(u.symbol)
		if comp == nil || comp.param(u.name) == nil {
			return Hover{}, false
		}
		p := comp.param(u.name)
		h.Code, h.Text = u.name, fmt.Sprintf("A parameter of %s. %s", comp.name.Name, paramDoc(p))
		if name := p.Kind(); name != "" {
			h.Code += ": " + name
		}
		if p.Default != nil {
			h.Code += " = " + file.source(p.Default.Span())
		}
	case useAlias:
		return v.imported(h, u)
	default:
		v.reference(&h, u)
	}
	return h, true
}

// keyword is the hover of a keyword.
func (v View) keyword(offset int) (Hover, bool) {
	start := offset
	for start > 0 && isWordByte(v.File.Text[start-1]) {
		start--
	}
	end := wordEnd(v.File.Text, offset)
	kind := token.Lookup(string(v.File.Text[start:end]))
	if !kind.Keyword() {
		return Hover{}, false
	}
	// The same word may stand in a comment or a text, or be a key.
	if s := v.File.spotAt(end); s.dead || s.inString || s.word != kind || s.top() != nil && kind != token.UNSET {
		return Hover{}, false
	}
	r := token.Range{File: v.File.Name, Start: token.Pos{Offset: start}, End: token.Pos{Offset: end}}
	return Hover{Range: v.File.locate(r), Text: keywordDocs[kind]}, true
}

// locate fills in lines and columns from the offsets.
func (f *File) locate(r token.Range) token.Range {
	place := func(offset int) token.Pos {
		before := string(f.Text[:offset])
		return token.Pos{Offset: offset, Line: strings.Count(before, "\n") + 1, Column: len([]rune(before[strings.LastIndexByte(before, '\n')+1:])) + 1}
	}
	r.Start, r.End = place(r.Start.Offset), place(r.End.Offset)
	return r
}

func (v View) component(h *Hover, file *File, comp *component) {
	h.Code = file.head(comp)
	var lines []string
	switch {
	case comp.template():
		lines = append(lines, "A template: it is deployed by what is made FROM it.")
	case comp.node.From != nil:
		lines = append(lines, "A copy of "+fromText(comp.node.From)+".")
	}
	for _, name := range []string{"image", "port", "ports"} {
		if value, from := v.inherited(file, comp, name); value != "" {
			lines = append(lines, name+" = "+value+from)
		}
	}
	h.Text = strings.Join(lines, "\n\n")
}

// inherited returns a property of a component as it is written, and which base
// says it.
func (v View) inherited(file *File, comp *component, name string) (value, from string) {
	for range maxBases {
		if p := property(comp.node, name); p != nil {
			return file.source(p.Value.Span()), from
		}
		base, baseFile := v.baseOf(file, comp.node.From)
		if base == nil {
			return "", ""
		}
		comp, file, from = base, baseFile, ", from "+base.name.Name
	}
	return "", ""
}

// maxBases ends a chain that goes in a circle.
const maxBases = 16

// baseOf returns what FROM names, and its file; nil when it cannot be found.
func (v View) baseOf(file *File, from *ast.From) (*component, *File) {
	if file == nil || from == nil {
		return nil, nil
	}
	x := file.defined()
	if from.Alias == nil {
		if c := x.components[from.Name.Name]; c != nil {
			return c, file
		}
		if i := x.imports[from.Name.Name]; i != nil {
			return v.sole(i.file)
		}
		return nil, nil
	}
	i := x.imports[from.Alias.Name]
	if i == nil {
		return nil, nil
	}
	if file = v.open(i.file); file == nil {
		return nil, nil
	}
	return file.defined().components[from.Name.Name], file
}

// sole returns the only component of a file.
func (v View) sole(name string) (*component, *File) {
	file := v.open(name)
	if file == nil || len(file.defined().order) != 1 {
		return nil, nil
	}
	return file.defined().order[0], file
}

// owner returns the component that a parameter belongs to, and its file.
func (v View) owner(s symbol) (*component, *File) {
	if s.owner == soleOwner {
		return v.sole(s.file)
	}
	file := v.open(s.file)
	if file == nil {
		return nil, nil
	}
	return file.defined().components[s.owner], file
}

func (v View) imported(h Hover, u *use) (Hover, bool) {
	file := v.open(u.imported.file)
	if file == nil {
		return Hover{}, false
	}
	h.Code = v.File.source(u.imported.node.Range)
	var names []string
	for _, c := range file.defined().order[:min(20, len(file.defined().order))] {
		name := c.name.Name
		if c.template() {
			name += paramsText(c.node.Params)
		}
		names = append(names, name)
	}
	h.Text = "The file " + filepath.Base(file.Name) + " defines nothing that could be copied."
	if names != nil {
		h.Text = "It defines " + strings.Join(names, ", ") + "."
	}
	return h, true
}

// reference is the hover of what is not defined in any file.
func (v View) reference(h *Hover, u *use) {
	switch u.kind {
	case useEnv:
		h.Code = "env." + u.name
		h.Text = "The variable " + u.name + " of the environment that ctst runs in, or of --env-file."
		if u.reference.HasDefault {
			h.Text += fmt.Sprintf("\n\nUnset or empty: %q.", u.reference.Default)
		}
	case useSecret:
		h.Code = "secret." + u.name
		h.Text = fmt.Sprintf("A secret: the variable CONTAINUST_SECRET_%s, else the file .containust/secrets/%s (mode 0600). Its value is shown nowhere.",
			strings.ToUpper(strings.ReplaceAll(u.name, "-", "_")), u.name)
	case useAttribute:
		h.Code = u.owner + "." + u.name
		h.Text = attributeDocs[u.name]
		if h.Text == "" {
			h.Text = "There are host, port and connection_string."
		}
	}
}

func propertyDoc(p *schema.Property) string {
	lines := []string{sentence(p.Doc)}
	if p.Default != "" {
		lines = append(lines, "Default: "+p.Default+".")
	}
	if p.Alternative != "" {
		lines = append(lines, "One setting with "+p.Alternative+": write one of the two.")
	}
	return strings.Join(lines, "\n\n")
}

// sentence ends a text of the table with a full stop.
func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

func paramDoc(p *ast.Param) string {
	if p.Default == nil {
		return "It is required."
	}
	return "It has a default."
}

func paramsText(p *ast.Params) string {
	var names []string
	for _, param := range p.List {
		names = append(names, param.Name.Name)
	}
	return "(" + strings.Join(names, ", ") + ")"
}

// maxSource is how much of a text is shown, in bytes.
const maxSource = 300

// source is a piece of the text, shortened.
func (f *File) source(r token.Range) string {
	text := strings.ReplaceAll(string(f.Text[r.Start.Offset:r.End.Offset]), "\r\n", "\n")
	if len(text) > maxSource {
		text = strings.ToValidUTF8(text[:maxSource], "") + " …"
	}
	return text
}

// head is a COMPONENT statement without its body.
func (f *File) head(c *component) string {
	r := c.node.Range
	if c.node.Body != nil && c.node.Body.Range.Start.Offset > r.Start.Offset {
		r.End = c.node.Body.Range.Start
	}
	return strings.TrimRight(f.source(r), " \t\n")
}
