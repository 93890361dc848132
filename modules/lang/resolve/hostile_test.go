package resolve

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
)

// repeat writes lines until they have so many bytes.
func repeat(size int, line func(b *strings.Builder, i int)) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		line(&b, i)
	}
	return b.String()
}

// names is a list of names of so many bytes.
func names(size int) string {
	return strings.TrimSuffix(repeat(size, func(b *strings.Builder, i int) { fmt.Fprintf(b, "a%d,", i) }), ",")
}

// hostile are files of about so many bytes that nest, multiply or never end.
func hostile(size int) map[string]string {
	fill := func(text string) string { return strings.Repeat(text, size/len(text)) }
	half := names(size / 2)
	lets := func(first, format string) string {
		return "LET l0 = " + first + "\n" + repeat(size, func(b *strings.Builder, i int) { fmt.Fprintf(b, format, i+1, i) })
	}
	chain := func(body string) string {
		return "COMPONENT a0 { image = \"file://x\" }\n" + repeat(size, func(b *strings.Builder, i int) { fmt.Fprintf(b, "COMPONENT a%d FROM a%d { %s }\n", i+1, i, body) })
	}
	entries := func(key string) string {
		return repeat(size/2, func(b *strings.Builder, i int) { fmt.Fprintf(b, key+" = \"x\" ", i) })
	}
	items := func(format string) string {
		return repeat(size-1000, func(b *strings.Builder, i int) { fmt.Fprintf(b, format, i) })
	}
	component := func(body string) string { return "COMPONENT a { image = \"file://x\" " + body + " }" }
	template := func(body string) string {
		return "COMPONENT t(p = 1) { image = \"file://x\" " + body + " }\nCOMPONENT " + half + " FROM t"
	}
	wide := "COMPONENT " + half + " { image = \"file://x\" port = 80 env = { A = \"${a0.host}${a1.port}${a2.connection_string}\" } }\n"
	return map[string]string{
		"blanks": fill("\t"), "lines": fill("\n"), "comments": fill("/* x */"), "short comments": fill("#\n"),
		"nonsense": fill("= "), "quotes": fill("'“"), "closing": fill("}"), "words": fill("a\n"), "invalid bytes": fill("\xff "), "braces": fill("COMPONENT a {"),
		"brackets": "LET a = " + fill("["), "map braces": "LET a = " + fill("{a="), "bare words": "LET a = [" + fill("a/*x "), "number": "LET a = " + fill("1"),
		"long name": "COMPONENT " + fill("a") + " {}", "dashes": "COMPONENT a" + fill("-") + " {}", "long names": "LET " + fill("a")[size/2:] + " = 1\nLET b = \"${let." + fill("a")[size/2+50:] + "}\"",
		"unclosed references": "COMPONENT a { image = \"" + fill("${") + "\" }", "component references": component("env = { A = \"" + fill("${a.host}") + "\" }"),
		"references in an image": "COMPONENT a { image = \"" + fill("${a.host}") + "\" }", "let references": "LET a = \"x\" " + component("env = { A = \""+fill("${let.a}")+"\" }"),
		"defaults": component("env = { A = \"" + fill("${env.X:-y}") + "\" }"), "long string": "COMPONENT a { image = \"file://" + fill("a") + "\" }",
		"raw lines": component("files = { \"/a\" = \"\"\"\n" + fill("  a\n") + "\"\"\" }"), "raw blanks": component("files = { \"/a\" = \"\"\"\n" + fill("\n") + "\"\"\" }"),
		"lets": lets("\"x\"", "LET l%d = \"${let.l%d}\"\n"), "deep let": component(fmt.Sprintf("workdir = \"${let.l%d}\"", size/32)) + lets("\"x\"", "LET l%d = \"${let.l%d}\"\n"),
		"doubled text": lets("\"${env.X:-0123456789}\"", "LET l%d = \"${let.l%[2]d}${let.l%[2]d}\"\n"), "doubled lists": lets("[1]", "LET l%d = [\"${let.l%[2]d}\" \"${let.l%[2]d}\"]\n") + component("command = \"${let.l59}\""),
		"chain of copies": chain(""), "chain of bodies": chain("env = { " + strings.Repeat("a = 1 b = UNSET ", 30) + "} volumes += [\"a:/b\"]"), "chain of arguments": repeat(size, func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "COMPONENT a%d(a = 1) FROM a%d(a = \"${param.a}\")\n", i, i+1)
		}),
		"many of a map": template("env = { " + entries("v%d") + " }"), "many of a list": template("command = [" + strings.Repeat("\"a\" ", size/8) + "]"), "many of a chain": "COMPONENT t0() { image = \"file://x\" }\n" +
			repeat(size/4, func(b *strings.Builder, i int) {
				fmt.Fprintf(b, "COMPONENT t%d(a = \"${env.X:-y}\") FROM t%d\n", i+1, i)
			}) + "COMPONENT " + half + " FROM t200",
		"components": "COMPONENT " + names(size) + " { image = \"file://x\" }", "connected to one": wide + "CONNECT " + half + " -> a0", "connected from one": wide + "CONNECT a0 -> " + half,
		"mesh": "COMPONENT " + names(5000) + " { image = \"file://x\" port = 80 }\nCONNECT " + names(5000) + " -> " + names(5000) + " NOWAIT", "unknown targets": wide + strings.Repeat("CONNECT zzzzz -> qqqqq\n", size/64),
		"cycle": "COMPONENT " + half + " { image = \"file://x\" }\n" + repeat(size/2, func(b *strings.Builder, i int) { fmt.Fprintf(b, "CONNECT a%d -> a%d\n", i, i+1) }) + "CONNECT a40000 -> a0", "repeated": "COMPONENT a, b { image = \"file://x\" }\n" + fill("CONNECT a -> b\n"),
		"exposures": wide + repeat(size/2, func(b *strings.Builder, i int) { fmt.Fprintf(b, "EXPOSE %d:80\n", 1+i%65535) }), "exposures of one": component("") + repeat(size, func(b *strings.Builder, i int) { fmt.Fprintf(b, "EXPOSE %d:80 TO a\n", 1+i%65535) }),
		"unknown bases": repeat(size, func(b *strings.Builder, i int) { fmt.Fprintf(b, "COMPONENT a%d FROM b%d\n", i, i) }), "same name": "COMPONENT " + fill("a,") + "a { image = \"file://x\" }",
		"unknown properties": component(fill("imgae=1 ")), "same key": "LET a = {" + fill("x = 1 ") + "}", "parameters": "COMPONENT t(" + strings.ReplaceAll(names(size), "a", "p") + ") { image = \"file://x\" }\nCOMPONENT a FROM t",
		"unknown arguments": "COMPONENT t(a) { image = \"file://x\" }\nCOMPONENT a FROM t(" + items("b%d = 1,") + ")", "volumes": component("volumes = [" + items("\"v:/v%d\" ") + "]"), "files": component("files = {" + items("\"/v%d\" = \"\" ") + "}"),
		"secrets": component("secrets = [" + items("\"v%d\" ") + "]"), "egress": component("egress = [" + fill("\"example.org:443\" ") + "]"), "labels": component("labels = { " + entries("v%d") + " }"),
		"connection strings": repeat(size, func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "COMPONENT a%d{port=1 connection_string=\"${a%d.connection_string}\"}", i, i+1)
		}), "ports of others": repeat(size, func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "COMPONENT a%d{image=\"file://x\" port=\"${a%d.port}\"}", i, i+1)
		}), "hosts of others": repeat(size, func(b *strings.Builder, i int) {
			fmt.Fprintf(b, "COMPONENT a%d{image=\"file://x\" port=1 env={A=\"${a%d.host}\"}}", i, i+1)
		}),
		"copy of itself": "COMPONENT a FROM a", "import of itself": "IMPORT \"app.ctst\"\n", "parameter of itself": "COMPONENT t(a) { image = \"x${param.a}\" }\nCOMPONENT b FROM t(a = \"${param.a}\")",
	}
}

