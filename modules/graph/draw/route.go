package draw

import (
	"cmp"
	"slices"
)

// track is a vertical piece of a wire between two columns.
type track struct {
	wire        *wire
	top, bottom int // rows
	x           int // from 0; equal ones do not overlap

	least   int // for x
	waiting int // tracks that must be placed first, to the left
	right   []*track
}

// route gives the wires behind a column their tracks, and returns how many
// there are side by side. A row may be where one wire starts and another ends:
// the first must turn off before the second turns in, so its track is to the
// left.
func (l *layout) route(c int) int {
	starts, ends := map[int]*wire{}, map[int]*wire{}
	var pending []*track
	for _, w := range l.wires[c] {
		start := w.startRow()
		starts[start] = w
		rows := w.endRows()
		for _, row := range rows {
			ends[row] = w
		}
		if len(rows) == 1 && rows[0] == start {
			continue
		}
		t := &track{wire: w, top: min(start, slices.Min(rows)), bottom: max(start, slices.Max(rows))}
		w.tracks = []*track{t}
		pending = append(pending, t)
	}
	for row, w := range starts {
		if other := ends[row]; other != nil && other != w {
			w.tracks[0].right = append(w.tracks[0].right, other.tracks[0])
			other.tracks[0].waiting++
		}
	}
	slices.SortStableFunc(pending, byTurn)

	var placed []*track
	width := 0
	for len(pending) > 0 {
		i := slices.IndexFunc(pending, func(t *track) bool { return t.waiting == 0 })
		if i < 0 {
			// A circle: one of it changes its row on the way.
			pending = slices.Insert(pending, 0, pending[0].split(starts, ends))
			i = 0
		}
		t := pending[i]
		pending = slices.Delete(pending, i, i+1)
		for t.x = t.least; slices.ContainsFunc(placed, t.collides); {
			t.x++
		}
		placed = append(placed, t)
		width = max(width, t.x+1)
		for _, other := range t.right {
			other.waiting--
			other.least = max(other.least, t.x+1)
		}
	}
	return width
}

// byTurn orders tracks so that wires side by side do not cross: of those that
// go down the lowest first, then of those that go up the highest.
func byTurn(a, b *track) int {
	down := func(t *track) int {
		start, sum := t.wire.startRow(), 0
		for _, row := range t.wire.endRows() {
			sum += row - start
		}
		if sum > 0 {
			return 0
		}
		return 1
	}
	if by := cmp.Compare(down(a), down(b)); by != 0 {
		return by
	}
	rows := cmp.Compare(a.wire.startRow(), b.wire.startRow())
	if down(a) == 0 {
		return -rows
	}
	return rows
}

// collides tells whether two tracks cannot stand in one place.
func (t *track) collides(other *track) bool {
	return t.x == other.x && t.top <= other.bottom && other.top <= t.bottom
}

// split takes the start of a wire from its track to one of its own, which it
// returns. The two meet in a row that is neither the start nor the end of any
// wire.
func (t *track) split(starts, ends map[int]*wire) *track {
	w := t.wire
	start := w.startRow()
	meet := start
	for d := 1; ; d++ {
		if meet = start + d; starts[meet] == nil && ends[meet] == nil {
			break
		}
		if meet = start - d; meet >= 0 && starts[meet] == nil && ends[meet] == nil {
			break
		}
	}
	starts[meet], ends[meet] = w, w
	first := &track{wire: w, top: min(start, meet), bottom: max(start, meet), right: append(t.right, t)}
	rows := append(w.endRows(), meet)
	t.top, t.bottom, t.right = slices.Min(rows), slices.Max(rows), nil
	t.waiting++
	w.tracks, w.meet = []*track{first, t}, meet
	return first
}

func (w *wire) startRow() int { return w.from.top + w.from.outRow(w) }

// endRows has at least one row.
func (w *wire) endRows() []int {
	rows := make([]int, len(w.to))
	for i, to := range w.to {
		rows[i] = to.top + to.inRow(w)
	}
	return rows
}
