package editor_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/editor"
	"github.com/containust/containust/modules/lang/token"
)

// templates is what the tests import as templates/postgres.ctst.
const templates = `COMPONENT server(port: int = 5432, name: string, data = "data") {
    image = "image://postgres:16"
    port  = "${param.port}"
    volumes = ["${param.data}:/data"]
    env   = { NAME = "${param.name}" }
}
COMPONENT backup(every = "1h") { image = "image://backup" job = true }
`

const sole = `COMPONENT cache(size = "64MiB") { image = "image://redis" memory = "${param.size}" port = 6379 }
`

// view is the view of a text in which "§" marks the cursor.
func view(t testing.TB, text string) (editor.View, int) {
	t.Helper()
	before, after, found := strings.Cut(text, "§")
	require.True(t, found, "no cursor")
	files := map[string]*editor.File{}
	for name, text := range map[string]string{"app.ctst": before + after, "templates/postgres.ctst": templates, "redis.ctst": sole} {
		files[name] = editor.New(filepath.FromSlash(name), []byte(text))
	}
	folders := map[string][]string{
		".":         {"app.ctst", "redis.ctst", "notes.txt", "templates/", ".git/"},
		"templates": {"a|b.ctst", "postgres.ctst"},
	}
	return editor.View{
		File: files["app.ctst"],
		Open: func(name string) *editor.File { return files[filepath.ToSlash(name)] },
		List: func(dir string) []string { return folders[dir] },
	}, len(before)
}

func labels(c editor.Completions) []string {
	var list []string
	for _, o := range c.List {
		list = append(list, o.Label)
	}
	return list
}

// insert is the text with a completion taken, and the cursor as "§".
func insert(v editor.View, c editor.Completions, label string) string {
	for _, o := range c.List {
		if o.Label == label {
			text := string(v.File.Text)
			return text[:c.Start] + o.Text[:o.Cursor] + "§" + o.Text[o.Cursor:] + text[c.End:]
		}
	}
	return "no " + label
}

const keywords = "IMPORT LET COMPONENT CONNECT EXPOSE"

