package draw

import (
	"cmp"
	"slices"
	"sort"
)

// sweeps is how often the columns are gone through, there and back. Drawings
// hardly get better after a few.
const sweeps = 6

// order sorts the columns so that few wires cross: each item goes to the middle
// of its neighbours in the column before. The best of all tries stays.
func (l *layout) order() {
	l.number()
	best, fewest := l.snapshot(), l.crossings()
	for i := 0; i < 2*sweeps && fewest > 0; i++ {
		for c := range l.columns {
			if i%2 == 1 {
				c = len(l.columns) - 1 - c
			}
			middle := map[*item]float64{}
			for _, it := range l.columns[c] {
				middle[it] = it.middle(i%2 == 0)
			}
			slices.SortStableFunc(l.columns[c], func(a, b *item) int { return cmp.Compare(middle[a], middle[b]) })
			l.numberColumn(c)
		}
		if n := l.crossings(); n < fewest {
			best, fewest = l.snapshot(), n
		}
	}
	l.columns = best
	l.number()
	l.sortPorts()
}

func (l *layout) snapshot() [][]*item {
	columns := make([][]*item, len(l.columns))
	for c := range columns {
		columns[c] = slices.Clone(l.columns[c])
	}
	return columns
}

func (l *layout) number() {
	for c := range l.columns {
		l.numberColumn(c)
	}
}

func (l *layout) numberColumn(c int) {
	for i, it := range l.columns[c] {
		it.place = i
	}
}

// middle is the mean place of the neighbours on one side; an item without any
// stays where it is.
func (i *item) middle(left bool) float64 {
	sum, n := 0, 0
	if left {
		for _, w := range i.in {
			sum += w.from.place
			n++
		}
	} else {
		for _, w := range i.out {
			for _, to := range w.to {
				sum += to.place
				n++
			}
		}
	}
	if n == 0 {
		return float64(i.place)
	}
	return float64(sum) / float64(n)
}

// crossings counts the pairs of wires that cross between two columns.
func (l *layout) crossings() int {
	total := 0
	for c, wires := range l.wires {
		if c+1 == len(l.columns) {
			break
		}
		type ends struct{ from, to int }
		var list []ends
		for _, w := range wires {
			for _, to := range w.to {
				list = append(list, ends{w.from.place, to.place})
			}
		}
		slices.SortFunc(list, func(a, b ends) int { return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to)) })
		// The places so far, sorted: each crosses those behind it.
		var seen []int
		for _, e := range list {
			at := sort.SearchInts(seen, e.to+1)
			total += len(seen) - at
			seen = slices.Insert(seen, at, e.to)
		}
	}
	return total
}

// sortPorts orders the wires at each item as what is at their other ends.
func (l *layout) sortPorts() {
	for _, it := range l.items {
		slices.SortStableFunc(it.out, func(a, b *wire) int { return cmp.Compare(a.lean(), b.lean()) })
	}
	for _, it := range l.items {
		slices.SortStableFunc(it.in, func(a, b *wire) int {
			if a.from == b.from {
				return cmp.Compare(slices.Index(a.from.out, a), slices.Index(b.from.out, b))
			}
			return cmp.Compare(a.from.place, b.from.place)
		})
	}
}

// lean is the mean place of a wire's ends.
func (w *wire) lean() float64 {
	sum := 0
	for _, to := range w.to {
		sum += to.place
	}
	return float64(sum) / float64(len(w.to))
}

// stack gives each item its row: near to its neighbours, in the order of its
// column, and without overlap.
func (l *layout) stack() {
	for _, column := range l.columns {
		top := 0
		for _, it := range column {
			it.top = top
			top += it.height()
		}
	}
	for i := range 2 * sweeps {
		for c := range l.columns {
			if i%2 == 1 {
				c = len(l.columns) - 1 - c
			}
			settle(l.columns[c], func(it *item) (int, bool) { return it.wanted(i%2 == 0, i%2 == 1) })
		}
	}
	for c := range l.columns {
		settle(l.columns[c], func(it *item) (int, bool) { return it.wanted(true, true) })
	}
	first := 0
	for i, it := range l.items {
		if i == 0 || it.top < first {
			first = it.top
		}
	}
	for _, it := range l.items {
		it.top -= first
	}
}

// wanted is the row where an item's wires would be the straightest.
func (i *item) wanted(left, right bool) (int, bool) {
	sum, n := 0, 0
	if left {
		for _, w := range i.in {
			sum += w.from.top + w.from.outRow(w) - i.inRow(w)
			n++
		}
	}
	if right {
		for _, w := range i.out {
			for _, to := range w.to {
				sum += to.top + to.inRow(w) - i.outRow(w)
				n++
			}
		}
	}
	if n == 0 {
		return i.top, false
	}
	return floorDiv(sum, n), true
}

// settle moves the items of a column to where they want to be, as near as their
// order and heights allow. Items that are in each other's way move as one block
// to the mean of their wishes (isotonic regression). An item without a wish
// goes along with the one before it.
func settle(column []*item, wanted func(*item) (int, bool)) {
	type block struct{ sum, weight, count int }
	var blocks []block
	offset := 0 // of an item in a column without gaps
	for _, it := range column {
		want, ok := wanted(it)
		b := block{sum: want - offset, weight: 1, count: 1}
		if !ok && len(blocks) > 0 {
			b.weight, b.sum = 0, 0
		}
		blocks = append(blocks, b)
		for n := len(blocks); n > 1; n = len(blocks) {
			above, below := blocks[n-2], blocks[n-1]
			if below.weight > 0 && floorDiv(above.sum, above.weight) <= floorDiv(below.sum, below.weight) {
				break
			}
			blocks = append(blocks[:n-2], block{above.sum + below.sum, above.weight + below.weight, above.count + below.count})
		}
		offset += it.height()
	}
	offset, at := 0, 0
	for _, b := range blocks {
		for range b.count {
			column[at].top = floorDiv(b.sum, b.weight) + offset
			offset += column[at].height()
			at++
		}
	}
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
