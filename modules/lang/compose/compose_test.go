package compose

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/template"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/resolve"
)

// TestErrors: what is wrong with a file is an Error with its place.
func TestErrors(t *testing.T) {
	many := func(n int, line string) string { return strings.Repeat(line+"\n", n) }
	numbered := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for name, test := range map[string]struct{ file, want string }{
		"no YAML":                  {"services: [", "compose.yaml:1: this is not YAML: "},
		"a list":                   {"- a", "compose.yaml:1: a Compose file is a mapping"},
		"empty":                    {"", "there is no service to convert"},
		"no services":              {"services: {}", "compose.yaml:1: there is no service to convert"},
		"services is a list":       {"services: [a]", "compose.yaml:1: services is a mapping of names"},
		"service is a text":        {"services:\n  web: nginx", `compose.yaml:2: the service "web" is a mapping of attributes`},
		"unknown attribute":        {"services:\n  web:\n    image: a\n    imgae: b", "compose.yaml:4: services.web.imgae: Compose has no such attribute"},
		"unknown inside":           {"services:\n  web:\n    image: a\n    deploy:\n      replica: 2", "compose.yaml:5: services.web.deploy.replica: Compose has no such attribute"},
		"unknown at the top":       {"services: { a: { image: a } }\nservice: {}\nvolume: { a: }", "compose.yaml:3: volume: Compose has no such attribute"},
		"twice":                    {"services:\n  a: { image: a }\n  a: { image: b }", `compose.yaml:3: "a" is there twice, first in line 2`},
		"wrong type":               {"services:\n  web:\n    image: a\n    read_only: [x]", "compose.yaml:4: services.web.read_only: "},
		"ports is a mapping":       {"services:\n  web:\n    image: a\n    ports: { a: b }", "compose.yaml:4: services.web.ports: "},
		"bad port":                 {"services:\n  web:\n    image: a\n    ports: ['80:x']", "compose.yaml:4: services.web.ports: "},
		"null among dependencies":  {"services:\n  web:\n    image: a\n    depends_on: [null]", "compose.yaml:4: services.web.depends_on: "},
		"bad condition":            {"services:\n  a:\n    image: a\n    depends_on: { b: { condition: ready } }\n  b: { image: b }", `compose.yaml:4: services.a.depends_on.b: Compose has no condition "ready"`},
		"unknown dependency":       {"services:\n  a:\n    image: a\n    depends_on: [b]", `compose.yaml:4: services.a.depends_on: there is no service "b"`},
		"itself":                   {"services:\n  a: { image: a, depends_on: [a] }", "the service needs itself"},
		"cycle":                    {"services:\n  a: { image: a, depends_on: [b] }\n  b: { image: b, links: [a] }", "services wait for each other: a → b → a"},
		"unknown volume":           {"services:\n  a:\n    image: a\n    volumes: ['vol:/v']", `compose.yaml:4: services.a.volumes: there is no volume "vol"`},
		"unknown secret":           {"services:\n  a: { image: a, secrets: [s] }", `there is no secret "s"`},
		"unknown config":           {"services:\n  a: { image: a, configs: [s] }", `there is no config "s"`},
		"secret without a source":  {"services: { a: { image: a } }\nsecrets:\n  s: {}", "compose.yaml:3: secrets.s: "},
		"missing include":          {"include:\n  - other.yaml\nservices: { a: { image: a } }", "other.yaml: file does not exist"},
		"remote include":           {"include: ['https://example.org/a.yaml']", "is not on this machine"},
		"include itself":           {"include: [compose.yaml]", "files include each other: compose.yaml → compose.yaml"},
		"extends nothing":          {"services:\n  a:\n    image: a\n    extends: b", `compose.yaml:4: there is no service "b" in compose.yaml to extend`},
		"extends in a circle":      {"services:\n  a: { extends: b }\n  b: { extends: a }", "services extend each other: a of compose.yaml → b of compose.yaml → a of compose.yaml"},
		"bad variable":             {"services:\n  a:\n    image: a\n    mem_limit: ${A", "compose.yaml:4: \"${A\" is not a variable"},
		"required variable":        {"services:\n  a:\n    image: a\n    mem_limit: ${A:?how much}", "compose.yaml:4: the variable A is required here and not set: how much"},
		"alias to itself":          {"services: &a\n  web: *a", "an alias that is inside of what it stands for"},
		"aliases that multiply":    {"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e]", "the project has more than 30000 values"},
		"extends that multiply":    {"services:\n  s:\n    image: a\n    environment:\n" + numbered(500, "      A%d: b\n") + numbered(200, "  s%d: { extends: s }\n"), "the project has more than 30000 values"},
		"ranges that multiply":     {"services:\n" + numbered(2, "  s%d: { image: a, expose: ['1-20000/udp'] }\n"), "compose.yaml:3: the project has more than 30000 values"},
		"published ranges":         {"services:\n" + numbered(2, "  s%d: { image: a, ports: ['1-20000:1-20000/udp'] }\n"), "compose.yaml:3: the project has more than 30000 values"},
		"a long line":              {"services: { a: { image: a, command: '" + strings.Repeat("a ", 40_000) + "' } }", "compose.yaml:1: services.a.command: so long a text is not split: write a list"},
		"too deep":                 {"x-a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "nested deeper than 64"},
		"too large":                {many(maxFile/10+1, "# 1234567"), "the file is larger than 4 MiB"},
		"NUL":                      {"services:\n  a: { image: a, environment: { A: \"\\0\" } }", "a text with a NUL in it"},
		"our marks":                {"services:\n  a: { image: \"\\uE000\" }", "U+E000 and U+E001 cannot be converted"},
		"bad health check":         {"services:\n  a:\n    image: a\n    healthcheck:\n      test: [curl, x]", "compose.yaml:5: services.a.healthcheck.test: it starts with CMD, CMD-SHELL or NONE"},
		"negative scale":           {"services:\n  a: { image: a, scale: -1 }", "a negative number of instances"},
		"environment of one space": {"services:\n  a:\n    image: a\n    environment: ['A =b']", "compose.yaml:4: services.a.environment: "},
	} {
		t.Run(name, func(t *testing.T) {
			opts := optionsOf(map[string]string{"compose.yaml": test.file}).Options
			_, err := Convert(context.Background(), []string{"compose.yaml"}, opts)
			require.ErrorContains(t, err, test.want)
			var place *Error
			require.ErrorAs(t, err, &place)
		})
	}
}

// TestManyEnvironments: a file of variables is small, and many services may name
// it.
func TestManyEnvironments(t *testing.T) {
	file := "services:\n"
	for i := range 20 {
		file += fmt.Sprintf("  s%d: { image: a, env_file: big.env }\n", i)
	}
	files := map[string]string{"compose.yaml": file, "big.env": strings.Repeat("A=1\n", 1<<18)}
	_, err := Convert(context.Background(), []string{"compose.yaml"}, optionsOf(files).Options)
	require.EqualError(t, err, "big.env: the project reads more than 4 MiB of environment files")
}

func TestCatalogName(t *testing.T) {
	for text, want := range map[string]string{
		"web": "web", "org/built": "org-built", "host.example:5000/Org/App__x": "host.example-5000-org-app_x", "-a-": "a", "a--.b": "a-b", "é": "image", "": "image",
	} {
		require.Equal(t, want, catalogName(text), text)
	}
}

// TestLongVariables: what stands for a variable counts as often as it stands
// there.
func TestLongVariables(t *testing.T) {
	for name, attribute := range map[string]string{"kept": "image", "replaced": "mem_limit"} {
		t.Run(name, func(t *testing.T) {
			file := "services: { a: { " + attribute + ": '" + strings.Repeat("$A", 1000) + "' } }"
			opts := optionsOf(map[string]string{"compose.yaml": file}).Options
			opts.LookupEnv = func(string) (string, bool) { return strings.Repeat("x", 1<<20), true }
			_, err := Convert(context.Background(), []string{"compose.yaml"}, opts)
			require.EqualError(t, err, "compose.yaml:1: the project has more than 30000 values, or 64 MiB of text")
		})
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Convert(context.Background(), []string{filepath.Join(t.TempDir(), "compose.yaml")}, Options{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	var place *Error
	require.ErrorAs(t, err, &place)
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Convert(ctx, []string{"compose.yaml"}, optionsOf(map[string]string{"compose.yaml": "services: { a: { image: a } }"}).Options)
	require.ErrorIs(t, err, context.Canceled)
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	_, err := Find(dir)
	require.ErrorIs(t, err, fs.ErrNotExist)
	want := func(names ...string) {
		t.Helper()
		found, err := Find(dir)
		require.NoError(t, err)
		for i := range found {
			found[i] = filepath.Base(found[i])
		}
		require.Equal(t, names, found)
	}
	write := func(name string) { require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o600)) }
	write("docker-compose.yml")
	want("docker-compose.yml")
	write("docker-compose.override.yml")
	want("docker-compose.yml", "docker-compose.override.yml")
	write("compose.yml")
	want("compose.yml")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "compose.yaml"), 0o700))
	want("compose.yml")
	write("compose.override.yaml")
	want("compose.yml", "compose.override.yaml")
}

