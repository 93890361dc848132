package draw

import (
	"cmp"
	"slices"
)

// layout is where everything stands. Edges are drawn from left to right: those
// that would go back are turned round, with their head at the left.
type layout struct {
	items   []*item   // boxes first
	columns [][]*item // from left to right, each from top to bottom
	wires   [][]*wire // right of each column
}

// toItself stands in the box of a node with an edge to itself.
const toItself = "leads to itself"

// item is a box, or the place where a wire passes a column.
type item struct {
	box    bool // else a wire passes
	lines  []string
	round  bool
	column int
	place  int // in its column
	top    int // its first row
	rows   int // of a box: without its borders
	in     []*wire
	out    []*wire
}

// wire joins an item with items of the next column. One wire has edges of the
// same item, line and heads.
type wire struct {
	line   Line
	head   bool // at the ends
	tail   bool // at the start
	from   *item
	to     []*item
	tracks []*track // none: it is straight; two: it changes its row
	meet   int      // the row where two tracks meet
}

// height is how many rows an item takes.
func (i *item) height() int {
	if !i.box {
		return 1
	}
	return i.rows + 2
}

// inRow and outRow are where a wire ends and starts, counted from the item's
// first row.
func (i *item) inRow(w *wire) int  { return i.portRow(i.in, w) }
func (i *item) outRow(w *wire) int { return i.portRow(i.out, w) }

func (i *item) portRow(ports []*wire, w *wire) int {
	if !i.box {
		return 0
	}
	return 1 + (i.rows-len(ports))/2 + slices.Index(ports, w)
}

// maxItems bounds a layout: boxes, wires, and the places where these pass.
const maxItems = 3000

// arrange works out a layout.
func arrange(g Graph, index map[string]int) (*layout, error) {
	if len(g.Nodes) > maxItems {
		return nil, ErrTooLarge
	}
	l := &layout{}
	for _, n := range g.Nodes {
		lines := []string{visible(n.Name)}
		for _, note := range n.Notes {
			lines = append(lines, visible(note))
		}
		l.items = append(l.items, &item{box: true, lines: lines, round: n.Round})
	}
	for _, e := range g.Edges {
		if it := l.items[index[e.From]]; e.From == e.To && !slices.Contains(it.lines, toItself) {
			it.lines = append(it.lines, toItself)
		}
	}
	edges := merged(g, index)
	l.assignColumns(edges)
	if l.itemsOf(edges) > maxItems {
		return nil, ErrTooLarge
	}
	l.connect(edges)
	l.order()
	l.size()
	l.stack()
	return l, nil
}

// itemsOf is how many items there will be at most, each edge counted as one more.
func (l *layout) itemsOf(edges []edge) int {
	n := len(l.items)
	for _, e := range edges {
		n += l.items[e.to].column - l.items[e.from].column
	}
	return n
}

// edge leads from left to right.
type edge struct {
	from, to   int
	line       Line
	head, tail bool
}

// merged returns each edge once, from left to right, and edges that lead to and
// fro between two nodes as one with two heads.
func merged(g Graph, index map[string]int) []edge {
	rank := ranks(g, index)
	type key struct {
		from, to int
		line     Line
	}
	known := map[key]int{}
	var edges []edge
	for _, e := range g.Edges {
		k := key{index[e.From], index[e.To], e.Line}
		if k.from == k.to {
			continue // a line of its box
		}
		back := rank[k.from] > rank[k.to]
		if back {
			k.from, k.to = k.to, k.from
		}
		i, ok := known[k]
		if !ok {
			i = len(edges)
			known[k] = i
			edges = append(edges, edge{from: k.from, to: k.to, line: k.line})
		}
		edges[i].head = edges[i].head || !back
		edges[i].tail = edges[i].tail || back
	}
	return edges
}

// ranks numbers the nodes so that edges lead from lower to higher numbers,
// solid and double ones before dashed ones where not all can.
func ranks(g Graph, index map[string]int) []int {
	n := len(g.Nodes)
	out := make([][]edge, n)
	waiting := make([][2]int, n) // edges from nodes without a number
	count := func(e edge, by int) {
		kind := 0
		if e.line == Dashed {
			kind = 1
		}
		waiting[e.to][kind] += by
	}
	for _, e := range g.Edges {
		if d := (edge{from: index[e.From], to: index[e.To], line: e.Line}); d.from != d.to {
			out[d.from] = append(out[d.from], d)
			count(d, 1)
		}
	}
	rank := make([]int, n)
	left := make([]int, n)
	for i := range left {
		left[i] = i
	}
	for next := range n {
		at := 0
		for i, v := range left {
			if slices.Compare(waiting[v][:], waiting[left[at]][:]) < 0 {
				at = i
			}
		}
		v := left[at]
		left = slices.Delete(left, at, at+1)
		rank[v] = next
		for _, e := range out[v] {
			count(e, -1)
		}
	}
	return rank
}

// assignColumns puts each node as far to the right as what it leads to allows,
// and nodes without edges into the first column.
func (l *layout) assignColumns(edges []edge) {
	out := make([][]int, len(l.items))
	degree := make([]int, len(l.items))
	for _, e := range edges {
		out[e.from] = append(out[e.from], e.to)
		degree[e.from]++
		degree[e.to]++
	}
	depth := make([]int, len(l.items)) // 0: not known yet
	var visit func(v int) int
	visit = func(v int) int {
		if depth[v] == 0 {
			longest := 0
			for _, to := range out[v] {
				longest = max(longest, visit(to))
			}
			depth[v] = longest + 1
		}
		return depth[v]
	}
	deepest := 0
	for v := range l.items {
		deepest = max(deepest, visit(v))
	}
	l.columns = make([][]*item, deepest)
	for _, alone := range []bool{false, true} {
		for v, it := range l.items {
			if alone != (degree[v] == 0) {
				continue
			}
			it.column = deepest - depth[v]
			if alone {
				it.column = 0
			}
			l.columns[it.column] = append(l.columns[it.column], it)
		}
	}
}

// connect makes the wires, with an item in each column that one passes.
func (l *layout) connect(edges []edge) {
	type key struct {
		from       int
		line       Line
		head, tail bool
	}
	ends := map[key]*wire{} // so far
	l.wires = make([][]*wire, len(l.columns))
	add := func(w *wire) *wire {
		l.wires[w.from.column] = append(l.wires[w.from.column], w)
		w.from.out = append(w.from.out, w)
		return w
	}
	// Nearer ones first: wires grow from column to column.
	edges = slices.Clone(edges)
	slices.SortStableFunc(edges, func(a, b edge) int {
		return cmp.Compare(l.items[a.to].column, l.items[b.to].column)
	})
	for _, e := range edges {
		k := key{e.from, e.line, e.head, e.tail}
		w := ends[k]
		if w == nil {
			w = add(&wire{line: e.line, head: e.head, tail: e.tail, from: l.items[e.from]})
		}
		to := l.items[e.to]
		for w.from.column+1 < to.column {
			pass := &item{column: w.from.column + 1}
			l.items = append(l.items, pass)
			l.columns[pass.column] = append(l.columns[pass.column], pass)
			w.join(pass)
			w = add(&wire{line: w.line, head: w.head, tail: w.tail, from: pass})
		}
		w.join(to)
		ends[k] = w
	}
}

func (w *wire) join(to *item) {
	w.to = append(w.to, to)
	to.in = append(to.in, w)
}

// size gives boxes the rows that their text and wires need.
func (l *layout) size() {
	for _, it := range l.items {
		if it.box {
			it.rows = max(len(it.lines), len(it.in), len(it.out))
		}
	}
}
