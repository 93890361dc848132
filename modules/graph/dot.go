package graph

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// DOT writes the graph in the DOT language of Graphviz; an arrow leads from a
// node to what it depends on. The same graph gives the same bytes. Names are
// quoted, and their control characters are shown as \xNN.
func (g *Graph) DOT(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "digraph dependencies {")
	for _, name := range g.names {
		fmt.Fprintf(b, "\t%s;\n", quote(name))
	}
	for v, name := range g.names {
		g.dependencies.Visit(v, func(w int, _ int64) bool {
			fmt.Fprintf(b, "\t%s -> %s;\n", quote(name), quote(g.names[w]))
			return false
		})
	}
	fmt.Fprintln(b, "}")
	if err := b.Flush(); err != nil { // a bufio.Writer keeps its first error
		return fmt.Errorf("write graph: %w", err)
	}
	return nil
}

// quote makes a DOT string. A label that contains a backslash would be read as
// an escape such as \N, so each is doubled.
func quote(name string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range name {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\\x%02x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
