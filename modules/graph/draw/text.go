package draw

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// ErrTooLarge is returned for a graph with too many nodes, or too many columns
// that its edges pass: some thousands.
var ErrTooLarge = errors.New("the graph is too large to draw with characters")

// TextOptions say how Text draws. The zero value is a drawing of box
// characters without a legend.
type TextOptions struct {
	ASCII bool // lines and boxes of ASCII; names and notes keep their letters

	// Legend says what the lines mean. It stands below the drawing, for the
	// lines that occur.
	Legend map[Line]string
}

// Text draws the graph with characters: boxes in columns, so that arrows lead
// from left to right wherever they can. Each box is as far to the right as what
// it leads to allows. An arrow that cannot lead to the right is the one with
// its head at the left end.
//
// Lines that branch belong to one box at their left end. Where two lines cross,
// the upright one passes below the other and is not drawn there; every other
// touch of two lines is a branch. The drawing is as wide as the graph makes it;
// each character counts as one cell. It takes time quadratic in the nodes. A
// graph of which no drawing would be of use is [ErrTooLarge].
func Text(w io.Writer, g Graph, opts TextOptions) error {
	index, err := g.index()
	if err != nil {
		return err
	}
	l, err := arrange(g, index)
	if err != nil {
		return err
	}
	c := paint(l)
	b := bufio.NewWriter(w)
	for _, row := range c.rows {
		fmt.Fprintln(b, c.text(row, opts.ASCII))
	}
	first := true
	for _, line := range []Line{Solid, Double, Dashed} {
		meaning := opts.Legend[line]
		if meaning == "" || !c.used[line] {
			continue
		}
		if first {
			fmt.Fprintln(b)
		}
		first = false
		sample := []cell{{line: line, arms: left | right}, {line: line, arms: left | right}, {symbol: '→'}}
		fmt.Fprintf(b, "%s %s\n", c.text(sample, opts.ASCII), visible(meaning))
	}
	return finish(b)
}

// The directions in which a line leaves a cell.
const (
	left = 1 << iota
	right
	up
	down
)

// cell is a character of the drawing: a symbol, or a piece of a line.
type cell struct {
	symbol rune
	line   Line
	arms   int
	wire   *wire // whose line it is
}

type canvas struct {
	rows [][]cell
	used map[Line]bool
}

// at returns a cell, which the canvas grows to.
func (c *canvas) at(x, y int) *cell {
	for len(c.rows) <= y {
		c.rows = append(c.rows, nil)
	}
	for len(c.rows[y]) <= x {
		c.rows[y] = append(c.rows[y], cell{symbol: ' '})
	}
	return &c.rows[y][x]
}

// paint draws a layout.
func paint(l *layout) *canvas {
	c := &canvas{used: map[Line]bool{}}
	x := 0
	for i, column := range l.columns {
		width := 0
		for _, it := range column {
			for _, line := range it.lines {
				width = max(width, utf8.RuneCountInString(line)+4)
			}
		}
		for _, it := range column {
			if it.box {
				c.box(it, x, width)
			} else {
				c.across(it.out[0], it.top, x, x+width-1, true, true)
			}
		}
		x += width
		if i+1 < len(l.columns) {
			x = c.between(l, i, x)
		}
	}
	return c
}

// box draws a node, with its lines in the middle of its rows.
func (c *canvas) box(it *item, x, width int) {
	corners := []rune("┌┐└┘")
	if it.round {
		corners = []rune("╭╮╰╯")
	}
	bottom, end := it.top+it.rows+1, x+width-1
	for i := x; i <= end; i++ {
		c.at(i, it.top).symbol = '─'
		c.at(i, bottom).symbol = '─'
	}
	for y := it.top + 1; y < bottom; y++ {
		c.at(x, y).symbol = '│'
		c.at(end, y).symbol = '│'
	}
	c.at(x, it.top).symbol = corners[0]
	c.at(end, it.top).symbol = corners[1]
	c.at(x, bottom).symbol = corners[2]
	c.at(end, bottom).symbol = corners[3]
	for _, w := range it.out {
		if !w.tail {
			c.at(end, it.top+it.outRow(w)).symbol = pick(w.line == Double, '╞', '├')
		}
	}
	for _, w := range it.in {
		if !w.head {
			c.at(x, it.top+it.inRow(w)).symbol = pick(w.line == Double, '╡', '┤')
		}
	}
	y := it.top + 1 + (it.rows-len(it.lines))/2
	for i, line := range it.lines {
		at := x + 2
		for _, r := range line {
			c.at(at, y+i).symbol = r
			at++
		}
	}
}