// Each text is completed at its cursor: all that is offered, in its order.
func TestCompleteAll(t *testing.T) {
	for text, want := range map[string]string{
		"§":                                keywords,
		"COMP§":                            keywords,
		"// COMP§":                         "",
		"/* § */":                          "",
		"/* */ §":                          keywords,
		"COMPONENT a { image = \"x\" }\n§": keywords,
		"COMPONENT a { image = \"x\" } §":  "",
		"COMPONENT §":                      "",
		"COMPONENT a §":                    "FROM",
		"COMPONENT a F§":                   "FROM",
		"COMPONENT a(p = 1) §":             "FROM",
		"COMPONENT a FROM b\n§":            keywords,
		"COMPONENT a {}\nCOMPONENT t() {}\nCOMPONENT b FROM §":                               "a t",
		"IMPORT \"templates/postgres.ctst\" AS pg\nCOMPONENT b FROM §":                       "pg pg.server pg.backup",
		"IMPORT \"templates/postgres.ctst\" AS pg\nCOMPONENT b FROM p§":                      "pg pg.server pg.backup",
		"IMPORT \"templates/postgres.ctst\" AS pg\nCOMPONENT b FROM pg.§":                    "server backup",
		"IMPORT \"templates/postgres.ctst\"\nCOMPONENT b FROM postgres.s§ {}":                "server backup",
		"IMPORT \"gone.ctst\"\nCOMPONENT b FROM gone.§":                                      "",
		"IMPORT \"templates/postgres.ctst\" AS pg\nCOMPONENT b FROM pg.server(§)":            "port name data",
		"IMPORT \"templates/postgres.ctst\" AS pg\nCOMPONENT b FROM pg.server(port = 1, n§)": "name data",
		"IMPORT \"redis.ctst\"\nCOMPONENT b FROM redis(§":                                    "size",
		"COMPONENT t(a = 1, b = 2) {}\nCOMPONENT c FROM t(b = 3, §":                          "a",
		"COMPONENT t(a: §":                                                                         "string int number bool list map",
		"COMPONENT t(a: i§ = 1":                                                                    "string int number bool list map",
		"COMPONENT a, b {}\nCOMPONENT t() {}\nCONNECT §":                                           "a b",
		"COMPONENT a, b {}\nCONNECT a §":                                                           "->",
		"COMPONENT a, b, c {}\nCONNECT a -> §":                                                     "b c",
		"COMPONENT a, b, c {}\nCONNECT a -> b, §":                                                  "c",
		"COMPONENT a, b, c {}\nCONNECT a, b -> §":                                                  "a b c",
		"COMPONENT a, b {}\nCONNECT a -> b §":                                                      "AS NOWAIT",
		"COMPONENT a, b {}\nCONNECT a -> b AS x §":                                                 "NOWAIT",
		"COMPONENT a, b {}\nCONNECT a -> b\n§":                                                     keywords,
		"COMPONENT a, b-c {}\nCONNECT a -> b-§":                                                    "b-c",
		"COMPONENT a, b {}\nEXPOSE 80 §":                                                           "TO",
		"COMPONENT a, b {}\nEXPOSE 80 TO §":                                                        "a b",
		"COMPONENT a, b {}\nEXPOSE 80:80/tcp TO §\nCONNECT a -> b":                                 "a b",
		"IMPORT \"x.ctst\" §":                                                                      "AS",
		"IMPORT \"§\"":                                                                             "redis.ctst templates/",
		"IMPORT \"templates/§":                                                                     "a|b.ctst postgres.ctst",
		"IMPORT \"https://example.org/§\"":                                                         "",
		"COMPONENT a { healthcheck = { h§ } }":                                                     "command http tcp interval timeout retries start_period",
		"COMPONENT a { healthcheck = { tcp = 1, §":                                                 "command http interval timeout retries start_period",
		"COMPONENT a { healthcheck = { tcp = 1, retries = §":                                       "",
		"COMPONENT a { files = { \"/x\" = { § } } }":                                               "source mode",
		"COMPONENT a { healthcheck = { tcp, §":                                                     "command http interval timeout retries start_period",
		"COMPONENT a { distroless = { §":                                                           "include binaries",
		"COMPONENT a { env = { §":                                                                  "",
		"COMPONENT a { network = §":                                                                `"project" "none" "host"`,
		"COMPONENT a { network = \"n§":                                                             "project none host",
		"COMPONENT a { network = \"§\" port = 1 }":                                                 "project none host",
		"COMPONENT a { readonly = §":                                                               "true false",
		"COMPONENT a FROM b { readonly = §":                                                        "true false UNSET",
		"COMPONENT a { distroless = §":                                                             "true false",
		"COMPONENT a { restart = \"§\" }":                                                          "never on-failure always unless-stopped",
		"COMPONENT a { memory = §":                                                                 "",
		"COMPONENT a { port = 8§":                                                                  "",
		"COMPONENT a { image = '§":                                                                 "",
		"LET x = §":                                                                                "true false",
		"LET x = 1\n§":                                                                             keywords,
		"LET x = { a = 1 }\n§":                                                                     keywords,
		"LET a = 1\nLET b = \"${§}\"\nLET c = 2\nCOMPONENT d {}":                                   "env let.a secret d",
		"LET a = 1\nLET b = \"${let.§}\"\nLET c = 2":                                               "a",
		"COMPONENT a { env = { A = \"${§\" } }\nCOMPONENT b {}\nCOMPONENT t() {}":                  "env secret self a b",
		"COMPONENT a { memory = \"${§\" }":                                                         "env self",
		"COMPONENT a { memory = \"${self.§\" }":                                                    "name",
		"COMPONENT a { connection_string = \"x://${self.§}\" }":                                    "name host port connection_string",
		"COMPONENT a { command = [\"${b.§}\"] }\nCOMPONENT b {}":                                   "host port connection_string",
		"COMPONENT a { command = [\"${t.§}\"] }\nCOMPONENT t() {}":                                 "",
		"COMPONENT a { memory = \"${b.§}\" }\nCOMPONENT b {}":                                      "",
		"COMPONENT t(size = \"1MiB\", p) { memory = \"${param.§}\" }":                              "size p",
		"COMPONENT t(size = \"1MiB\", p) { memory = \"${§}\" }":                                    "env param.size param.p self",
		"COMPONENT t(size = \"${§}\") {}":                                                          "env secret",
		"COMPONENT a { env = { A = \"${env.HOME} ${secret.k}\", B = \"${env.§}\" } }":              "HOME",
		"COMPONENT a { env = { A = \"${env.HOME} ${secret.k}\", B = \"${secret.§}\" } }":           "k",
		"COMPONENT a { env = { A = \"${env.HOME:-§}\" } }":                                         "",
		"COMPONENT a { env = { A = \"$${§}\" } }":                                                  "",
		"COMPONENT a { env = { A = \"${env.X} §\" } }":                                             "",
		"COMPONENT a { files = { \"/x\" = \"\"\"\n  listen = ${§\n\"\"\" } }\nLET l = 1":           "env let.l secret self a",
		"COMPONENT a { image = \"x }\nCONNECT §":                                                   "a",
		"COMPONENT a { env = {\n  A = 1\nCOMPONENT b {\n  healthcheck = { tcp = 1\nCONNECT a -> §": "b",
		"EXPOSE \"${§\"\nLET l = 1\nCOMPONENT a {}":                                                "env let.l",
	} {
		t.Run(text, func(t *testing.T) {
			v, offset := view(t, text)
			got := v.Complete(offset)
			require.Equal(t, want, strings.Join(labels(got), " "))
			require.LessOrEqual(t, got.Start, offset)
			require.GreaterOrEqual(t, got.End, offset)
		})
	}
}

