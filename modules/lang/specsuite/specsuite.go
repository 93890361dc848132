// Package specsuite holds the cases that say what each clause of the language
// means: files, environment and secrets, and exactly what comes out of them, the
// diagnostics as a person sees them and the resolved stack.
//
//	cases, err := specsuite.Cases()
//	for _, c := range cases {
//		got, err := c.Run(ctx)
//		if got != c.Want { … }
//	}
//
// The clauses are those of docs/language.md. Another implementation of the
// language can run the cases too: they are txtar archives under testdata. Those
// under testdata/repair are files that are broken as people and language models
// break them, what is printed about them, and the files mended with that. The
// package runs on every platform and needs no privileges; its values may be used
// from any number of goroutines.
package specsuite

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/resolve"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

//go:embed testdata/*.txtar
var archives embed.FS

// Root is the name of the file that each case resolves.
const Root = "app.ctst"

// Case is one case.
type Case struct {
	Name    string   // of its archive, without the ending
	Doc     string   // what it shows
	Clauses []string // of docs/language.md: "F3"
	Want    string   // what Run returns when the language is what it should be

	archive *txtar.Archive
}

// Cases returns all cases by name.
func Cases() ([]Case, error) {
	names, err := fs.Glob(archives, "testdata/*.txtar")
	if err != nil {
		return nil, err
	}
	cases := make([]Case, 0, len(names))
	for _, name := range names {
		data, err := archives.ReadFile(name)
		if err != nil {
			return nil, err
		}
		cases = append(cases, Parse(strings.TrimSuffix(filepath.Base(name), ".txtar"), data))
	}
	return cases, nil
}

var clauseMark = regexp.MustCompile(`\[([A-Z][0-9]+)\]`)

// Parse reads a case from its archive. Its comment says what the case shows and
// marks the clauses, "[F3]"; its files are the root file app.ctst and what that
// imports, a fetched file by its URL; "env" holds the environment, "envfile" that of --env-file and
// "secrets" the secrets, as NAME=value lines; "want" is what must come out.
func Parse(name string, data []byte) Case {
	archive := txtar.Parse(data)
	c := Case{Name: name, archive: archive}
	for _, m := range clauseMark.FindAllStringSubmatch(string(archive.Comment), -1) {
		c.Clauses = append(c.Clauses, m[1])
	}
	c.Doc = strings.TrimSpace(clauseMark.ReplaceAllString(string(archive.Comment), ""))
	if want := c.file("want"); want != nil {
		c.Want = string(want.Data)
	}
	return c
}

func (c Case) file(name string) *txtar.File {
	for i := range c.archive.Files {
		if c.archive.Files[i].Name == name {
			return &c.archive.Files[i]
		}
	}
	return nil
}

// File returns the content of one of the case's files, as resolve's ReadFile
// does.
func (c Case) File(name string) ([]byte, error) {
	if f := c.file(filepath.ToSlash(name)); f != nil {
		return f.Data, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Options are those that the case is resolved with. The machine has 4 CPUs.
func (c Case) Options() resolve.Options {
	env, secrets := c.pairs("env"), c.pairs("secrets")
	opts := resolve.Options{
		ReadFile: c.File,
		LookupEnv: func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok
		},
		LookupSecret: func(name string) (string, error) {
			if v, ok := secrets[name]; ok {
				return v, nil
			}
			return "", fs.ErrNotExist
		},
		Fetch: func(_ context.Context, url, _ string) ([]byte, error) {
			data, err := c.File(url)
			if err != nil {
				return nil, errors.New("404 Not Found")
			}
			return data, nil
		},
		CPUs: 4,
	}
	if c.file("envfile") != nil {
		opts.EnvFile = c.pairs("envfile")
	}
	return opts
}

func (c Case) pairs(name string) map[string]string {
	pairs := map[string]string{}
	if f := c.file(name); f != nil {
		for line := range strings.Lines(string(f.Data)) {
			if name, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
				pairs[name] = v
			}
		}
	}
	return pairs
}

// Resolve resolves the case.
func (c Case) Resolve(ctx context.Context) (*stack.Stack, diag.List) {
	return resolve.Load(ctx, Root, c.Options())
}

