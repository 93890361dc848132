package resolve

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/stack"
)

func loadText(src string) (*stack.Stack, diag.List) {
	return Load(context.Background(), "app.ctst", Options{ReadFile: func(name string) ([]byte, error) {
		if name == "app.ctst" {
			return []byte(src), nil
		}
		return nil, fs.ErrNotExist
	}})
}

func codes(l diag.List) []diag.Code {
	var out []diag.Code
	for _, d := range l {
		out = append(out, d.Code)
	}
	return out
}

// Each property of the table changes the component: none is accepted and then
// ignored.
func TestEveryPropertyArrives(t *testing.T) {
	samples := map[string]string{
		"image": `"file://other"`, "command": `["a"]`, "entrypoint": `["a"]`, "env": `{ A = 1 }`, "workdir": `"/w"`, "user": `"1"`, "hostname": `"h"`,
		"port": `1`, "ports": `[1]`, "protocol": `"p"`, "connection_string": `"c"`, "volume": `"v:/v"`, "volumes": `["v:/v"]`, "tmpfs": `[]`, "files": `{ "/f" = "" }`,
		"secrets": `["s"]`, "readonly": `false`, "memory": `"1MiB"`, "memory_swap": `"1MiB"`, "cpu": `1`, "cpu_weight": `1`, "pids": `1`, "io": `{ weight = 1 }`,
		"ulimits": `{ nofile = 1 }`, "network": `"none"`, "offline": `true`, "egress": `[]`, "restart_unhealthy": `true`, "restart": `"always"`, "job": `true`,
		"healthcheck": `{ tcp = 1 }`, "stop_signal": `"SIGINT"`, "stop_timeout": `"1s"`, "capabilities": `["CHOWN"]`, "seccomp": `"unconfined"`, "devices": `["/dev/fuse"]`,
		"labels": `{ a = "b" }`, "init": `true`, "distroless": `true`,
	}
	opts := Options{LookupSecret: func(string) (string, error) { return "s", nil }}
	load := func(extra string) *stack.Component {
		opts.ReadFile = func(string) ([]byte, error) {
			return []byte("COMPONENT t() { image = \"file://x\" port = 9 }\nCOMPONENT c FROM t {" + extra + "}"), nil
		}
		st, found := Load(context.Background(), "app.ctst", opts)
		require.NoError(t, found.Err())
		return st.Components[0]
	}
	plain := load("")
	for _, p := range schema.Properties() {
		if p.Name == "enabled" {
			continue
		}
		value, ok := samples[p.Name]
		require.True(t, ok, "no sample for %s", p.Name)
		got := load(p.Name + " = " + value)
		require.Contains(t, got.Where, p.Name)
		got.Where, got.Range = plain.Where, plain.Range
		if p.Name == "protocol" || p.Name == "connection_string" {
			require.True(t, got.Protocol == "p" || got.ConnectionString.Value == "c")
			continue
		}
		require.NotEqual(t, plain, got, p.Name)
	}
}