// What a body says already, before the cursor or behind it, is not offered.
func TestCompleteProperties(t *testing.T) {
	for text, c := range map[string]struct{ with, without string }{
		"COMPONENT a {\n  §\n}":                                 {"image command env port ports volume volumes healthcheck distroless", ""},
		"COMPONENT a {\n  im§\n":                                {"image", ""},
		"COMPONENT a {\n  image = \"x\"\n  §\n":                 {"command", "image"},
		"COMPONENT a {\n  §\n  image = \"x\"\n  port = 1\n}":    {"command", "image port ports"},
		"COMPONENT a {\n  volumes = []\n  §":                    {"command", "volume volumes"},
		"COMPONENT a {\n  ima§ge = \"x\"\n}":                    {"image", ""},
		"COMPONENT a {\n  env = { A = 1 }\n  §":                 {"image", "env"},
		"COMPONENT a {\n  env = { A = \"x }\n  }\n  me§":        {"memory", ""},
		"COMPONENT a FROM t(x = 1) {\n  §":                      {"image", ""},
		"COMPONENT a, b {\n  command = [\"x\" \"y\"]\n  §\n}\n": {"image", "command"},
		"COMPONENT a { env = { CONNECT = 1 }\n  im§":            {"image", "env"},
		"COMPONENT a { network = \"host\" §":                    {"image", "network"},
	} {
		t.Run(text, func(t *testing.T) {
			v, offset := view(t, text)
			got := labels(v.Complete(offset))
			for _, name := range strings.Fields(c.with) {
				require.Contains(t, got, name)
			}
			for _, name := range strings.Fields(c.without) {
				require.NotContains(t, got, name)
			}
		})
	}
}

