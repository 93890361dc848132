package draw_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/graph/draw"
)

// The tests here read drawings as a person does, by the rules that Text states,
// and compare what they say with the graph.

const (
	left = 1 << iota
	right
	up
	down
)

// arms are the directions that a line character has.
var arms = map[rune]int{
	'─': left | right, '┄': left | right, '═': left | right,
	'│': up | down, '┆': up | down, '║': up | down,
	'┌': right | down, '╔': right | down, '┐': left | down, '╗': left | down,
	'└': right | up, '╚': right | up, '┘': left | up, '╝': left | up,
	'├': right | up | down, '╠': right | up | down, '┤': left | up | down, '╣': left | up | down,
	'┬': left | right | down, '╦': left | right | down, '┴': left | right | up, '╩': left | right | up,
	'┼': left | right | up | down, '╬': left | right | up | down,
}

type point struct{ x, y int }

func (p point) moved(direction int) point {
	switch direction {
	case left:
		p.x--
	case right:
		p.x++
	case up:
		p.y--
	default:
		p.y++
	}
	return p
}

// drawing is a text as a grid, with its boxes.
type drawing struct {
	t     *testing.T
	text  string
	rows  [][]rune
	left  map[point]string // left borders
	right map[point]string
}

func (d *drawing) at(p point) rune {
	if p.y < 0 || p.y >= len(d.rows) || p.x < 0 || p.x >= len(d.rows[p.y]) {
		return ' '
	}
	return d.rows[p.y][p.x]
}

var name = regexp.MustCompile(`n\d+`)

func readDrawing(t *testing.T, text string) *drawing {
	d := &drawing{t: t, text: text, left: map[point]string{}, right: map[point]string{}}
	for line := range strings.Lines(text) {
		d.rows = append(d.rows, []rune(strings.TrimSuffix(line, "\n")))
	}
	for y, row := range d.rows {
		for _, at := range name.FindAllStringIndex(string(row), -1) {
			start := len([]rune(string(row)[:at[0]]))
			d.box(point{start, y}, string(row)[at[0]:at[1]])
		}
	}
	return d
}

// box finds the borders of the box that a name stands in.
func (d *drawing) box(at point, name string) {
	from, to := at, at
	for !strings.ContainsRune("│┤╡", d.at(from)) {
		from.x--
	}
	for !strings.ContainsRune("│├╞", d.at(to)) {
		to.x++
	}
	top := at.y
	for !strings.ContainsRune("┌╭", d.at(point{from.x, top})) {
		top--
		require.GreaterOrEqual(d.t, top, 0, d.text)
	}
	require.Contains(d.t, "┐╮", string(d.at(point{to.x, top})), d.text)
	y := top + 1
	for ; !strings.ContainsRune("└╰", d.at(point{from.x, y})); y++ {
		for _, border := range []point{{from.x, y}, {to.x, y}} {
			require.Contains(d.t, "│┤╡├╞", string(d.at(border)), d.text)
		}
		d.left[point{from.x, y}] = name
		d.right[point{to.x, y}] = name
	}
	require.Contains(d.t, "┘╯", string(d.at(point{to.x, y})), d.text)
}

// edges follows every line from the right border where it starts.
func (d *drawing) edges() []string {
	var edges []string
	for start, from := range d.right {
		next := start.moved(right)
		tail := d.at(next) == '←'
		switch {
		case tail:
			require.Equal(d.t, '│', d.at(start), d.text)
			next = next.moved(right)
		case strings.ContainsRune("├╞", d.at(start)):
		default:
			continue
		}
		f := follower{drawing: d, seen: map[point]bool{}}
		f.follow(next, right)
		require.NotEmpty(d.t, f.ends, "a line of %s ends nowhere\n%s", from, d.text)
		for _, end := range f.ends {
			to := d.left[end.at]
			require.NotEmpty(d.t, to, "a line of %s ends at %v\n%s", from, end.at, d.text)
			require.True(d.t, end.head || tail, "no head")
			if end.head {
				edges = append(edges, fmt.Sprintf("%s %s %s", from, f.line, to))
			}
			if tail {
				edges = append(edges, fmt.Sprintf("%s %s %s", to, f.line, from))
			}
		}
	}
	slices.Sort(edges)
	return edges
}

type follower struct {
	*drawing
	seen map[point]bool
	line string
	ends []end
}

type end struct {
	at   point
	head bool
}

