package format_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/format"
	"github.com/containust/containust/modules/lang/parser"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// TestGolden formats NAME of each archive to NAME.want.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			require.NoError(t, err)
			var files []txtar.File
			for _, f := range archive.Files {
				if strings.HasSuffix(f.Name, ".want") {
					continue
				}
				got, found := format.Source(f.Name, f.Data)
				require.Empty(t, found, f.Name)
				again, found := format.Source(f.Name, got)
				require.Empty(t, found, f.Name)
				require.Equal(t, string(got), string(again), "%s: formatted twice", f.Name)
				files = append(files, f, txtar.File{Name: f.Name + ".want", Data: got})
			}
			if *update {
				archive.Files = files
				require.NoError(t, os.WriteFile(name, txtar.Format(archive), 0o644))
				return
			}
			require.Len(t, archive.Files, len(files), "run with -update")
			for i, f := range files {
				require.Equal(t, archive.Files[i].Name, f.Name)
				require.Equal(t, string(archive.Files[i].Data), string(f.Data), f.Name)
			}
		})
	}
}

// What an archive cannot hold.
func TestBytes(t *testing.T) {
	for _, tt := range []struct{ name, src, want string }{
		{"nothing", "", ""},
		{"blanks", " \t\r\n\n", ""},
		{"only a mark", "\uFEFF", ""},
		{"byte order mark", "\uFEFFLET a = 1", "LET a = 1\n"},
		{"CRLF", "LET a = 1\r\n\r\n\r\n// b \r\nLET c = 2\r\n", "LET a = 1\n\n// b\nLET c = 2\n"},
		{"returns at the end of a comment", "// a\r\r\nLET b = 1 /* c\r\r\n \t\r\n d */", "// a\nLET b = 1 /* c\n\n d */\n"},
		{"a return alone is a blank", "LET\ra\r=\r1", "LET a = 1\n"},
		{"CRLF in raw text", "LET a = \"\"\"\r\n\tb\r\n\r\n\t\"\"\"\r\n", "LET a = \"\"\"\n    b\n\n    \"\"\"\n"},
		{"two returns in raw text are one in the value", "LET a = \"\"\"\n  b\r\r\n  \"\"\"", "LET a = \"\"\"\n    b\r\r\n    \"\"\"\n"},
		{"a return that is text", "LET a = \"\"\"\n  b\r\r\n \r\r\n  \"\"\"", "LET a = \"\"\"\n     b\r\r\n    \r\r\n     \"\"\"\n"},
		{"blanks at the end of raw lines", "LET a = \"\"\"\n b \n  \n c\n \"\"\"", "LET a = \"\"\"\n    b \n     \n    c\n    \"\"\"\n"},
		{"reference over lines", "LET a = \"\"\"\n b ${env.B:-c\n d}\n \"\"\"", "LET a = \"\"\"\n b ${env.B:-c\n d}\n \"\"\"\n"},
		{"tabs", "COMPONENT a {\n\timage\t=\t\"b\tc\"\n\tport = 1\n}", "COMPONENT a {\n    image = \"b\tc\"\n    port  = 1\n}\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, found := format.Source("t.ctst", []byte(tt.src))
			require.Empty(t, found)
			require.Equal(t, tt.want, string(got))
			again, _ := format.Source("t.ctst", got)
			require.Equal(t, tt.want, string(again), "formatted twice")
		})
	}
}

func TestErrors(t *testing.T) {
	got, found := format.Source("t.ctst", []byte("LET a = 1 COMPONENT b { x = 'y' }"))
	require.Nil(t, got)
	require.Len(t, found, 1)
	require.Equal(t, diag.WrongQuotes, found[0].Code)
	require.Equal(t, "t.ctst", found[0].Range.File)

	// Only the syntax counts.
	got, found = format.Source("t.ctst", []byte("CONNECT a -> nothing"))
	require.Empty(t, found)
	require.Equal(t, "CONNECT a -> nothing\n", string(got))
}

// A file that the blanks of its canonical form would make too large is refused:
// the result could not be read again.
func TestTooLarge(t *testing.T) {
	deep := func(n int) string {
		return "LET a = " + strings.Repeat("[\n", parser.MaxDepth) + strings.Repeat("1\n", n) + strings.Repeat("]", parser.MaxDepth)
	}
	for name, src := range map[string]string{
		"entries": deep(100_000),
		"raw":     "LET a = " + strings.Repeat("[\n", parser.MaxDepth-1) + "\"\"\"\n" + strings.Repeat(" b\n", 100_000) + " \"\"\"" + strings.Repeat("]", parser.MaxDepth-1),
		"comment": "LET a = " + strings.Repeat("[\n", parser.MaxDepth) + "/*" + strings.Repeat("b\n", 100_000) + "*/" + strings.Repeat("]", parser.MaxDepth),
		"aligned": "LET a = {\n" + strings.Repeat("a=1 ab=1\n", 30_000) + strings.Repeat("b", 58) + "=1 " + strings.Repeat("a=1 ab=1\n", 30_000) + "}",
	} {
		t.Run(name, func(t *testing.T) {
			_, found := parser.Parse("t.ctst", []byte(src))
			require.Empty(t, found)
			got, found := format.Source("t.ctst", []byte(src))
			require.Nil(t, got)
			require.Len(t, found, 1)
			require.Equal(t, diag.FileTooLarge, found[0].Code)
		})
	}
	_, found := format.Source("t.ctst", []byte(deep(1000)))
	require.Empty(t, found)
}

// adversarial are files that a careless formatter takes quadratic time for, or
// writes quadratic text for.
func adversarial(size int) map[string]string {
	n := size / 16
	return map[string]string{
		"statements": strings.Repeat("CONNECT a -> b\n", n),
		"properties": "COMPONENT a {" + strings.Repeat("ab=\"0123\" ", n) + "}",
		"one line":   "LET a = [" + strings.Repeat("\"0123\" ", n) + "]",
		"comments":   strings.Repeat("LET a=1/*x*///y\n", n),
		"one name":   "LET a = {\n" + strings.Repeat("x", size/2) + " = 1\n" + strings.Repeat("y = 1 # z\n", size/32) + "}",
		"one value":  "LET a = \"" + strings.Repeat("x", size/2) + "\" # y\n" + strings.Repeat("LET b = 1 # z\n", size/32),
		"own lines":  "COMPONENT a {\n" + strings.Repeat("// c\n", size/8) + "}",
		"in a row":   "LET a = " + strings.Repeat("/* c */", size/8) + "1",
		"blank":      "LET a = 1" + strings.Repeat("\n", size) + "LET b = 1",
		"raw":        "LET a = \"\"\"\n" + strings.Repeat("    x\n", size/6) + "    \"\"\"",
		"many raw":   "COMPONENT a {" + strings.Repeat("f = \"\"\"\n  x\n  \"\"\"\n", size/20) + "}",
		"nested":     strings.Repeat("LET a = "+strings.Repeat("[", parser.MaxDepth)+strings.Repeat("]", parser.MaxDepth)+"\n", size/140),
	}
}

func BenchmarkSource(b *testing.B) {
	for name := range adversarial(0) {
		for _, size := range []int{1 << 18, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dKiB", strings.ReplaceAll(name, " ", "-"), size>>10), func(b *testing.B) {
				src := []byte(adversarial(size)[name])
				b.SetBytes(int64(len(src)))
				for b.Loop() {
					if _, found := format.Source("b.ctst", src); found != nil {
						b.Fatal(found)
					}
				}
			})
		}
	}
}