// TestSubstitute: values are those that compose-go would put in.
func TestSubstitute(t *testing.T) {
	env := map[string]string{"SET": "value", "EMPTY": ""}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	for _, text := range []string{
		"", "plain", "$$", "a$$b", "$SET", "$SET.x", "${SET}", "x${SET}y${SET}", "$$SET", "$${SET}", "$$$SET",
		"${SET:-d}", "${EMPTY:-d}", "${EMPTY-d}", "${UNSET-d}", "${UNSET:-d}", "${UNSET:-}", "${UNSET:-$SET}", "${UNSET:-${SET}}", "${UNSET:-${UNSET:-deep}}",
		"${SET:+r}", "${EMPTY:+r}", "${EMPTY+r}", "${UNSET+r}", "${SET:+${SET}!}", "${SET:?e}", "${EMPTY?e}", "${EMPTY:?e}", "${UNSET?e}", "${UNSET:?$SET}",
		"${UNSET:-a}${SET}", "${UNSET:-{a}}", "${UNSET:-a-b}", "${UNSET:-a:?b}", "${UNSET-a:-b}", "${set}", "${_A1}",
		"$", "${", "${}", "${1}", "$1", "${A B}", "${SET", "a$", "${-x}", "${SET!}", "$ SET",
	} {
		want, wantErr := template.SubstituteWithOptions(text, lookup, template.WithoutLogging)
		l := newLoader(context.Background(), "compose.yaml", Options{LookupEnv: lookup})
		got, err := l.substitute(text, place{}, &scope{}, 0)
		if wantErr != nil {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

// FuzzQuote: any text comes back from the parser as it was.
func FuzzQuote(f *testing.F) {
	for _, text := range []string{
		"", "a", "${x}", "$${x}", "$$${", "a\nb\n", "  a\n b\n", "\n\na\n", "a\n  \nb\n", "\ta\n\tb\n", "\"\"\"\na\n", "a\"\n\"b\n", "\\n", "\u202e", "é\u0301", "a\r\nb\r\n", "a\n\n", "\n\n", "${x}\n${y}\n",
	} {
		f.Add(text, "a \" b")
	}
	f.Fuzz(func(t *testing.T, text, fallback string) {
		valid := func(s string) bool {
			return strings.ToValidUTF8(s, "") == s && !strings.ContainsAny(s, "\x00"+string(opening)+string(closing))
		}
		if !valid(text) || !valid(fallback) || strings.ContainsAny(fallback, "$}") {
			t.Skip()
		}
		l := newLoader(context.Background(), "compose.yaml", Options{})
		v := variable{name: "X", optional: true, fallback: fallback, now: fallback}
		src := "LET a = " + l.quote(text, "") + "\nLET b = " + l.quote(text+l.keep(v)+text, tab) + "\nLET c = \"${let.a}${let.b}\"\n"
		tree, found := parser.Parse("a.ctst", []byte(src))
		require.Empty(t, found, "%s", src)
		plain, ok := tree.Statements[0].(*ast.Let).Value.(*ast.String).Plain()
		require.True(t, ok, "%s", src)
		require.Equal(t, text, plain, "%s", src)
		var whole strings.Builder
		for _, part := range tree.Statements[1].(*ast.Let).Value.(*ast.String).Parts {
			if part.Reference != nil {
				require.Equal(t, "X", part.Reference.Name)
				require.True(t, part.Reference.HasDefault)
				whole.WriteString(part.Reference.Default)
				continue
			}
			whole.WriteString(part.Text)
		}
		require.Equal(t, text+fallback+text, whole.String(), "%s", src)
	})
}

// FuzzConvert: any file either is an Error, or gives source without errors but
// those of variables that are not set.
func FuzzConvert(f *testing.F) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(f, err)
	for _, name := range archives {
		for file, text := range archiveFiles(f, name) {
			if strings.HasSuffix(file, ".yaml") {
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		files := map[string]string{"compose.yaml": text, "other.yaml": "services: { app: { image: a } }", "vars.env": "A=1\n"}
		opts := optionsOf(files).Options
		result, err := Convert(context.Background(), []string{"compose.yaml"}, opts)
		if err != nil {
			var place *Error
			require.True(t, errors.As(err, &place), "%v", err)
			return
		}
		require.NotZero(t, result.Services)
		checkSource(t, result)
	})
}

// TestHostileNames: no name can end what it stands in and start something of
// its own.
func TestHostileNames(t *testing.T) {
	for _, name := range []string{`x\nCOMPONENT evil { image = \"image://e\" }\n`, `x\" }\nCOMPONENT evil { image = \"image://e`, `x */ evil`, `${env.EVIL}`, `x\u202e`, `x\r\nEXPOSE 1 TO x`, "x y", "..", "/", ":", "-", "é"} {
		file := strings.NewReplacer("KEY", name, "NAME", strings.ReplaceAll(name, "$", "$$")).Replace(`
services:
  "KEY":
    image: a
    networks: { "KEY": }
    volumes: [{ type: volume, source: "NAME", target: /v }, { type: bind, source: "./NAME", target: "/b" }]
    environment: { "KEY": "NAME" }
    labels: { "KEY": "NAME" }
    configs: [{ source: "NAME", target: "/etc/NAME" }]
    secrets: [{ source: "NAME", target: "NAME" }, { source: file, target: "NAME2" }]
    command: ["NAME"]
    tmpfs: ["/NAME"]
    hostname: "NAME"
    ulimits: { "KEY": 1 }
    security_opt: ["seccomp:NAME"]
    devices: ["/dev/NAME"]
    depends_on: { other: { condition: service_started } }
    logging: { driver: "NAME" }
  other: { image: b, networks: { "KEY": } }
networks: { "KEY": { driver: "NAME" } }
volumes: { "KEY": { labels: { a: b } } }
configs: { "KEY": { content: "NAME" } }
secrets: { "KEY": { environment: X }, file: { file: "NAME" } }
`)
		result, err := Convert(context.Background(), []string{"compose.yaml"}, optionsOf(map[string]string{"compose.yaml": file}).Options)
		require.NoError(t, err, name)
		st := load(t, result.Source, nil, Options{LookupEnv: func(string) (string, bool) { return "", false }})
		require.Len(t, st.Components, 2, name)
		require.Nil(t, st.Component("evil"))
		require.Empty(t, st.Exposures)
		for _, r := range result.Remarks {
			require.NotContains(t, r.String(), "\n")
		}
	}
}

func archiveFiles(tb testing.TB, name string) map[string]string {
	tb.Helper()
	archive, err := txtar.ParseFile(name)
	require.NoError(tb, err)
	return contents(archive)
}

func checkSource(t *testing.T, result *Result) {
	t.Helper()
	_, found := resolve.Load(context.Background(), "out.ctst", resolve.Options{
		ReadFile:     func(string) ([]byte, error) { return result.Source, nil },
		LookupSecret: func(string) (string, error) { return "secret", nil },
	})
	require.NotContains(t, string(result.Source), `\u{e000}`, "a variable stands where none can")
	for _, d := range found {
		require.Equal(t, diag.VariableUnset, d.Code, "%v\n%s", d, result.Source)
	}
}

// TestStrangeValues: each attribute with values that it may not have is an
// Error or a loss, and never source that does not resolve.
func TestStrangeValues(t *testing.T) {
	values := []string{
		"null", "true", "false", "0", "1", "-1", "1.5", "1e99", "99999999999999999999", `""`, "x", `"a b"`, `"a\nb\n\nc\n"`, `"\""`, `"\\"`, "[]", "[1]", "[null]", "[x]", "[x, x]", `["a:b:c"]`,
		"[[x]]", "[{}]", "[{ a: b }]", "{}", "{ a: 1 }", "{ a: null }", "{ a: [x] }", "{ a: { b: c } }", `"${X:-1}"`, `["${X:-1}"]`, `"${X}"`, `["${X}"]`, `"$$"`, "/", `"/a"`, `["/a:/"]`, `["a:/b:ro"]`,
		`"a:b"`, `":"`, `"::"`, `"1-3/udp"`, `"65536"`, `["0:0"]`, `["1:2:3:4"]`, `"4s"`, `"-4s"`, `"10m"`, "!!binary aGk=", "2020-01-01", `"${X:-}"`, `"\u202e\x01"`, `{ "a b": c }`, `["A=${X:-1}", "${X}=1", "${X}"]`, `["a=${X}", "${Y:-b}"]`,
		"{ soft: x }", "{ hard: 5, soft: 10 }", "[{ target: 1 }]", "[{ target: x, source: y, type: bind }]", "[{ type: volume, source: v, target: /x }]", "[{ source: s }]", "[{ path: x, rate: y }]",
	}
	all := map[string]bool{}
	for _, row := range serviceAttributes {
		for path := row.Path; path != ""; path = path[:max(0, strings.LastIndexByte(path, '.'))] {
			all[path] = true
		}
	}
	for _, row := range projectAttributes {
		all["/"+row.Path] = true
	}
	const share = 5 // all of them take 20 s and find no more
	for p, path := range sorted(all) {
		for v, value := range values {
			if (p+v)%share != 0 {
				continue
			}
			doc := value
			keys := strings.Split(strings.TrimPrefix(path, "/"), ".")
			for _, key := range slices.Backward(keys) {
				if key == "*" {
					key = "v"
				}
				doc = "{ " + key + ": " + doc + " }"
			}
			file := "services:\n  other: { image: b }\n  web:\n    image: a\n    <<: " + doc + "\nvolumes: { v: }\n"
			if strings.HasPrefix(path, "/") {
				file = "services: { web: { image: a, volumes: ['v:/v'], networks: [v], secrets: [s], configs: [c] } }\nsecrets: { s: { file: x } }\nconfigs: { c: { content: x } }\nvolumes: { v: }\nnetworks: { v: }\n---\n" + doc + "\n"
			}
			result, err := Convert(context.Background(), []string{"compose.yaml"}, optionsOf(map[string]string{"compose.yaml": file}).Options)
			if err != nil {
				var place *Error
				require.ErrorAs(t, err, &place, "%s", file)
				continue
			}
			checkSource(t, result)
		}
	}
}
