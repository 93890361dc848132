package draw

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Two pairs of wires that exchange their rows: one wire of each pair has to
// change its row on the way, and each in a row of its own.
func TestRouteExchanges(t *testing.T) {
	l := &layout{wires: make([][]*wire, 1)}
	for _, rows := range [][2]int{{0, 1}, {1, 0}, {3, 4}, {4, 3}} {
		w := &wire{from: &item{top: rows[0]}, to: []*item{{top: rows[1]}}}
		l.wires[0] = append(l.wires[0], w)
	}
	require.Positive(t, l.route(0))
	meets := map[int]bool{}
	for _, w := range l.wires[0] {
		if len(w.tracks) == 2 {
			require.NotContains(t, []int{0, 1, 3, 4}, w.meet)
			require.False(t, meets[w.meet], "row %d", w.meet)
			meets[w.meet] = true
			require.Less(t, w.tracks[0].x, w.tracks[1].x)
		}
	}
	require.Len(t, meets, 2)
}
