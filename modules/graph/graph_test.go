package graph

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// parse makes a graph of "a: b c; b: c; d": a depends on b and c, and so on.
func parse(t testing.TB, text string) *Graph {
	t.Helper()
	var nodes []string
	var edges []Edge
	for part := range strings.SplitSeq(text, ";") {
		from, to, _ := strings.Cut(strings.TrimSpace(part), ":")
		if from == "" {
			continue
		}
		nodes = append(nodes, from)
		for _, name := range strings.Fields(to) {
			nodes = append(nodes, name)
			edges = append(edges, Edge{From: from, To: name})
		}
	}
	g, err := New(nodes, edges)
	require.NoError(t, err)
	return g
}

func TestNew(t *testing.T) {
	_, err := New([]string{"a"}, []Edge{{From: "a", To: "b"}})
	var unknown *UnknownNodeError
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, UnknownNodeError{Name: "b", Edge: Edge{From: "a", To: "b"}}, *unknown)
	require.EqualError(t, err, `unknown node "b" in dependency "a" -> "b"`)

	_, err = New([]string{"b"}, []Edge{{From: "a", To: "b"}})
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, "a", unknown.Name)

	g, err := New([]string{"b", "a", "b"}, []Edge{{From: "a", To: "b"}, {From: "a", To: "b"}})
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, g.Nodes())
	require.Equal(t, []string{"b"}, g.Dependencies("a"))
}

func TestNeighbours(t *testing.T) {
	g := parse(t, "web: api cache; api: db cache; db: disk; cache: disk; other")
	tests := []struct {
		got  []string
		want string
	}{
		{g.Dependencies("web"), "api cache"},
		{g.Dependencies("disk"), ""},
		{g.Dependencies("unknown"), ""},
		{g.Dependents("disk"), "cache db"},
		{g.Dependents("web"), ""},
		{g.AllDependencies("web"), "api cache db disk"},
		{g.AllDependencies("api", "cache"), "cache db disk"},
		{g.AllDependents("db"), "api web"},
		{g.AllDependents("disk"), "api cache db web"},
		{g.AllDependents("db", "cache", "unknown"), "api web"},
		{g.AllDependents("other"), ""},
	}
	for i, tt := range tests {
		require.Equal(t, strings.Fields(tt.want), append([]string{}, tt.got...), "case %d", i)
	}
	require.Equal(t, []string{"a", "b"}, parse(t, "a: b; b: a").AllDependents("a"), "a node of a cycle needs itself")
}

func TestOrder(t *testing.T) {
	tests := []struct {
		graph string
		want  [][]string
	}{
		{"", [][]string{}},
		{"b; a", [][]string{{"a", "b"}}},
		{"c: b; b: a", [][]string{{"a"}, {"b"}, {"c"}}},
		{"web: api cache; api: db cache; db: disk; cache: disk; other", [][]string{{"disk", "other"}, {"cache", "db"}, {"api"}, {"web"}}},
	}
	for _, tt := range tests {
		got, err := parse(t, tt.graph).Order()
		require.NoError(t, err, tt.graph)
		require.Equal(t, tt.want, got, tt.graph)
	}
}

func TestCycle(t *testing.T) {
	tests := []struct{ graph, want string }{
		{"a: b; b: c", ""},
		{"a: a", "a -> a"},
		{"a: b; b: a", "a -> b -> a"},
		{"x: c; c: b; b: a; a: c", "a -> c -> b -> a"},
		{"a: b; b: c; c: d; d: a; b: a", "a -> b -> a"}, // not the long way round
		{"a: z; z: y; y: z", "y -> z -> y"},             // a leads to a cycle but is not on it
		{"d: e; e: d; b: c; c: b", "b -> c -> b"},
	}
	for _, tt := range tests {
		g := parse(t, tt.graph)
		require.Equal(t, tt.want, strings.Join(g.Cycle(), " -> "), tt.graph)
		_, err := g.Order()
		if tt.want == "" {
			require.NoError(t, err)
			continue
		}
		var cycle *CycleError
		require.ErrorAs(t, err, &cycle, tt.graph)
		require.EqualError(t, err, "dependency cycle: "+tt.want)
	}
}

