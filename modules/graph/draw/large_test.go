package draw_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/graph/draw"
)

func TestTooLarge(t *testing.T) {
	many := draw.Graph{}
	for i := range 30_000 {
		many.Nodes = append(many.Nodes, draw.Node{Name: fmt.Sprint(i)})
	}
	dense := draw.Graph{Nodes: many.Nodes[:600]}
	for to := range 600 {
		for from := range to {
			dense.Edges = append(dense.Edges, draw.Edge{From: fmt.Sprint(from), To: fmt.Sprint(to)})
		}
	}
	for name, g := range map[string]draw.Graph{"many nodes": many, "edges over many columns": dense} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, draw.Text(io.Discard, g, draw.TextOptions{}), draw.ErrTooLarge)
			require.NoError(t, draw.DOT(io.Discard, g))
			require.NoError(t, draw.Mermaid(io.Discard, g))
		})
	}
	var chain strings.Builder
	long := draw.Graph{Nodes: many.Nodes[:500]}
	for i := range 499 {
		long.Edges = append(long.Edges, draw.Edge{From: fmt.Sprint(i), To: fmt.Sprint(i + 1)})
	}
	require.NoError(t, draw.Text(&chain, long, draw.TextOptions{}))
	require.Contains(t, chain.String(), "499")
}
