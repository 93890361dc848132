// Package graph orders things that depend on each other: in which layers they
// may start, where they form a cycle, what needs what, and a parallel walk
// that runs each node as soon as everything it depends on is done.
//
//	g, err := graph.New([]string{"db", "api", "web"}, []graph.Edge{
//		{From: "web", To: "api"}, // web depends on api
//		{From: "api", To: "db"},
//	})
//	layers, err := g.Order() // [[db] [api] [web]]
//	err = g.Walk(ctx, graph.WalkOptions{}, func(ctx context.Context, name string) error {
//		return start(ctx, name)
//	})
//
// The algorithms are those of github.com/yourbasic/graph; this package gives
// them names for nodes, results in a stable order, and errors that say where.
// Everything takes time linear in nodes and edges, apart from sorting names.
//
// Package draw, below this one, shows graphs. The package is portable and needs
// no privileges. A [Graph] never changes after [New], so all of its methods may
// be called concurrently.
package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/yourbasic/graph"
)

// Edge says that From depends on To: To comes first.
type Edge struct {
	From, To string
}

// Graph is an immutable dependency graph over named nodes.
type Graph struct {
	// Vertices are numbered in the order of their names, which makes whatever
	// the algorithms return in vertex order sorted by name.
	names []string
	index map[string]int

	dependencies *graph.Immutable // v -> what v depends on
	dependents   *graph.Immutable // v -> what depends on v
}

// UnknownNodeError is returned by [New] for an edge to or from a node that was
// not declared.
type UnknownNodeError struct {
	Name string // the undeclared node
	Edge Edge   // where it was named
}

func (e *UnknownNodeError) Error() string {
	return fmt.Sprintf("unknown node %q in dependency %q -> %q", e.Name, e.Edge.From, e.Edge.To)
}

// CycleError says that the graph has no order because of a cycle.
type CycleError struct {
	Path []string // the nodes along the cycle; the first is repeated at the end
}

func (e *CycleError) Error() string {
	return "dependency cycle: " + strings.Join(e.Path, " -> ")
}

// New makes a graph. Nodes and edges that are given twice count once. An edge
// that names a node which is not among nodes is an [*UnknownNodeError]. Cycles
// are accepted here and found by [Graph.Cycle] and [Graph.Order].
func New(nodes []string, edges []Edge) (*Graph, error) {
	names := slices.Clone(nodes)
	slices.Sort(names)
	names = slices.Compact(names)

	index := make(map[string]int, len(names))
	for v, name := range names {
		index[name] = v
	}

	m := graph.New(len(names))
	for _, e := range edges {
		from, ok := index[e.From]
		if !ok {
			return nil, &UnknownNodeError{Name: e.From, Edge: e}
		}
		to, ok := index[e.To]
		if !ok {
			return nil, &UnknownNodeError{Name: e.To, Edge: e}
		}
		m.Add(from, to)
	}

	return &Graph{
		names:        names,
		index:        index,
		dependencies: graph.Sort(m),
		dependents:   graph.Transpose(m),
	}, nil
}

// Nodes returns the names of all nodes, sorted.
func (g *Graph) Nodes() []string { return slices.Clone(g.names) }

// Dependencies returns what name depends on directly, sorted. It is nil for a
// node without dependencies and for an unknown one.
func (g *Graph) Dependencies(name string) []string { return g.neighbours(g.dependencies, name) }

// Dependents returns what depends on name directly, sorted. It is nil for a
// node that nothing depends on and for an unknown one.
func (g *Graph) Dependents(name string) []string { return g.neighbours(g.dependents, name) }

// AllDependencies returns everything that the named nodes depend on, directly
// or through others, sorted. A named node is among it only if another one of
// them, or a cycle, leads to it. Unknown names are ignored.
func (g *Graph) AllDependencies(names ...string) []string { return g.reach(g.dependencies, names) }

// AllDependents returns everything that needs one of the named nodes, directly
// or through others, sorted. A named node is among it only if it needs another
// one of them, or itself by a cycle. Unknown names are ignored.
func (g *Graph) AllDependents(names ...string) []string { return g.reach(g.dependents, names) }

func (g *Graph) neighbours(edges *graph.Immutable, name string) []string {
	v, ok := g.index[name]
	if !ok {
		return nil
	}
	var out []string
	edges.Visit(v, func(w int, _ int64) bool {
		out = append(out, g.names[w])
		return false
	})
	return out
}

// reach does not use graph.BFS: that takes one start and would visit shared
// parts again for each name.
func (g *Graph) reach(edges *graph.Immutable, names []string) []string {
	var queue []int
	for _, name := range names {
		if v, ok := g.index[name]; ok {
			queue = append(queue, v)
		}
	}
	seen := make([]bool, len(g.names))
	for len(queue) > 0 {
		v := queue[0]
		queue = queue[1:]
		edges.Visit(v, func(w int, _ int64) bool {
			if !seen[w] {
				seen[w] = true
				queue = append(queue, w)
			}
			return false
		})
	}
	var out []string
	for v, ok := range seen {
		if ok {
			out = append(out, g.names[v])
		}
	}
	return out
}

// Order returns the nodes in layers, dependencies first: what is in one layer
// depends only on earlier layers and may start together. Each layer is sorted
// by name, and each node is in the first layer possible. A cycle is a
// [*CycleError].
func (g *Graph) Order() ([][]string, error) {
	order, ok := graph.TopSort(g.dependents)
	if !ok {
		return nil, &CycleError{Path: g.Cycle()}
	}
	level := make([]int, len(g.names))
	depth := 0
	for _, v := range order {
		depth = max(depth, level[v]+1)
		g.dependents.Visit(v, func(w int, _ int64) bool {
			level[w] = max(level[w], level[v]+1)
			return false
		})
	}
	layers := make([][]string, depth)
	for v, l := range level {
		layers[l] = append(layers[l], g.names[v])
	}
	return layers, nil
}

// Cycle returns a cycle as a path whose last element repeats the first, or nil
// if there is none. It is the same for the same graph: the shortest cycle
// through the first node, by name, that is part of any.
func (g *Graph) Cycle() []string {
	if graph.Acyclic(g.dependencies) {
		return nil
	}
	start := len(g.names)
	for _, component := range graph.StrongComponents(g.dependencies) {
		if len(component) > 1 || g.dependencies.Edge(component[0], component[0]) {
			start = min(start, slices.Min(component))
		}
	}

	// BFS reports tree edges in order of distance: the first vertex that has
	// an edge back to start closes a shortest cycle.
	parent := make([]int, len(g.names))
	last := -1
	if g.dependencies.Edge(start, start) {
		last = start
	}
	graph.BFS(g.dependencies, start, func(v, w int, _ int64) {
		parent[w] = v
		if last < 0 && g.dependencies.Edge(w, start) {
			last = w
		}
	})

	path := []string{g.names[start]}
	for v := last; v != start; v = parent[v] {
		path = append(path, g.names[v])
	}
	path = append(path, g.names[start])
	slices.Reverse(path)
	return path
}
