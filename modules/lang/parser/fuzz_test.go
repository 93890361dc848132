package parser_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/lang/token"
)

// FuzzParse: any text is parsed without a panic; every range of the tree lies
// inside the file and inside of what it is part of; lines and columns are
// those of the offset.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "\uFEFFCOMPONENT a { image = \"x\" }", "COMPONENT a(b: int = 1, c) FROM d.e(f = [1 2, {}]) { g += UNSET }",
		"IMPORT \"x\" AS y LET a = { \"b\" = true c = \"\"\"\n  ${env.X:-1}\n  \"\"\" }", "CONNECT a, b -> c AS d NOWAIT EXPOSE 1:2/udp TO e EXPOSE \"[::]:1\"",
		"component a: { env { B: 'x', c = yes } port = 08080; } }", "COMPONENT a { b = [ { ( \n /* \n", "a->b-->c =>→ “x” \xff\u202e", "COMPONENT а { env = { \"${\" } }",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		file, found := parser.Parse("f.ctst", []byte(src))
		require.NotNil(t, file)
		inside := func(outer, r token.Range) {
			require.LessOrEqual(t, outer.Start.Offset, r.Start.Offset)
			require.LessOrEqual(t, r.Start.Offset, r.End.Offset)
			require.LessOrEqual(t, r.End.Offset, outer.End.Offset)
			require.Equal(t, position(src, r.Start.Offset), r.Start)
		}
		whole := token.Range{File: "f.ctst", End: token.Pos{Offset: len(src)}}
		for _, s := range file.Statements {
			inside(whole, s.Span())
			visit(s, func(v ast.Value) { inside(whole, v.Span()) })
		}
		for _, c := range file.Comments {
			require.Equal(t, src[c.Start.Offset:c.End.Offset], c.Text)
		}
		for _, d := range found {
			inside(whole, d.Range)
		}
	})
}

// position computes a place from its offset, the slow way.
func position(src string, offset int) token.Pos {
	p := token.Pos{Offset: offset, Line: 1, Column: 1}
	i := 0
	if len(src) >= 3 && src[:3] == "\uFEFF" {
		i = 3
	}
	for i < offset {
		r, size := utf8.DecodeRuneInString(src[i:])
		if r == '\n' {
			p.Line++
			p.Column = 1
		} else {
			p.Column++
		}
		i += size
	}
	return p
}

func visit(s ast.Statement, f func(ast.Value)) {
	var values func(v ast.Value)
	values = func(v ast.Value) {
		if v == nil {
			return
		}
		f(v)
		switch v := v.(type) {
		case *ast.List:
			for _, item := range v.Items {
				values(item)
			}
		case *ast.Map:
			for _, e := range v.Entries {
				values(e.Value)
			}
		}
	}
	switch s := s.(type) {
	case *ast.Let:
		values(s.Value)
	case *ast.Component:
		if s.Body != nil {
			for _, p := range s.Body.Properties {
				values(p.Value)
			}
		}
	}
}