// One mistake is one diagnostic, with a place and a mend.
func TestOneMistakeOneDiagnostic(t *testing.T) {
	for name, c := range map[string]struct {
		src  string
		code diag.Code
		mark string
	}{
		"typo in a property":       {"COMPONENT a {\n  imgae = \"file://x\"\n}\nCONNECT b -> a\nCOMPONENT b FROM a { image = \"file://y\" }", diag.UnknownProperty, "imgae"},
		"typo in a port":           {"COMPONENT a { image = \"file://x\" prot = 80 }\nEXPOSE 80\nEXPOSE 81:80 TO a", diag.UnknownProperty, "prot"},
		"typo in the only image":   {"COMPONENT a {\n  imgae = \"file://x\"\n}", diag.UnknownProperty, "imgae"},
		"missing brace":            {"COMPONENT a {\n  image = \"file://x\"\n  env = {\n A = 1\n  port = 80\n}\nEXPOSE 80 TO a", diag.UnclosedBracket, "{"},
		"missing brace of all":     {"COMPONENT a {\n  image = \"file://x\"\n  port = 80\nCOMPONENT b { image = \"file://x\" }\nCONNECT b -> a", diag.UnclosedBracket, "{"},
		"wrong type":               {"COMPONENT a { image = \"file://x\" port = \"80\" }\nEXPOSE 80 TO a\nEXPOSE 80:80\nCOMPONENT b { image = \"file://x\" env = { P = \"${a.port}\" } }", diag.WrongType, `"80"`},
		"unknown component":        {"COMPONENT a { image = \"file://x\" }\nCONNECT a -> b", diag.UnknownComponent, "b"},
		"unknown base":             {"COMPONENT a FROM b { port = 80 }\nCOMPONENT c FROM a\nCONNECT c -> a\nEXPOSE 80 TO a", diag.UnknownComponent, "b"},
		"cycle":                    {"COMPONENT a, b { image = \"file://x\" }\nCONNECT a -> b\nCONNECT b -> a", diag.OrderCycle, "CONNECT a -> b"},
		"duplicate name":           {"COMPONENT a { image = \"file://x\" }\nCOMPONENT a { }", diag.DuplicateName, "a"},
		"bad size":                 {"COMPONENT a { image = \"file://x\" memory = \"512m\" }", diag.BadSize, `"512m"`},
		"bad port":                 {"COMPONENT a { image = \"file://x\" port = 0 }\nEXPOSE 80 TO a", diag.BadPort, "0"},
		"unset variable":           {"COMPONENT a { image = \"${env.IMAGE}\" port = 80 }\nEXPOSE 80 TO a\nCOMPONENT b FROM a", diag.VariableUnset, "${env.IMAGE}"},
		"unset secret":             {"COMPONENT a { image = \"file://x\" connection_string = \"x://${secret.s}\" port = 1 }\nCOMPONENT b { image = \"file://x\" }\nCONNECT b -> a", diag.SecretUnset, "${secret.s}"},
		"unclosed string":          {"COMPONENT a { image = \"file://x }\nCOMPONENT b { image = \"file://x\" }\nCONNECT b -> a", diag.UnclosedString, `"`},
		"unclosed raw string":      {"COMPONENT a {\n  image = \"\"\"file://x\n}\nCOMPONENT b { image = \"file://x\" }\nCONNECT b -> a", diag.UnclosedString, `"""`},
		"quoted list entry":        {"COMPONENT a { image = \"file://x\" command = [\"a, \"b\"] }\nCOMPONENT b { image = \"file://x\" }", diag.UnclosedString, `"`},
		"statement that is lost":   {"frob x {}\nCOMPONENT b { image = \"file://x\" }\nCONNECT b -> x", diag.UnknownStatement, "frob"},
		"missing equals":           {"COMPONENT a { image \"file://x\" }", diag.UnexpectedToken, `"file://x"`},
		"missing arrow":            {"COMPONENT a, b { image = \"file://x\" }\nCONNECT a b\nEXPOSE 1 TO a", diag.UnexpectedToken, "b"},
		"import that is not there": {"IMPORT \"x.ctst\"\nCOMPONENT a FROM x.y(z = 1) { memory = \"1MiB\" }", diag.ImportUnreadable, `"x.ctst"`},
	} {
		t.Run(name, func(t *testing.T) {
			st, found := loadText(c.src)
			require.Nil(t, st)
			require.Equal(t, []diag.Code{c.code}, codes(found), "%+v", found)
			d := found[0]
			require.Equal(t, c.mark, c.src[d.Range.Start.Offset:d.Range.End.Offset])
		})
	}
}

func TestUnreadable(t *testing.T) {
	_, found := Load(context.Background(), filepath.Join(t.TempDir(), "none.ctst"), Options{})
	require.Equal(t, []diag.Code{diag.FileUnreadable}, codes(found))
	require.ErrorContains(t, found.Err(), "no such file")
	_, found = loadText(strings.Repeat(" ", parser.MaxBytes+1))
	require.Equal(t, []diag.Code{diag.FileTooLarge}, codes(found))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, found = Load(ctx, "app.ctst", Options{ReadFile: func(string) ([]byte, error) { return nil, nil }})
	require.True(t, found.HasErrors())
}