// A completion leaves text that goes on at the cursor.
func TestCompleteInserts(t *testing.T) {
	for _, c := range []struct{ text, label, want string }{
		{"COMPONENT a { im§ }", "image", `COMPONENT a { image = "§" }`},
		{"COMPONENT a { im§age = 1 }", "image", `COMPONENT a { image§ = 1 }`},
		{"COMPONENT a { comm§", "command", `COMPONENT a { command = ["§"]`},
		{"COMPONENT a { po§", "port", `COMPONENT a { port = §`},
		{"COMPONENT a { po§", "ports", `COMPONENT a { ports = [§]`},
		{"COMPONENT a { §", "env", `COMPONENT a { env = { § }`},
		{"COMPONENT a { §", "files", `COMPONENT a { files = { § }`},
		{"COMPONENT a { §", "readonly", `COMPONENT a { readonly = §`},
		{"COMPONENT a { §", "memory", `COMPONENT a { memory = "§"`},
		{"COMPONENT a { healthcheck = { §", "interval", `COMPONENT a { healthcheck = { interval = "§"`},
		{"COMPONENT a { restart = \"on§-failure\" }", "always", `COMPONENT a { restart = "always§" }`},
		{"COMPONENT a { restart = \"on§\n }", "always", "COMPONENT a { restart = \"always§\n }"},
		{"COMPONENT a { capabilities = [\"N§\"] }", "NET_ADMIN", `COMPONENT a { capabilities = ["NET_ADMIN§"] }`},
		{"LET t = 1\nCOMPONENT a { image = \"x:${l§\" }", "let.t", "LET t = 1\nCOMPONENT a { image = \"x:${let.t}§\" }"},
		{"LET t = 1\nCOMPONENT a { image = \"x:${let.x§y}\" }", "t", "LET t = 1\nCOMPONENT a { image = \"x:${let.t§}\" }"},
		{"COMPONENT a { env = { A = \"${a.§} z\" } }", "port", "COMPONENT a { env = { A = \"${a.port§} z\" } }"},
		{"COMPONENT a { env = { A = \"${§} z\" } }", "a", "COMPONENT a { env = { A = \"${a.§} z\" } }"},
		{"COMPONENT web-1 {}\nCONNECT we§b-1 -> web-1", "web-1", "COMPONENT web-1 {}\nCONNECT web-1§ -> web-1"},
		{"IMPORT \"templates/po§\"", "postgres.ctst", "IMPORT \"templates/postgres.ctst§\""},
		{"IMPORT \"templates/§\"", "a|b.ctst", "IMPORT \"templates/a|b.ctst§\""},
		{"CON§", "CONNECT", "CONNECT §"},
	} {
		t.Run(c.text, func(t *testing.T) {
			v, offset := view(t, c.text)
			require.Equal(t, c.want, insert(v, v.Complete(offset), c.label))
		})
	}
}

func TestCompleteDescribes(t *testing.T) {
	v, offset := view(t, "COMPONENT a {\n  mem§")
	i := slices.IndexFunc(v.Complete(offset).List, func(c editor.Completion) bool { return c.Label == "memory" })
	o := v.Complete(offset).List[i]
	require.Equal(t, `a size such as "256MiB"`, o.Detail)
	require.Contains(t, o.Doc, "the most memory it may use")
	v, offset = view(t, "IMPORT \"templates/postgres.ctst\" AS pg\nCOMPONENT b FROM pg.§")
	require.Equal(t, "(port, name, data)", v.Complete(offset).List[0].Detail)
	v, offset = view(t, "COMPONENT t(size: int = 1, b) {}\nCOMPONENT c FROM t(§")
	require.Equal(t, "int", v.Complete(offset).List[0].Detail)
	require.Equal(t, "It is required.", v.Complete(offset).List[1].Doc)
}

const shop = `IMPORT "templates/postgres.ctst" AS pg
IMPORT "redis.ctst"

LET tag = "${env.TAG:-1.4}"

COMPONENT db FROM pg.server(port = 5432, name = "x") {
    memory = "256MiB"
    connection_string = "postgresql://${secret.pass-word}@${self.host}"
}
COMPONENT cache FROM redis(size = "1MiB")
COMPONENT api(level: int = 3) {
    image = "image://api:${let.tag}"
    port = 8080
    env = { DB = "${db.host}:${db.port}", LEVEL = "${param.level}", REDIS = "${cache.host}" }
    healthcheck = { http = ":8080/", interval = "2s" }
}
COMPONENT one, two FROM api(level = 4)
CONNECT one, two -> db, cache
EXPOSE 80:8080 TO one
`

// at is the view of shop with the cursor behind a mark's nth occurrence.
func at(t testing.TB, mark string, nth int) (editor.View, int) {
	t.Helper()
	offset := 0
	for range nth {
		i := strings.Index(shop[offset:], mark)
		require.GreaterOrEqual(t, i, 0, mark)
		offset += i + len(mark)
	}
	return view(t, shop[:offset]+"§"+shop[offset:])
}

