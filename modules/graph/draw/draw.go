// Package draw shows graphs: in the language of Graphviz (DOT), in that of
// Mermaid, and as a drawing of characters.
//
//	err := draw.Text(os.Stdout, draw.Graph{
//		Nodes: []draw.Node{{Name: "web"}, {Name: "db", Notes: []string{"5432/tcp"}}},
//		Edges: []draw.Edge{{From: "web", To: "db"}},
//	}, draw.TextOptions{})
//
// Names may be any text. They are quoted as each language wants it, and
// characters that cannot be printed are shown as escapes such as \x1b. The same
// graph always gives the same bytes. The package is portable and needs no
// privileges; its functions may be called concurrently.
package draw

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/containust/containust/modules/graph"
)

// Graph is what to draw.
type Graph struct {
	Nodes []Node // each name once
	Edges []Edge // between these nodes; each counts once
}

// Node is a box.
type Node struct {
	Name  string
	Notes []string // further lines below the name
	Round bool     // with round corners
}

// Edge is an arrow between two nodes.
type Edge struct {
	From, To string
	Line     Line
	Label    string // DOT and Mermaid only; see TextOptions.Legend
}

// Line is how an edge looks.
type Line int

// The lines. A double one is bold in DOT and thick in Mermaid.
const (
	Solid Line = iota
	Dashed
	Double
)

// Plain returns a drawing of what a dependency graph holds: an arrow leads from
// a node to what it depends on.
func Plain(g *graph.Graph) Graph {
	var drawn Graph
	for _, name := range g.Nodes() {
		drawn.Nodes = append(drawn.Nodes, Node{Name: name})
		for _, to := range g.Dependencies(name) {
			drawn.Edges = append(drawn.Edges, Edge{From: name, To: to})
		}
	}
	return drawn
}

// index returns the place of each node. An edge that names another node is a
// [*graph.UnknownNodeError].
func (g Graph) index() (map[string]int, error) {
	index := map[string]int{}
	for i, n := range g.Nodes {
		index[n.Name] = i
	}
	for _, e := range g.Edges {
		for _, name := range []string{e.From, e.To} {
			if _, ok := index[name]; !ok {
				return nil, &graph.UnknownNodeError{Name: name, Edge: graph.Edge{From: e.From, To: e.To}}
			}
		}
	}
	return index, nil
}

// DOT writes the graph in the language of Graphviz.
func DOT(w io.Writer, g Graph) error {
	if _, err := g.index(); err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "digraph dependencies {")
	fmt.Fprintln(b, "\trankdir=LR;\n\tnode [shape=box];")
	for _, n := range g.Nodes {
		var attributes []string
		if len(n.Notes) > 0 {
			attributes = append(attributes, "label="+quoteDOT(append([]string{n.Name}, n.Notes...)...))
		}
		if n.Round {
			attributes = append(attributes, "style=rounded")
		}
		fmt.Fprintf(b, "\t%s%s;\n", quoteDOT(n.Name), brackets(attributes))
	}
	for _, e := range g.Edges {
		var attributes []string
		switch e.Line {
		case Dashed:
			attributes = append(attributes, "style=dashed")
		case Double:
			attributes = append(attributes, "style=bold")
		}
		if e.Label != "" {
			attributes = append(attributes, "label="+quoteDOT(e.Label))
		}
		fmt.Fprintf(b, "\t%s -> %s%s;\n", quoteDOT(e.From), quoteDOT(e.To), brackets(attributes))
	}
	fmt.Fprintln(b, "}")
	return finish(b)
}

func brackets(attributes []string) string {
	if len(attributes) == 0 {
		return ""
	}
	return " [" + strings.Join(attributes, ", ") + "]"
}

// finish ends a drawing: a bufio.Writer keeps its first error.
func finish(b *bufio.Writer) error {
	if err := b.Flush(); err != nil {
		return fmt.Errorf("write drawing: %w", err)
	}
	return nil
}

// quoteDOT makes a DOT string of lines. In labels a backslash starts an escape
// such as \N, so each is doubled.
func quoteDOT(lines ...string) string {
	for i, line := range lines {
		lines[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(visible(line))
	}
	return `"` + strings.Join(lines, `\n`) + `"`
}

// Mermaid writes the graph as a Mermaid flowchart.
func Mermaid(w io.Writer, g Graph) error {
	index, err := g.index()
	if err != nil {
		return err
	}
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "flowchart LR")
	for i, n := range g.Nodes {
		lines := []string{quoteMermaid(n.Name)}
		for _, note := range n.Notes {
			lines = append(lines, quoteMermaid(note))
		}
		left, right := "[", "]"
		if n.Round {
			left, right = "(", ")"
		}
		fmt.Fprintf(b, "    n%d%s\"%s\"%s\n", i, left, strings.Join(lines, "<br/>"), right)
	}
	for _, e := range g.Edges {
		arrow := map[Line]string{Solid: "-->", Dashed: "-.->", Double: "==>"}[e.Line]
		if e.Label != "" {
			arrow += `|"` + quoteMermaid(e.Label) + `"|`
		}
		fmt.Fprintf(b, "    n%d %s n%d\n", index[e.From], arrow, index[e.To])
	}
	return finish(b)
}

// quoteMermaid writes everything that may mean something in a label, as HTML,
// Markdown or an entity, by its number.
func quoteMermaid(text string) string {
	var b strings.Builder
	runes := []rune(visible(text))
	for i, r := range runes {
		// "1. a" and "- a" are lists.
		list := (r == '.' || r == '-') && i+1 < len(runes) && runes[i+1] == ' '
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune(" .-_/:,→", r) && !list {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, "#%d;", r)
	}
	return b.String()
}

// visible escapes what cannot be printed.
func visible(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}