// What nests, multiplies or never ends is refused or read; it neither panics
// nor goes on for ever.
func TestHostile(t *testing.T) {
	want := map[string]diag.Code{
		"doubled text": diag.TooLarge, "doubled lists": diag.WrongType, "chain of copies": diag.ImportLimit, "chain of arguments": diag.UnknownComponent,
		"mesh": diag.TooManyLinks, "brackets": diag.NestedTooDeep, "braces": diag.TooManyErrors, "map braces": diag.NestedTooDeep,
		"nonsense": diag.UnexpectedToken, "bare words": diag.TooManyErrors, "quotes": diag.TooManyErrors, "closing": diag.StrayBracket, "words": diag.UnknownStatement,
		"invalid bytes": diag.TooManyErrors, "unknown targets": diag.UnknownComponent, "exposures": diag.ExposureTarget, "same key": diag.DuplicateProperty,
		"copy of itself": diag.FromCycle, "import of itself": diag.ImportCycle, "parameter of itself": diag.UnknownParameter, "many of a map": diag.TooLarge,
		"many of a list": diag.TooLarge, "many of a chain": diag.TooLarge, "same name": diag.TooManyErrors, "unknown properties": diag.UnknownProperty,
		"cycle": diag.UnknownComponent, "secrets": diag.SecretUnset, "connection strings": diag.MissingProperty, "lets": diag.UnusedLet,
	}
	files := hostile(80_000)
	for name := range want {
		require.Contains(t, files, name)
	}
	for name, src := range files {
		t.Run(name, func(t *testing.T) {
			st, found := loadText(src)
			require.Equal(t, found.HasErrors(), st == nil)
			if code := want[name]; code != "" {
				require.Contains(t, slices.Compact(codes(found)), code)
			}
		})
	}
}

// Limits that only a larger file reaches.
func TestLimits(t *testing.T) {
	_, found := loadText("COMPONENT " + names(400_000) + " { image = \"file://x\" }")
	require.Equal(t, []diag.Code{diag.TooLarge}, codes(found))
	_, found = loadText(hostile(1 << 20)["deep let"])
	require.Contains(t, codes(found), diag.TooLarge)
}

// BenchmarkHostile is what the worst files of 4 MiB take.
func BenchmarkHostile(b *testing.B) {
	files := hostile(parser.MaxBytes - 16_000)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			src := files[name][:min(len(files[name]), parser.MaxBytes)]
			for b.Loop() {
				loadText(src)
			}
		})
	}
}
