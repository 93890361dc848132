package graph

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/yourbasic/graph"
)

// WalkOptions change how [Graph.Walk] goes. The zero value walks dependencies
// first, with as many nodes at once as are ready.
type WalkOptions struct {
	// Parallel is how many nodes may run at once; zero or less: no bound.
	Parallel int

	// Reverse walks dependents first, the order in which to stop things: a
	// node runs when everything that depends on it has succeeded.
	Reverse bool

	// Skipped, if not nil, is called for each node as soon as it is known that
	// it will not run. Calls never overlap each other.
	Skipped func(name string, reason *SkippedError)
}

// WalkError collects what went wrong in a [Graph.Walk]. It unwraps to its
// nodes' errors.
type WalkError struct {
	Nodes []*NodeError // sorted by name; failed and skipped nodes
}

func (e *WalkError) Error() string {
	msgs := make([]string, len(e.Nodes))
	for i, n := range e.Nodes {
		msgs[i] = n.Error()
	}
	return strings.Join(msgs, "\n")
}

// Unwrap returns the errors of all nodes.
func (e *WalkError) Unwrap() []error {
	errs := make([]error, len(e.Nodes))
	for i, n := range e.Nodes {
		errs[i] = n
	}
	return errs
}

// NodeError is why one node did not succeed: what its function returned, or a
// [*SkippedError].
type NodeError struct {
	Name string
	Err  error
}

func (e *NodeError) Error() string { return e.Name + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *NodeError) Unwrap() error { return e.Err }

// SkippedError says why a node was not run. It does not unwrap to the cause:
// the cause is another node's error and is reported there.
type SkippedError struct {
	Failed string // the node that failed; empty: the walk was cancelled
	Err    error  // its error, or the context's
}

func (e *SkippedError) Error() string {
	if e.Failed == "" {
		return fmt.Sprintf("skipped: %v", e.Err)
	}
	return fmt.Sprintf("skipped: %s failed: %v", e.Failed, e.Err)
}

// Walk calls fn once for each node, as soon as fn has succeeded for everything
// that the node depends on, and in the order of names where several are ready
// and there is not room for all. If fn fails, what depends on that node is
// skipped, and all else goes on. When ctx ends, nothing more is started, and
// Walk returns after the running calls have returned.
//
// The error is nil, a [*WalkError] with every node that failed or was skipped,
// or, before anything is run, a [*CycleError].
func (g *Graph) Walk(ctx context.Context, opts WalkOptions, fn func(ctx context.Context, name string) error) error {
	if path := g.Cycle(); path != nil {
		return &CycleError{Path: path}
	}
	w := &walk{g: g, opts: opts, before: g.dependencies, after: g.dependents}
	if opts.Reverse {
		w.before, w.after = w.after, w.before
	}
	return w.run(ctx, fn)
}

// walk is the state of one Walk. Only the goroutine that called Walk uses it.
type walk struct {
	g             *Graph
	opts          WalkOptions
	before, after *graph.Immutable

	waiting []int // number of predecessors that have not succeeded yet
	ready   []int // may run, first come first
	settled []bool
	errs    []*NodeError
}

type result struct {
	vertex int
	err    error
}

func (w *walk) run(ctx context.Context, fn func(ctx context.Context, name string) error) error {
	n := len(w.g.names)
	w.waiting = make([]int, n)
	w.settled = make([]bool, n)
	for v := range n {
		w.waiting[v] = w.before.Degree(v)
		if w.waiting[v] == 0 {
			w.ready = append(w.ready, v)
		}
	}
	parallel := w.opts.Parallel
	if parallel <= 0 {
		parallel = n
	}

	results := make(chan result)
	running := 0
	for {
		for len(w.ready) > 0 && running < parallel && ctx.Err() == nil {
			v := w.ready[0]
			w.ready = w.ready[1:]
			running++
			go func() { results <- result{v, fn(ctx, w.g.names[v])} }()
		}
		if running == 0 {
			break
		}
		r := <-results
		running--
		w.settled[r.vertex] = true
		if r.err != nil {
			w.fail(r.vertex, r.err)
		} else {
			w.succeed(r.vertex)
		}
	}

	// Without a cycle, only the end of the context leaves nodes that were
	// neither run nor skipped.
	for v, done := range w.settled {
		if !done {
			w.skip(v, &SkippedError{Err: context.Cause(ctx)})
		}
	}
	if len(w.errs) == 0 {
		return nil
	}
	slices.SortFunc(w.errs, func(a, b *NodeError) int { return strings.Compare(a.Name, b.Name) })
	return &WalkError{Nodes: w.errs}
}

func (w *walk) succeed(v int) {
	w.after.Visit(v, func(next int, _ int64) bool {
		w.waiting[next]--
		if w.waiting[next] == 0 && !w.settled[next] {
			w.ready = append(w.ready, next)
		}
		return false
	})
}

func (w *walk) fail(v int, err error) {
	w.errs = append(w.errs, &NodeError{Name: w.g.names[v], Err: err})
	reason := &SkippedError{Failed: w.g.names[v], Err: err}
	queue := []int{v}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		w.after.Visit(at, func(next int, _ int64) bool {
			if !w.settled[next] {
				w.skip(next, reason)
				queue = append(queue, next)
			}
			return false
		})
	}
}

func (w *walk) skip(v int, reason *SkippedError) {
	w.settled[v] = true
	w.errs = append(w.errs, &NodeError{Name: w.g.names[v], Err: reason})
	if w.opts.Skipped != nil {
		w.opts.Skipped(w.g.names[v], reason)
	}
}