// Run resolves the case and returns the diagnostics as text, and the stack if
// there is one. The current folder is /dir in it, and the one above /parent.
func (c Case) Run(ctx context.Context) (string, error) {
	st, found := c.Resolve(ctx)
	var out bytes.Buffer
	if err := diag.Print(&out, found, c.File, diag.PrintOptions{}); err != nil {
		return "", err
	}
	if st != nil {
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		Dump(&out, st)
	}
	wd, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return strings.NewReplacer(wd, "/dir", filepath.Dir(wd), "/parent").Replace(out.String()), nil
}

// Update returns the archive with what Run gave as its want.
func (c Case) Update(got string) []byte {
	if want := c.file("want"); want != nil {
		want.Data = []byte(got)
	} else {
		c.archive.Files = append(c.archive.Files, txtar.File{Name: "want", Data: []byte(got)})
	}
	return txtar.Format(c.archive)
}

// Dump writes a stack for people and tests: of each component what differs from
// one that has nothing but an image.
func Dump(out *bytes.Buffer, st *stack.Stack) {
	fmt.Fprintf(out, "stack %s of %s\n", st.Name, st.File)
	for _, c := range st.Components {
		fmt.Fprintf(out, "component %s\n", c.Name)
		dumpFields(out, c)
	}
	for _, l := range st.Links {
		fmt.Fprintf(out, "link %s -> %s prefix=%q nowait=%t implied=%t line=%d\n", l.From, l.To, l.Prefix, l.NoWait, l.Implied, l.Range.Start.Line)
	}
	for _, e := range st.Exposures {
		host := net.JoinHostPort(e.Address, strconv.Itoa(int(e.HostPort)))
		fmt.Fprintf(out, "expose %s -> %s:%d/%s\n", host, e.Component, e.Port, e.Protocol)
	}
}

// bare is a component of the same name that has nothing but an image.
func bare(name string) *stack.Component {
	st, _ := resolve.Load(context.Background(), Root, resolve.Options{ReadFile: func(string) ([]byte, error) {
		return []byte("COMPONENT " + name + ` { image = "image://bare" }`), nil
	}})
	if st == nil {
		return &stack.Component{}
	}
	return st.Components[0]
}

func dumpFields(out *bytes.Buffer, c *stack.Component) {
	plain := bare(c.Name)
	plain.Image, plain.ImageDir = "", c.ImageDir
	v, base := reflect.ValueOf(*c), reflect.ValueOf(*plain)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Name == "Name" || f.Name == "Range" || f.Name == "Where" || reflect.DeepEqual(v.Field(i).Interface(), base.Field(i).Interface()) {
			continue
		}
		fmt.Fprintf(out, "  %s = %s\n", f.Name, show(v.Field(i)))
	}
}

func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case stack.Text:
		if x.Secret() {
			return fmt.Sprintf("%q (%q)", x.Shown, x.Value)
		}
		return fmt.Sprintf("%q", x.Value)
	case stack.EnvVar:
		s := x.Name + "=" + show(reflect.ValueOf(x.Value))
		if x.Injected {
			s += " injected"
		}
		return s
	case fmt.Stringer:
		return x.String()
	case token.Range:
		return ""
	}
	switch v.Kind() {
	case reflect.Pointer:
		return show(v.Elem())
	case reflect.Slice:
		var b strings.Builder
		b.WriteString("[")
		for i := range v.Len() {
			if v.Index(i).Kind() == reflect.Struct {
				b.WriteString("\n    ")
			} else if i > 0 {
				b.WriteString(" ")
			}
			b.WriteString(show(v.Index(i)))
		}
		return b.String() + "]"
	case reflect.Struct:
		var fields []string
		for i := range v.NumField() {
			switch name := v.Type().Field(i).Name; {
			case name == "Range" || v.Field(i).IsZero():
			case name == "Mode":
				fields = append(fields, fmt.Sprintf("Mode=%#o", v.Field(i).Uint()))
			default:
				fields = append(fields, name+"="+show(v.Field(i)))
			}
		}
		return "{" + strings.Join(fields, " ") + "}"
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}