// random returns n nodes with about m edges; without cycles if acyclic.
func random(r *rand.Rand, n, m int, acyclic bool) ([]string, []Edge) {
	nodes := make([]string, n)
	for i := range nodes {
		nodes[i] = fmt.Sprintf("n%05d", i)
	}
	r.Shuffle(n, func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	var edges []Edge
	for range m {
		i, j := r.IntN(n), r.IntN(n)
		if acyclic && i == j {
			continue
		}
		if acyclic && i < j {
			i, j = j, i
		}
		edges = append(edges, Edge{From: nodes[i], To: nodes[j]})
	}
	return nodes, edges
}

// closure is the transitive closure by brute force.
func closure(nodes []string, edges []Edge) map[Edge]bool {
	reach := make(map[Edge]bool)
	for _, e := range edges {
		reach[e] = true
	}
	for _, k := range nodes {
		for _, i := range nodes {
			for _, j := range nodes {
				if reach[Edge{i, k}] && reach[Edge{k, j}] {
					reach[Edge{i, j}] = true
				}
			}
		}
	}
	return reach
}

// longest is the length of the longest way down from a node, by brute force.
func longest(name string, edges []Edge) int {
	depth := 0
	for _, e := range edges {
		if e.From == name {
			depth = max(depth, 1+longest(e.To, edges))
		}
	}
	return depth
}

func check(t *testing.T, nodes []string, edges []Edge) {
	g, err := New(nodes, edges)
	require.NoError(t, err)
	reach := closure(nodes, edges)
	cyclic := slices.ContainsFunc(nodes, func(n string) bool { return reach[Edge{n, n}] })

	for _, a := range nodes {
		for _, b := range nodes {
			require.Equal(t, reach[Edge{a, b}], slices.Contains(g.AllDependencies(a), b), "%s needs %s in %v", a, b, edges)
			require.Equal(t, reach[Edge{a, b}], slices.Contains(g.AllDependents(b), a), "%s needs %s in %v", a, b, edges)
		}
	}

	cycle := g.Cycle()
	require.Equal(t, cyclic, cycle != nil, "cycle %v in %v", cycle, edges)
	if cyclic {
		require.Equal(t, cycle[0], cycle[len(cycle)-1])
		for i := range len(cycle) - 1 {
			require.Contains(t, edges, Edge{cycle[i], cycle[i+1]}, "cycle %v", cycle)
			require.Equal(t, i, slices.Index(cycle, cycle[i]), "cycle %v visits a node twice", cycle)
		}
		_, err := g.Order()
		require.Equal(t, &CycleError{Path: cycle}, err)
		return
	}

	layers, err := g.Order()
	require.NoError(t, err)
	count := 0
	for l, layer := range layers {
		require.True(t, slices.IsSorted(layer))
		for _, name := range layer {
			count++
			require.Equal(t, longest(name, edges), l, "layer of %s in %v", name, edges)
		}
	}
	require.Equal(t, len(g.Nodes()), count)
}

func TestRandomAgainstBruteForce(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(9)
		nodes, edges := random(r, n, r.IntN(2*n), seed%2 == 0)
		check(t, nodes, edges)
	}
}

func FuzzGraph(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0x12, 0x23, 0x31})
	f.Add([]byte{0x11})
	f.Add([]byte{0x10, 0x20, 0x31, 0x32, 0x43})
	nodes := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 12 { // brute force is exponential
			data = data[:12]
		}
		var edges []Edge
		for _, b := range data {
			edges = append(edges, Edge{From: nodes[b>>4&7], To: nodes[b&7]})
		}
		check(t, nodes, edges)
	})
}

// A chain is the deepest graph there is.
func TestLongChain(t *testing.T) {
	const n = 100_000
	nodes := make([]string, n)
	var edges []Edge
	for i := range nodes {
		nodes[i] = fmt.Sprintf("n%06d", i)
		if i > 0 {
			edges = append(edges, Edge{From: nodes[i], To: nodes[i-1]})
		}
	}
	g, err := New(nodes, edges)
	require.NoError(t, err)
	layers, err := g.Order()
	require.NoError(t, err)
	require.Len(t, layers, n)

	g, err = New(nodes, append(edges, Edge{From: nodes[0], To: nodes[n-1]}))
	require.NoError(t, err)
	require.Len(t, g.Cycle(), n+1)
}

func BenchmarkNew(b *testing.B) {
	nodes, edges := random(rand.New(rand.NewPCG(1, 1)), 10_000, 20_000, true)
	for b.Loop() {
		if _, err := New(nodes, edges); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOrder(b *testing.B) {
	nodes, edges := random(rand.New(rand.NewPCG(1, 1)), 10_000, 20_000, true)
	g, err := New(nodes, edges)
	require.NoError(b, err)
	for b.Loop() {
		if _, err := g.Order(); err != nil {
			b.Fatal(err)
		}
	}
}
