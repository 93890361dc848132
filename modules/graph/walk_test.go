package graph

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// recorder notes when nodes begin and end.
type recorder struct {
	mu      sync.Mutex
	events  []string
	running int
	most    int
}

func (r *recorder) begin(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, "+"+name)
	r.running++
	r.most = max(r.most, r.running)
}

func (r *recorder) end(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, "-"+name)
	r.running--
}

func (r *recorder) index(event string) int { return slices.Index(r.events, event) }

func TestWalkRunsInOrder(t *testing.T) {
	nodes, edges := random(rand.New(rand.NewPCG(7, 7)), 200, 400, true)
	g, err := New(nodes, edges)
	require.NoError(t, err)
	for _, reverse := range []bool{false, true} {
		for _, parallel := range []int{0, 1, 4} {
			t.Run(fmt.Sprintf("reverse=%v parallel=%d", reverse, parallel), func(t *testing.T) {
				var rec recorder
				err := g.Walk(t.Context(), WalkOptions{Parallel: parallel, Reverse: reverse}, func(_ context.Context, name string) error {
					rec.begin(name)
					defer rec.end(name)
					return nil
				})
				require.NoError(t, err)
				require.Len(t, rec.events, 2*len(nodes), "each node runs once")
				for _, e := range edges {
					first, then := e.To, e.From
					if reverse {
						first, then = then, first
					}
					require.Less(t, rec.index("-"+first), rec.index("+"+then), "%s before %s", first, then)
				}
				if parallel > 0 {
					require.LessOrEqual(t, rec.most, parallel)
				}
			})
		}
	}
}

// A node starts when its own dependencies are done, not when a layer is.
func TestWalkIsAReadySet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := parse(t, "fast2: fast1; slow2: slow1; fast3: fast2")
		took := map[string]time.Duration{}
		var mu sync.Mutex
		began := time.Now()
		require.NoError(t, g.Walk(t.Context(), WalkOptions{}, func(_ context.Context, name string) error {
			d := time.Second
			if strings.HasPrefix(name, "slow") {
				d = time.Hour
			}
			time.Sleep(d)
			mu.Lock()
			defer mu.Unlock()
			took[name] = time.Since(began)
			return nil
		}))
		require.Equal(t, map[string]time.Duration{
			"fast1": time.Second, "fast2": 2 * time.Second, "fast3": 3 * time.Second,
			"slow1": time.Hour, "slow2": 2 * time.Hour,
		}, took)
	})
}

func TestWalkSkipsWhatNeedsAFailedNode(t *testing.T) {
	g := parse(t, "web: api; api: db cache; db; cache; other: cache; top: web other")
	broken := errors.New("exited 1")
	var rec recorder
	var skipped []string
	err := g.Walk(t.Context(), WalkOptions{Parallel: 1, Skipped: func(name string, reason *SkippedError) {
		require.Equal(t, "db", reason.Failed)
		skipped = append(skipped, name)
	}}, func(_ context.Context, name string) error {
		rec.begin(name)
		if name == "db" {
			return broken
		}
		return nil
	})
	var walk *WalkError
	require.ErrorAs(t, err, &walk)
	require.EqualError(t, err, strings.Join([]string{
		"api: skipped: db failed: exited 1",
		"db: exited 1",
		"top: skipped: db failed: exited 1",
		"web: skipped: db failed: exited 1",
	}, "\n"))
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, walk.Nodes[0], broken, "a skipped node has not failed itself")
	require.Equal(t, []string{"+cache", "+db", "+other"}, rec.events)
	require.Equal(t, []string{"api", "web", "top"}, skipped)
}

func TestWalkReportsEachNodeOnce(t *testing.T) {
	g := parse(t, "c: a b; d: c")
	err := g.Walk(t.Context(), WalkOptions{}, func(_ context.Context, name string) error { return errors.New("broken " + name) })
	var walk *WalkError
	require.ErrorAs(t, err, &walk)
	var names []string
	for _, n := range walk.Nodes {
		names = append(names, n.Name)
	}
	require.Equal(t, []string{"a", "b", "c", "d"}, names)
}

func TestWalkCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := parse(t, "b: a; c: b; x")
		stop := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		ended := false
		err := g.Walk(ctx, WalkOptions{}, func(ctx context.Context, name string) error {
			if name == "x" {
				cancel(stop)
				return nil
			}
			<-ctx.Done()
			time.Sleep(time.Minute)
			ended = true
			return nil
		})
		require.True(t, ended, "Walk waits for what runs")
		require.EqualError(t, err, "b: skipped: interrupted\nc: skipped: interrupted")
	})
}

func TestWalkCycle(t *testing.T) {
	err := parse(t, "a: b; b: a; c").Walk(t.Context(), WalkOptions{}, func(context.Context, string) error {
		t.Error("a node was run")
		return nil
	})
	var cycle *CycleError
	require.ErrorAs(t, err, &cycle)
}

func BenchmarkWalk(b *testing.B) {
	nodes, edges := random(rand.New(rand.NewPCG(1, 1)), 10_000, 20_000, true)
	g, err := New(nodes, edges)
	require.NoError(b, err)
	for b.Loop() {
		if err := g.Walk(b.Context(), WalkOptions{Parallel: 16}, func(context.Context, string) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