// 256 files are read, and no more.
func TestImportFiles(t *testing.T) {
	var imports strings.Builder
	for i := 1; i < maxFiles; i++ {
		fmt.Fprintf(&imports, "IMPORT \"f%d.ctst\"\n", i)
	}
	load := func(src string) diag.List {
		_, found := Load(context.Background(), "app.ctst", Options{ReadFile: func(name string) ([]byte, error) {
			if name == "app.ctst" {
				return []byte(src), nil
			}
			return []byte("COMPONENT a { image = \"file://x\" }"), nil
		}})
		return found
	}
	require.Empty(t, load(imports.String()))
	found := load(imports.String() + "IMPORT \"last.ctst\"\nCOMPONENT a FROM last")
	require.Equal(t, []diag.Code{diag.ImportLimit}, codes(found))
	require.Equal(t, maxFiles, found[0].Range.Start.Line)
}

func TestSecretDir(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), mode))
		require.NoError(t, os.Chmod(filepath.Join(dir, name), mode))
	}
	write("good", "value\n\n", 0o600)
	write("open", "value", 0o644)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	lookup := SecretDir(dir)
	got, err := lookup("good")
	require.NoError(t, err)
	require.Equal(t, "value\n", got, "one final newline is dropped")
	_, err = lookup("none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = lookup("folder")
	require.ErrorContains(t, err, "not a regular file")
	if runtime.GOOS != "windows" {
		_, err = lookup("open")
		require.ErrorIs(t, err, fs.ErrPermission)
		require.ErrorContains(t, err, "chmod 600")
	}
}

func TestSecretSources(t *testing.T) {
	src := `COMPONENT a { image = "file://x" env = { A = "${secret.a-b}" } files = { "/s" = "x${secret.c}" } }`
	opts := Options{
		ReadFile:  func(string) ([]byte, error) { return []byte(src), nil },
		LookupEnv: func(name string) (string, bool) { return "from env", name == "CONTAINUST_SECRET_A_B" },
		LookupSecret: func(name string) (string, error) {
			return "from file", nil
		},
	}
	st, found := Load(context.Background(), "app.ctst", opts)
	require.NoError(t, found.Err())
	require.Equal(t, stack.Text{Value: "from env", Shown: "${secret.a-b}"}, st.Components[0].Env[0].Value)
	require.Equal(t, stack.Text{Value: "xfrom file", Shown: "x${secret.c}"}, st.Components[0].Files[0].Text)
	require.EqualValues(t, 0o400, st.Components[0].Files[0].Mode)

	src = `COMPONENT a { image = "file://x" env = { A = "${secret.a-b}", B = "${secret.a_b}" } }`
	_, found = Load(context.Background(), "app.ctst", opts)
	require.Equal(t, []diag.Code{diag.SecretsCollide}, codes(found))

	opts.LookupSecret = func(string) (string, error) { return "", fs.ErrPermission }
	src = `COMPONENT a { image = "file://x" env = { A = "${secret.z}" } }`
	_, found = Load(context.Background(), "app.ctst", opts)
	require.Equal(t, []diag.Code{diag.SecretRefused}, codes(found))
}

// large is a file of 10,000 components with 20,000 connections.
func large() []byte {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "COMPONENT component-%d {\n    image = \"file://./root\"\n    port  = %d\n    env   = { NAME = \"${self.name}\" }\n}\n", i, 1+i%60000)
	}
	for i := 1; i <= 10_000; i++ {
		if i < 10_000 {
			fmt.Fprintf(&b, "CONNECT component-%d -> component-%d\n", i, i/2)
		}
		if i+1 < 10_000 {
			fmt.Fprintf(&b, "CONNECT component-%d -> component-%d\n", i+1, (i-1)/3)
		}
	}
	return []byte(b.String())
}

func TestLarge(t *testing.T) {
	src := large()
	st, found := Load(context.Background(), "app.ctst", Options{ReadFile: func(string) ([]byte, error) { return src, nil }})
	require.NoError(t, found.Err())
	require.Len(t, st.Components, 10_000)
}

func BenchmarkLoad(b *testing.B) {
	src := large()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if _, found := Load(context.Background(), "app.ctst", Options{ReadFile: func(string) ([]byte, error) { return src, nil }}); found.HasErrors() {
			b.Fatal(found.Err())
		}
	}
}

func BenchmarkParse(b *testing.B) {
	src := large()
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		parser.Parse("app.ctst", src)
	}
}
