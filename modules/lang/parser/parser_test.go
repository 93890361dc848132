package parser_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
)

// Every form of the grammar is read without a word.
func TestGrammar(t *testing.T) {
	for _, src := range []string{
		"", "// only a comment",
		`IMPORT "a.ctst"`, `IMPORT "a.ctst" AS b`,
		`LET a = 1`, `LET a = UNSET`, `LET a = """x"""`, `LET a = [1 2, [3], {},]`, `LET a = { b = 1 "c" = true, FROM = "x" LET = 2, }`, `LET a = []`,
		`COMPONENT a { }`, `COMPONENT a, b, c { x = 1, y += [2] z = UNSET }`, `COMPONENT a() { }`, `COMPONENT a(b, c: int, d = 1, e: list = [],) { }`,
		`COMPONENT a FROM b`, `COMPONENT a FROM b.c`, `COMPONENT a FROM b()`, `COMPONENT a FROM b(c = 1, d = "x",) { }`, `COMPONENT a(b: map = {}) FROM c(d = "${param.b}")`,
		`COMPONENT a, b FROM c { x = 1 }`,
		`CONNECT a -> b`, `CONNECT a,b->c , d NOWAIT`, `CONNECT a -> b AS c`, `CONNECT a -> b AS c NOWAIT`,
		`EXPOSE 80`, `EXPOSE 80:81`, `EXPOSE 53/udp`, `EXPOSE 1:2/tcp TO a`, `EXPOSE "x"`, `EXPOSE "[::1]:80" TO a`,
		"COMPONENT\na\n{\nx\n=\n1\n}\nCONNECT\na\n->\nb", "COMPONENT a{x=1}COMPONENT b{y=[\"z\"]}CONNECT a->b",
		"COMPONENT a { /* c */ x /* d */ = /* e */ 1 } # end",
	} {
		_, found := parser.Parse("t.ctst", []byte(src))
		require.Empty(t, found, "%s", src)
	}
}

func TestTree(t *testing.T) {
	src := "# first\nCOMPONENT a, b(p: int = 1) FROM c.d(e = \"${env.F:-g}\") {\n  x += [UNSET, -1_0.5] // last\n}\nCONNECT a -> b AS n NOWAIT\nEXPOSE 1:2/udp TO a"
	file, _ := parser.Parse("t.ctst", []byte(strings.Replace(src, ", b(", "(", 1)))
	require.Len(t, file.Statements, 3)
	require.Len(t, file.Comments, 2)
	require.Equal(t, "// last", file.Comments[1].Text)
	c := file.Statements[0].(*ast.Component)
	require.Equal(t, "a", c.Names[0].Name)
	require.Equal(t, "int", c.Params.List[0].Type.Name)
	require.Equal(t, "c", c.From.Alias.Name)
	require.Equal(t, "d", c.From.Name.Name)
	ref := c.From.Args[0].Value.(*ast.String).Only()
	require.Equal(t, ast.Reference{Range: ref.Range, Root: "env", Name: "F", HasDefault: true, Default: "g"}, *ref)
	x := c.Body.Properties[0]
	require.True(t, x.Append)
	require.IsType(t, &ast.Unset{}, x.Value.(*ast.List).Items[0])
	require.Equal(t, "-1_0.5", x.Value.(*ast.List).Items[1].(*ast.Number).Text)
	connect := file.Statements[1].(*ast.Connect)
	require.True(t, connect.NoWait)
	require.Equal(t, "n", connect.Alias.Name)
	expose := file.Statements[2].(*ast.Expose)
	require.Equal(t, []string{"1", "2", "udp", "a"}, []string{expose.Host.Text, expose.Container.Text, expose.Protocol.Name, expose.Target.Name})
}

// After each error the parser goes on: the tree has what was right.
func TestRecovery(t *testing.T) {
	for _, c := range []struct {
		src        string
		code       diag.Code
		properties []string // of the first component
		statements int
	}{
		{"COMPONENT a { = x = 1 }\nCONNECT a -> b", diag.UnexpectedToken, []string{"x"}, 2},
		{"COMPONENT a { x = (1 2) y = 1 }\nCONNECT a -> b", diag.UnexpectedToken, []string{"x", "y"}, 2},
		{"COMPONENT a { x = { b = 1 ) } y = 2 }\nCONNECT a -> b", diag.StrayBracket, []string{"x", "y"}, 2},
		{"COMPONENT a { x = [ 1 y = 2 }\nCONNECT a -> b", diag.UnclosedBracket, []string{"x"}, 2},
		{"COMPONENT a {\n x = [ 1\n y = 2 }\nCONNECT a -> b", diag.UnclosedBracket, []string{"x", "y"}, 2},
		{"COMPONENT a { x = 1\nCONNECT a -> b", diag.UnclosedBracket, []string{"x"}, 2},
		{"COMPONENT a { x: 1, y: 2 }\nCONNECT a -> b", diag.ColonForEquals, []string{"x", "y"}, 2},
		{"COMPONENT a { x = 'b' y = 2 }\nCONNECT a -> b", diag.WrongQuotes, []string{"x", "y"}, 2},
		{"COMPONENT a { x = \"b\n y = 2 }\nCONNECT a -> b", diag.UnclosedString, []string{"x", "y"}, 2},
		{"COMPONENT a { x = tar://b.tar y = 2 }\nCONNECT a -> b", diag.BareWord, []string{"x", "y"}, 2},
		{"COMPONENT a { x }\nCONNECT a ->\nCONNECT a -> b", diag.MissingValue, []string{"x"}, 2},
		{"COMPONENT a(b { x = 1 }\nCONNECT a -> b", diag.UnclosedBracket, []string{"x"}, 2},
	} {
		file, found := parser.Parse("t.ctst", []byte(c.src))
		require.NotEmpty(t, found, c.src)
		require.Equal(t, c.code, found[0].Code, c.src)
		var names []string
		for _, p := range file.Statements[0].(*ast.Component).Body.Properties {
			names = append(names, p.Name.Name)
		}
		require.Equal(t, c.properties, names, c.src)
		require.Len(t, file.Statements, c.statements, c.src)
	}
}

func TestLimits(t *testing.T) {
	nested := func(n int) []byte { return []byte("LET a = " + strings.Repeat("[", n) + strings.Repeat("]", n)) }
	_, found := parser.Parse("t.ctst", nested(parser.MaxDepth))
	require.Empty(t, found)
	_, found = parser.Parse("t.ctst", nested(parser.MaxDepth+1))
	require.Len(t, found, 1)
	require.Equal(t, diag.NestedTooDeep, found[0].Code)
	_, found = parser.Parse("t.ctst", make([]byte, parser.MaxBytes+1))
	require.Len(t, found, 1)
	require.Equal(t, diag.FileTooLarge, found[0].Code)
}
