package draw_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/graph/draw"
)

var update = flag.Bool("update", false, "rewrite the goldens")

var legend = map[draw.Line]string{draw.Solid: "needs", draw.Double: "needs very much", draw.Dashed: "likes"}

// parse reads a line for each node: "name: to ~dashed =double | note | note".
// A name in parentheses is round.
func parse(t testing.TB, text string) draw.Graph {
	t.Helper()
	var g draw.Graph
	known := map[string]bool{}
	for line := range strings.Lines(text) {
		parts := strings.Split(strings.TrimSpace(line), " | ")
		name, targets, _ := strings.Cut(parts[0], ":")
		n := draw.Node{Name: strings.Trim(name, "()"), Notes: parts[1:]}
		n.Round = n.Name != name
		require.False(t, known[n.Name], n.Name)
		known[n.Name] = true
		g.Nodes = append(g.Nodes, n)
		for to := range strings.FieldsSeq(targets) {
			e := draw.Edge{From: n.Name, To: to}
			switch to[0] {
			case '~':
				e.To, e.Line, e.Label = to[1:], draw.Dashed, "NOWAIT"
			case '=':
				e.To, e.Line = to[1:], draw.Double
			}
			g.Edges = append(g.Edges, e)
		}
	}
	return g
}

// TestGolden draws "graph" of each archive in every way.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, archives)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			require.NoError(t, err)
			g := parse(t, string(archive.Files[0].Data))
			want := txtar.Archive{Comment: archive.Comment, Files: archive.Files[:1:1]}
			for _, form := range []struct {
				name string
				draw func(*bytes.Buffer) error
			}{
				{"text", func(b *bytes.Buffer) error { return draw.Text(b, g, draw.TextOptions{Legend: legend}) }},
				{"ascii", func(b *bytes.Buffer) error { return draw.Text(b, g, draw.TextOptions{ASCII: true, Legend: legend}) }},
				{"dot", func(b *bytes.Buffer) error { return draw.DOT(b, g) }},
				{"mermaid", func(b *bytes.Buffer) error { return draw.Mermaid(b, g) }},
			} {
				var b bytes.Buffer
				require.NoError(t, form.draw(&b))
				want.Files = append(want.Files, txtar.File{Name: form.name, Data: b.Bytes()})
			}
			if *update {
				require.NoError(t, os.WriteFile(name, txtar.Format(&want), 0o644))
				return
			}
			require.Equal(t, string(txtar.Format(&want)), string(txtar.Format(archive)))
		})
	}
}

func TestPlain(t *testing.T) {
	g, err := graph.New([]string{"web", "db"}, []graph.Edge{{From: "web", To: "db"}})
	require.NoError(t, err)
	var b strings.Builder
	require.NoError(t, draw.Text(&b, draw.Plain(g), draw.TextOptions{}))
	require.Equal(t, "┌─────┐   ┌────┐\n│ web ├──→│ db │\n└─────┘   └────┘\n", b.String())
}

func TestNothing(t *testing.T) {
	var b strings.Builder
	require.NoError(t, draw.Text(&b, draw.Graph{}, draw.TextOptions{Legend: legend}))
	require.Empty(t, b.String())
	require.NoError(t, draw.DOT(&b, draw.Graph{}))
	require.NoError(t, draw.Mermaid(&b, draw.Graph{}))
	require.Equal(t, "digraph dependencies {\n\trankdir=LR;\n\tnode [shape=box];\n}\nflowchart LR\n", b.String())
}

// Nothing in a name is more than a name.
func TestHostileNames(t *testing.T) {
	names := []string{"a\"b", `\N\`, "x\ny", "\x1b[2J", "\u202e", "<b>", "#35;", "`*_", "]);", "1. x", "end", "größe 東京", "", "$&%"}
	var g draw.Graph
	for _, name := range names {
		g.Nodes = append(g.Nodes, draw.Node{Name: name, Notes: []string{name}})
		g.Edges = append(g.Edges, draw.Edge{From: name, To: "end", Label: name})
	}
	var text, dot, mermaid strings.Builder
	require.NoError(t, draw.Text(&text, g, draw.TextOptions{}))
	require.NoError(t, draw.DOT(&dot, g))
	require.NoError(t, draw.Mermaid(&mermaid, g))
	for _, out := range []string{text.String(), dot.String(), mermaid.String()} {
		require.NotContains(t, out, "\x1b")
		require.NotContains(t, out, "\u202e")
	}
	for line := range strings.Lines(dot.String()) {
		inside := false // of quotes
		for i := 0; i < len(line); i++ {
			if line[i] == '\\' {
				i++
			} else if line[i] == '"' {
				inside = !inside
			}
		}
		require.False(t, inside, line)
	}
	require.Contains(t, dot.String(), "\t\"a\\\"b\" [label=\"a\\\"b\\na\\\"b\"];\n")
	require.Contains(t, dot.String(), "\t\"\\\\N\\\\\" [label=\"\\\\N\\\\\\n\\\\N\\\\\"];\n")
	require.Contains(t, dot.String(), "\t\"x\\\\ny\" [label=")
	for _, want := range []string{
		`["a#34;b<br/>a#34;b"]`, `["#92;N#92;<br/>`, `["#60;b#62;<br/>`, `["#35;35#59;<br/>`, `["#96;#42;_<br/>`, `["#93;#41;#59;<br/>`,
		`["1#46; x<br/>`, `["größe 東京<br/>`, `["#36;#38;#37;<br/>`, `n0 -->|"a#34;b"| n10`,
	} {
		require.Contains(t, mermaid.String(), want)
	}
}

func TestErrors(t *testing.T) {
	g := draw.Graph{Nodes: []draw.Node{{Name: "a"}}, Edges: []draw.Edge{{From: "a", To: "b"}}}
	whole := draw.Graph{Nodes: g.Nodes}
	for name, write := range map[string]func(failing, draw.Graph) error{
		"DOT":     func(w failing, g draw.Graph) error { return draw.DOT(w, g) },
		"Mermaid": func(w failing, g draw.Graph) error { return draw.Mermaid(w, g) },
		"Text":    func(w failing, g draw.Graph) error { return draw.Text(w, g, draw.TextOptions{}) },
	} {
		var unknown *graph.UnknownNodeError
		require.ErrorAs(t, write(failing{}, g), &unknown, name)
		require.Equal(t, "b", unknown.Name)
		require.ErrorIs(t, write(failing{}, whole), errWrite, name)
	}
}

var errWrite = errors.New("no")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errWrite }

func BenchmarkText(b *testing.B) {
	for _, n := range []int{30, 300} {
		var g draw.Graph
		for i := range n {
			g.Nodes = append(g.Nodes, draw.Node{Name: fmt.Sprint("n", i)})
			for j := i + 1; j < min(n, i+40); j += 13 {
				g.Edges = append(g.Edges, draw.Edge{From: fmt.Sprint("n", i), To: fmt.Sprint("n", j)})
			}
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				if err := draw.Text(&bytes.Buffer{}, g, draw.TextOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
