package render

import (
	"fmt"

	"github.com/containust/containust/modules/graph/draw"
	"github.com/containust/containust/modules/lang/stack"
)

// Graph is a stack as it is drawn: jobs round and noted, exposed ports noted,
// links that a reference made double, those with NOWAIT dashed.
func Graph(s *stack.Stack) draw.Graph {
	var g draw.Graph
	for _, c := range s.Components {
		n := draw.Node{Name: c.Name, Round: c.Job}
		if c.Job {
			n.Notes = append(n.Notes, "job")
		}
		for _, e := range s.Exposures {
			if e.Component == c.Name {
				n.Notes = append(n.Notes, fmt.Sprintf("%s → %d", endpoint(e.Address, e.HostPort, e.Protocol), e.Port))
			}
		}
		g.Nodes = append(g.Nodes, n)
	}
	for _, l := range s.Links {
		e := draw.Edge{From: l.From, To: l.To}
		switch {
		case l.NoWait:
			e.Line, e.Label = draw.Dashed, "NOWAIT"
		case l.Implied:
			e.Line, e.Label = draw.Double, "reference"
		}
		g.Edges = append(g.Edges, e)
	}
	return g
}

// Legend says what the lines of [Graph] mean.
func Legend() map[draw.Line]string {
	return map[draw.Line]string{
		draw.Solid:  "starts after",
		draw.Double: "starts after, because of a reference such as ${db.host}",
		draw.Dashed: "NOWAIT: may reach, in no order",
	}
}