func pick(yes bool, a, b rune) rune {
	if yes {
		return a
	}
	return b
}

// between draws the wires behind a column, from x on, and returns where the
// next column starts.
func (c *canvas) between(l *layout, column, x int) int {
	tracks := l.route(column)
	end := x + max(2, 2*tracks+1) // of the arrows
	place := func(t *track) int { return x + 1 + 2*t.x }
	for _, w := range l.wires[column] {
		c.used[w.line] = true
		start := w.startRow()
		at := end
		for i, t := range w.tracks {
			if at = place(t); i == 0 {
				c.across(w, start, x, at, true, false)
			} else {
				c.across(w, w.meet, place(w.tracks[0]), at, false, false)
			}
			c.upright(w, at, t.top, t.bottom)
		}
		for _, row := range w.endRows() {
			if len(w.tracks) == 0 {
				c.across(w, row, x, end, true, true)
			} else {
				c.across(w, row, at, end, false, true)
			}
		}
		if w.tail && w.from.box {
			c.at(x, start).symbol = '←'
		}
		for i, row := range w.endRows() {
			if w.head && w.to[i].box {
				c.at(end, row).symbol = '→'
			}
		}
	}
	return end + 1
}

// across draws a line in a row. The ends say whether it goes on there.
func (c *canvas) across(w *wire, y, from, to int, before, behind bool) {
	for x := from; x <= to; x++ {
		arms := left | right
		if x == from && !before {
			arms = right
		}
		if x == to && !behind {
			arms = left
		}
		c.add(w, x, y, arms)
	}
}

// upright draws a line in a column.
func (c *canvas) upright(w *wire, x, from, to int) {
	for y := from; y <= to; y++ {
		arms := up | down
		if y == from {
			arms = down
		}
		if y == to {
			arms = up
		}
		c.add(w, x, y, arms)
	}
}

// add draws a piece of a line. Where another one is, the horizontal one stays.
func (c *canvas) add(w *wire, x, y, arms int) {
	at := c.at(x, y)
	switch {
	case at.wire == w:
		at.arms |= arms
	case at.wire == nil || arms == left|right:
		*at = cell{line: w.line, arms: arms, wire: w}
	}
}

// lineForms are the forms of a line by its arms.
var lineForms = map[Line][]rune{
	Solid:  []rune("   ─ ┘└┴ ┐┌┬│┤├┼"),
	Dashed: []rune("   ┄ ┘└┴ ┐┌┬┆┤├┼"),
	Double: []rune("   ═ ╝╚╩ ╗╔╦║╣╠╬"),
}

// plainForms are the same in ASCII.
var plainForms = map[Line][]rune{
	Solid:  []rune("   - +++ +++|+++"),
	Dashed: []rune("   . +++ +++:+++"),
	Double: []rune("   = +++ +++#+++"),
}

var plainSymbols = strings.NewReplacer(
	"─", "-", "│", "|", "├", "|", "┤", "|", "╞", "|", "╡", "|", "┌", "+", "┐", "+", "└", "+", "┘", "+",
	"╭", ".", "╮", ".", "╰", "'", "╯", "'", "→", ">", "←", "<",
)

// text writes a row of the canvas.
func (c *canvas) text(row []cell, ascii bool) string {
	var b strings.Builder
	for _, at := range row {
		switch {
		case at.symbol != 0 && ascii:
			b.WriteString(plainSymbols.Replace(string(at.symbol)))
		case at.symbol != 0:
			b.WriteRune(at.symbol)
		case ascii:
			b.WriteRune(plainForms[at.line][at.arms])
		default:
			b.WriteRune(lineForms[at.line][at.arms])
		}
	}
	return strings.TrimRight(b.String(), " ")
}