func TestHover(t *testing.T) {
	for _, c := range []struct {
		mark       string
		nth        int
		code, text string
	}{
		{"memory", 1, `memory = a size such as "256MiB"`, "the most memory it may use"},
		{"interval", 1, "healthcheck.interval = a duration", "Default: \"10s\"."},
		{"    port", 1, "port = a port", "One setting with ports"},
		{" db", 1, `COMPONENT db FROM pg.server(port = 5432, name = "x")`, "A copy of pg.server."},
		{" db", 1, "", "image = \"image://postgres:16\", from server"},
		{"${db", 1, "COMPONENT db FROM pg.server", "port = \"${param.port}\", from server"},
		{"CONNECT one", 1, "COMPONENT one, two FROM api(level = 4)", "port = 8080, from api"},
		{"pg.server", 1, "COMPONENT server(port: int", "A template"},
		{"let.tag", 1, `LET tag = "${env.TAG:-1.4}"`, ""},
		{"LET", 1, "", "LET name = value"},
		{"CONN", 1, "", "CONNECT a -> b"},
		{"param.level", 1, "level: int = 3", "A parameter of api."},
		{"server(port", 1, "port: int = 5432", "A parameter of server."},
		{"redis(size", 1, `size: string = "64MiB"`, "A parameter of cache."},
		{"pg", 1, `IMPORT "templates/postgres.ctst" AS pg`, "server(port, name, data), backup(every)"},
		{"redis.ct", 1, `IMPORT "redis.ctst"`, "cache(size)"},
		{"FROM redis", 1, `IMPORT "redis.ctst"`, "cache(size)"},
		{"env.TA", 1, "env.TAG", `Unset or empty: "1.4".`},
		{"secret.pass", 1, "secret.pass-word", "CONTAINUST_SECRET_PASS_WORD"},
		{"self.ho", 1, "self.host", "the name under which it is reached"},
		{"db.po", 1, "db.port", "its first port"},
	} {
		t.Run(fmt.Sprint(c.mark, c.nth), func(t *testing.T) {
			v, offset := at(t, c.mark, c.nth)
			h, ok := v.Hover(offset)
			require.True(t, ok)
			require.Contains(t, h.Code, c.code)
			require.Contains(t, h.Text, c.text)
			require.LessOrEqual(t, h.Range.Start.Offset, offset)
			require.GreaterOrEqual(t, h.Range.End.Offset, offset)
			require.Positive(t, h.Range.Start.Line)
		})
	}
	for _, text := range []string{"// CON§NECT", "LET x = \"CON§NECT\"", "COMPONENT a { env = { CON§NECT = 1 } }", "COMPONENT a { foo§ = 1 }", "§", "COMPONENT b FROM gone§", "LET x = \"${let.gone§}\""} {
		v, offset := view(t, text)
		h, ok := v.Hover(offset)
		require.False(t, ok, "%s: %+v", text, h)
	}
}

// place is a range as file: text around it.
func place(v editor.View, r token.Range) string {
	text := string(v.Open(r.File).Text)
	return fmt.Sprintf("%s:%d:%d %s", filepath.ToSlash(r.File), r.Start.Line, r.Start.Column, text[r.Start.Offset:r.End.Offset])
}

func TestDefinition(t *testing.T) {
	for _, c := range []struct {
		mark string
		nth  int
		want string
	}{
		{"${db", 1, "app.ctst:6:11 db"},
		{"${db.ho", 1, "app.ctst:6:11 db"},
		{"-> d", 1, "app.ctst:6:11 db"},
		{"TO on", 1, "app.ctst:17:11 one"},
		{"FROM api", 1, "app.ctst:11:11 api"},
		{"let.t", 1, "app.ctst:4:5 tag"},
		{"param.level", 1, "app.ctst:11:15 level"},
		{"api(level", 2, "app.ctst:11:15 level"},
		{"server(port", 1, "templates/postgres.ctst:1:18 port"},
		{"redis(si", 1, "redis.ctst:1:17 size"},
		{"pg.serv", 1, "templates/postgres.ctst:1:11 server"},
		{"FROM p", 1, "templates/postgres.ctst:1:1 "},
		{"templ", 1, "templates/postgres.ctst:1:1 "},
		{"FROM redis", 1, "redis.ctst:1:1 "},
		{"AS pg", 1, "templates/postgres.ctst:1:1 "},
	} {
		t.Run(fmt.Sprint(c.mark, c.nth), func(t *testing.T) {
			v, offset := at(t, c.mark, c.nth)
			r, ok := v.Definition(offset)
			require.True(t, ok)
			require.Equal(t, c.want, place(v, r))
		})
	}
	for _, mark := range []string{"env.TAG", "memory", "secret.pass", "EXPOSE", "self.host"} {
		v, offset := at(t, mark, 1)
		_, ok := v.Definition(offset)
		require.False(t, ok, mark)
	}
}

