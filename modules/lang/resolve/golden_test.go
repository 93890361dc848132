package resolve

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// TestGolden resolves app.ctst of each archive. The other files are its
// imports, those behind a URL called by it; "env" holds the environment, "envfile" that of --env-file and
// "secrets" the secrets, as NAME=value lines; "want" is what comes out.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			require.NoError(t, err)
			got := goldenOutput(t, archive)
			want := -1
			for i, f := range archive.Files {
				if f.Name == "want" {
					want = i
				}
			}
			if *update {
				if want < 0 {
					want = len(archive.Files)
					archive.Files = append(archive.Files, txtar.File{Name: "want"})
				}
				archive.Files[want].Data = []byte(got)
				require.NoError(t, os.WriteFile(name, txtar.Format(archive), 0o644))
				return
			}
			require.GreaterOrEqual(t, want, 0, "no want; run with -update")
			require.Equal(t, string(archive.Files[want].Data), got)
		})
	}
}

func goldenOutput(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	files := map[string][]byte{}
	for _, f := range archive.Files {
		files[f.Name] = f.Data
	}
	read := func(name string) ([]byte, error) {
		if data, ok := files[filepath.ToSlash(name)]; ok {
			return data, nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	env, secrets := pairs(files["env"]), pairs(files["secrets"])
	opts := Options{
		ReadFile: read,
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
		CPUs: 4,
		Fetch: func(_ context.Context, url, _ string) ([]byte, error) {
			data, err := read(url)
			if err != nil {
				return nil, errors.New("404 Not Found")
			}
			return data, nil
		},
	}
	if data, ok := files["envfile"]; ok {
		opts.EnvFile = pairs(data)
	}
	st, found := Load(context.Background(), "app.ctst", opts)
	require.Equal(t, found.HasErrors(), st == nil)
	var out bytes.Buffer
	require.NoError(t, diag.Print(&out, found, read, diag.PrintOptions{}))
	if st != nil {
		if out.Len() > 0 {
			out.WriteString("\n")
		}
		dumpStack(&out, st)
	}
	wd, err := os.Getwd()
	require.NoError(t, err)
	return strings.NewReplacer(wd, "/dir", filepath.Dir(wd), "/parent").Replace(out.String())
}

func pairs(data []byte) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, v, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "="); ok {
			m[name] = v
		}
	}
	return m
}

// dumpStack writes what differs from the defaults.
func dumpStack(out *bytes.Buffer, st *stack.Stack) {
	fmt.Fprintf(out, "stack %s of %s\n", st.Name, st.File)
	for _, c := range st.Components {
		fmt.Fprintf(out, "component %s\n", c.Name)
		base := defaults(&instance{def: &definition{}, name: c.Name})
		base.Tmpfs = []stack.Tmpfs{{Target: "/tmp"}, {Target: "/run"}, {Target: "/var/tmp"}}
		base.ImageDir = c.ImageDir
		dumpFields(out, reflect.ValueOf(*c), reflect.ValueOf(*base))
	}
	for _, l := range st.Links {
		fmt.Fprintf(out, "link %s -> %s prefix=%q nowait=%t implied=%t line=%d\n", l.From, l.To, l.Prefix, l.NoWait, l.Implied, l.Range.Start.Line)
	}
	for _, e := range st.Exposures {
		fmt.Fprintf(out, "expose %s:%d -> %s:%d/%s\n", e.Address, e.HostPort, e.Component, e.Port, e.Protocol)
	}
}

func dumpFields(out *bytes.Buffer, v, base reflect.Value) {
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
			if name := v.Type().Field(i).Name; name != "Range" && !v.Field(i).IsZero() {
				fields = append(fields, name+"="+show(v.Field(i)))
			}
		}
		return "{" + strings.Join(fields, " ") + "}"
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	}
	return fmt.Sprint(v.Interface())
}
