package format_test

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/format"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/resolve"
	"github.com/containust/containust/modules/lang/scanner"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// seeds are all .ctst texts at hand.
func seeds(t testing.TB) []string {
	t.Helper()
	var texts []string
	for _, pattern := range []string{"testdata/*.txtar", "../specsuite/testdata/*.txtar"} {
		archives, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, archives, pattern)
		for _, name := range archives {
			archive, err := txtar.ParseFile(name)
			require.NoError(t, err)
			for _, f := range archive.Files {
				if strings.Contains(f.Name, ".ctst") {
					texts = append(texts, string(f.Data))
				}
			}
		}
	}
	// Not there where the module was fetched alone.
	examples, err := filepath.Glob("../../../examples/*/*.ctst.in")
	require.NoError(t, err)
	for _, name := range examples {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		texts = append(texts, string(text))
	}
	return texts
}

// FuzzSource: a file with errors gives no text; any other comes out so that
// formatting it again changes nothing, with the same tree, the same comments
// in their order, and the same stack or errors. The salt says which comments
// and blanks are put between the words of the text before.
func FuzzSource(f *testing.F) {
	for i, text := range append(seeds(f), corners...) {
		f.Add(text, uint64(0))
		f.Add(text, uint64(i+1))
	}
	f.Fuzz(func(t *testing.T, src string, salt uint64) {
		if salt != 0 {
			src = sprinkled(src, rand.New(rand.NewPCG(salt, 1)))
		}
		check(t, src)
	})
}

// TestSprinkled is a piece of FuzzSource that always runs.
func TestSprinkled(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, text := range append(seeds(t), corners...) {
		check(t, text)
		for range 40 {
			check(t, sprinkled(text, random))
		}
	}
}

var corners = []string{
	"\uFEFFLET a = 1", "LET a = \"\"\"\r\n  b\r\r\n \r\n  \"\"\"", "LET a = \"\"\"\n\t b\n\t  c\n\t \"\"\"", "LET a=[1//b\r\r\n,//c\n2/*d\n*//*e*/]",
	"EXPOSE 1// a\n:2/ /*b*/udp/*c*/TO//\nd", "LET a = \"\"\"  b\n  ${env.C:-\n   d}\n  \"\"\"", "COMPONENT a { b = { c = [[\n1]{d=\"\"\"\n\"\"\"}] } }",
	"/* a\n  b */ LET c = 1 /* d\n e */ /* f */\n\n /* g\nh */ LET i = 2", "COMPONENT a(b:int=1//c\n//d\n,//e\nf)FROM g . h(i=//j\n{k=1})//l\n{}",
	"LET a = {\n b = 1 c = 2, d = [ 3 ] e = [[] {} [{}]]\n}", "COMPONENT a FROM b() CONNECT a , c -> d AS e NOWAIT EXPOSE 1 TO a",
}

var fillers = []string{
	" ", " ", "\n", "\n\n", "\r\n\r\n\r\n", "\t", "// x\n", "\n# x \n", " /* x */ ", "/**/", "\n/* x */\n", "\n\n  /* x\n  y */", "\n\n// x\n\n",
}

// sprinkled is a text with other comments and blanks between its words.
func sprinkled(src string, random *rand.Rand) string {
	s := scanner.New("f.ctst", []byte(src))
	var out strings.Builder
	at := 0
	for {
		tok := s.Next()
		out.WriteString(src[at:tok.Start.Offset])
		if len(s.Diagnostics()) > 0 {
			return src
		}
		for range max(0, random.IntN(5)-2) {
			out.WriteString(fillers[random.IntN(len(fillers))])
		}
		if tok.Kind == token.EOF {
			return out.String()
		}
		out.WriteString(src[tok.Start.Offset:tok.End.Offset])
		at = tok.End.Offset
	}
}

// check holds what FuzzSource says.
func check(t *testing.T, src string) {
	got, found := format.Source("f.ctst", []byte(src))
	tree, parsed := parser.Parse("f.ctst", []byte(src))
	if found.HasErrors() {
		require.Nil(t, got)
		require.Equal(t, parsed, found)
		return
	}
	require.Empty(t, parsed)
	again, found := format.Source("f.ctst", got)
	require.Empty(t, found, "%s", got)
	require.Equal(t, string(got), string(again), "formatted twice, from\n%s", src)

	after, _ := parser.Parse("f.ctst", got)
	require.Equal(t, comments(tree), comments(after), src)
	require.Equal(t, plainTree(tree), plainTree(after), src)
	require.Equal(t, meaning(src), meaning(string(got)), src)
	require.True(t, len(got) == 0 || got[len(got)-1] == '\n' && !strings.HasSuffix(string(got), "\n\n"), src)
}

// comments are the texts of all comments, without the blanks around lines.
func comments(file *ast.File) []string {
	var texts []string
	for _, c := range file.Comments {
		lines := strings.Split(c.Text, "\n")
		for i := range lines {
			lines[i] = strings.Trim(lines[i], " \t\r")
		}
		texts = append(texts, strings.Join(lines, "\n"))
	}
	return texts
}

// plainTree is the tree without its comments and places.
func plainTree(file *ast.File) *ast.File {
	file.Comments = nil
	withoutPlaces(reflect.ValueOf(file))
	return file
}

// meaning is what a file deploys, or what is wrong with it.
func meaning(src string) any {
	st, found := resolve.Load(context.Background(), "f.ctst", resolve.Options{
		ReadFile: func(name string) ([]byte, error) {
			if name == "f.ctst" {
				return []byte(src), nil
			}
			return nil, fs.ErrNotExist
		},
		LookupEnv:    func(name string) (string, bool) { return name, len(name)%2 == 0 },
		LookupSecret: func(name string) (string, error) { return name, nil },
		CPUs:         2,
	})
	for i := range found {
		found[i].Detail = "" // may name lines
	}
	found.Sort()
	withoutPlaces(reflect.ValueOf(st))
	withoutPlaces(reflect.ValueOf(found))
	return struct {
		Stack *stack.Stack
		Found diag.List
	}{st, found}
}

var rangeType = reflect.TypeFor[token.Range]()

// withoutPlaces makes all ranges below a value zero.
func withoutPlaces(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			withoutPlaces(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			withoutPlaces(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if v.Type().Elem() == rangeType {
				v.SetMapIndex(key, reflect.Zero(rangeType))
			}
		}
	case reflect.Struct:
		if v.Type() == rangeType {
			v.SetZero()
			return
		}
		for i := range v.NumField() {
			withoutPlaces(v.Field(i))
		}
	}
}