func TestReferences(t *testing.T) {
	for _, c := range []struct {
		mark string
		want string
	}{
		{"COMPONENT db", "6:11 db, 14:21 db, 14:32 db, 18:21 db"},
		{"${cache", "10:11 cache, 14:80 cache, 18:25 cache"},
		{"TO one", "17:11 one, 18:9 one, 19:19 one"},
		{"LET tag", "4:5 tag, 12:32 tag"},
		{"param.level", "11:15 level, 14:60 level, 17:29 level"},
	} {
		t.Run(c.mark, func(t *testing.T) {
			v, offset := at(t, c.mark, 1)
			var got []string
			for _, r := range v.References(offset, nil) {
				got = append(got, strings.TrimPrefix(place(v, r), "app.ctst:"))
			}
			require.Equal(t, c.want, strings.Join(got, ", "))
		})
	}
	v, offset := at(t, "server(port", 1)
	var got []string
	for _, r := range v.References(offset, []*editor.File{v.Open("templates/postgres.ctst"), v.File}) {
		got = append(got, place(v, r))
	}
	require.Equal(t, []string{"app.ctst:6:29 port", "templates/postgres.ctst:1:18 port", "templates/postgres.ctst:3:22 port"}, got)
	v, offset = at(t, "memory", 1)
	require.Empty(t, v.References(offset, nil))
}

// apply changes the files of a view.
func apply(t testing.TB, v editor.View, edits []editor.Edit) map[string]string {
	t.Helper()
	texts := map[string]string{}
	slices.SortFunc(edits, func(a, b editor.Edit) int { return b.Range.Start.Offset - a.Range.Start.Offset })
	for _, e := range edits {
		name := filepath.ToSlash(e.Range.File)
		text, ok := texts[name]
		if !ok {
			text = string(v.Open(name).Text)
		}
		texts[name] = text[:e.Range.Start.Offset] + e.Text + text[e.Range.End.Offset:]
	}
	return texts
}

func TestSymbols(t *testing.T) {
	v, _ := view(t, shop+"§")
	var got []string
	for _, s := range v.File.Symbols() {
		got = append(got, fmt.Sprint(s.Kind, " ", s.Name, " ", s.Detail, len(s.Inside)))
		require.GreaterOrEqual(t, s.Select.Start.Offset, s.Range.Start.Offset)
		require.LessOrEqual(t, s.Select.End.Offset, s.Range.End.Offset)
	}
	require.Equal(t, []string{
		"3 pg templates/postgres.ctst0", "3 redis.ctst 0", "2 tag 0", "0 db FROM pg.server0", "0 cache FROM redis0",
		"1 api 1", "0 one FROM api0", "0 two FROM api0",
	}, got)
}

func TestLibrary(t *testing.T) {
	for text, want := range map[string]bool{
		templates: true, sole: true, shop: false,
		"":                                    true,
		"COMPONENT base { memory = \"1GB\" }": true,
		"COMPONENT web { image = \"x\" }":     false,
		"COMPONENT web FROM x":                false,
		"COMPONENT a {}\nEXPOSE 80 TO a":      false,
	} {
		require.Equal(t, want, editor.New("x.ctst", []byte(text)).Library(), text)
	}
}

func TestImports(t *testing.T) {
	dir := t.TempDir()
	absolute := filepath.Join(dir, "c.ctst")
	f := editor.New(filepath.Join(dir, "sub", "app.ctst"), []byte(`IMPORT "a.ctst"
IMPORT "../b.ctst@sha256:`+strings.Repeat("0", 64)+`"
IMPORT "`+strings.ReplaceAll(absolute, `\`, `\\`)+`" AS c
IMPORT "https://example.org/d.ctst"
IMPORT "${env.X}.ctst"
IMPORT ""
`))
	require.Equal(t, []string{filepath.Join(dir, "sub", "a.ctst"), filepath.Join(dir, "b.ctst"), absolute}, f.Imports())
}