// follow goes into a cell in a direction.
func (f *follower) follow(at point, direction int) {
	r := f.at(at)
	switch {
	case r == '→':
		require.Equal(f.t, right, direction, f.text)
		border := at.moved(right)
		require.Equal(f.t, '│', f.at(border), f.text)
		f.ends = append(f.ends, end{border, true})
		return
	case (r == '┤' || r == '╡') && f.left[at] != "":
		f.ends = append(f.ends, end{at, false})
		return
	}
	shape := arms[r]
	require.NotZero(f.t, shape, "a line ends at %v %c\n%s", at, r, f.text)
	if shape == left|right && direction&(up|down) != 0 {
		f.follow(at.moved(direction), direction) // below the other line
		return
	}
	if f.seen[at] {
		return
	}
	f.seen[at] = true
	line := ""
	switch {
	case strings.ContainsRune("┄┆", r):
		line = "dashed"
	case strings.ContainsRune("═║╔╗╚╝╠╣╦╩╬", r):
		line = "double"
	case strings.ContainsRune("─│", r):
		line = "solid"
	}
	if f.line == "" {
		f.line = line
	}
	require.True(f.t, line == "" || line == f.line, "a line changes its form\n%s", f.text)
	back := map[int]int{left: right, right: left, up: down, down: up}[direction]
	require.NotZero(f.t, shape&back, "a line breaks at %v %c\n%s", at, r, f.text)
	for _, next := range []int{left, right, up, down} {
		if next != back && shape&next != 0 {
			f.follow(at.moved(next), next)
		}
	}
}

// holds draws a graph and reads the drawing.
func holds(t *testing.T, g draw.Graph) {
	var b strings.Builder
	require.NoError(t, draw.Text(&b, g, draw.TextOptions{}))
	lines := map[draw.Line]string{draw.Solid: "solid", draw.Dashed: "dashed", draw.Double: "double"}
	var want []string
	alone := 0
	for _, e := range g.Edges {
		if e.From == e.To {
			alone++
			continue
		}
		want = append(want, fmt.Sprintf("%s %s %s", e.From, lines[e.Line], e.To))
	}
	slices.Sort(want)
	want = slices.Compact(want)
	d := readDrawing(t, b.String())
	require.Equal(t, want, d.edges(), b.String())
	require.Equal(t, alone > 0, strings.Contains(b.String(), "leads to itself"))
	boxes := map[string]bool{}
	for _, name := range d.left {
		boxes[name] = true
	}
	require.Len(t, boxes, len(g.Nodes), b.String())
	for line := range strings.Lines(b.String()) {
		require.Equal(t, strings.TrimRight(line, " \n"), strings.TrimSuffix(line, "\n"))
	}
}

// drawn is a graph made of bytes: how many nodes, and three bytes for an edge.
func drawn(data []byte) draw.Graph {
	var g draw.Graph
	if len(data) == 0 {
		return g
	}
	n := 1 + int(data[0])%40
	for i := range n {
		node := draw.Node{Name: fmt.Sprint("n", i), Round: i%3 == 0}
		for j := range i % 4 {
			node.Notes = append(node.Notes, strings.Repeat("x", j+i))
		}
		g.Nodes = append(g.Nodes, node)
	}
	for data = data[1:]; len(data) >= 3; data = data[3:] {
		g.Edges = append(g.Edges, draw.Edge{
			From: fmt.Sprint("n", int(data[0])%n), To: fmt.Sprint("n", int(data[1])%n), Line: draw.Line(int(data[2]) % 3),
		})
	}
	return g
}

func randomBytes(random *rand.Rand, nodes, edges int) []byte {
	data := []byte{byte(nodes - 1)}
	for range 3 * edges {
		data = append(data, byte(random.IntN(256)))
	}
	return data
}

// Every drawing says what the graph says, and nothing else.
func TestDrawingsAreTrue(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 400 {
		n := 1 + random.IntN(14)
		holds(t, drawn(randomBytes(random, n, random.IntN(2*n))))
	}
	for range 20 {
		holds(t, drawn(randomBytes(random, 40, 80)))
	}
	// Two columns with many lines between them, which often have to change
	// their row on the way.
	for range 100 {
		g := drawn([]byte{29})
		for range 40 {
			g.Edges = append(g.Edges, draw.Edge{From: fmt.Sprint("n", random.IntN(15)), To: fmt.Sprint("n", 15+random.IntN(15)), Line: draw.Line(random.IntN(3))})
		}
		holds(t, g)
	}
}

func FuzzText(f *testing.F) {
	random := rand.New(rand.NewPCG(2, 2))
	for i := range 10 {
		f.Add(randomBytes(random, i+1, 2*i))
	}
	f.Add([]byte{})
	f.Add([]byte{3, 0, 2, 0, 1, 3, 0, 0, 3, 1, 1, 2, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) <= 400 {
			holds(t, drawn(data))
		}
	})
}
