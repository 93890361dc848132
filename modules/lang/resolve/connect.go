package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// maxLinks bounds what lists of CONNECT multiply to.
const maxLinks = 200_000

// pair is who reaches whom.
type pair struct{ from, to *instance }

// linkSet collects the links.
type linkSet struct {
	list  []stack.Link
	ends  []pair       // of each link
	index map[pair]int // in list
	// variables are the prefixes that a component gets, and from whom.
	variables map[*instance]map[string]given
}

// given is who gives a prefix, and where that is written.
type given struct {
	from *instance
	rng  token.Range
}

// links resolves CONNECT and the edges that references make, and gives the
// components their variables.
func (r *resolver) links() *linkSet {
	set := &linkSet{index: map[pair]int{}, variables: map[*instance]map[string]given{}}
	for _, s := range r.root.tree.Statements {
		if s, ok := s.(*ast.Connect); ok && !r.connect(set, s) {
			break
		}
	}
	for _, inst := range r.order {
		for _, edge := range inst.implied {
			r.impliedLink(set, inst, edge)
		}
	}
	return set
}

// connect adds the pairs of one statement. False: there are too many links.
func (r *resolver) connect(set *linkSet, s *ast.Connect) bool {
	from, to := r.ends(s.From), r.ends(s.To)
	alias := ""
	if s.Alias != nil {
		if len(s.To) > 1 {
			r.report(diag.AliasOfSeveral, s.Alias.Range, fmt.Sprintf("AS names one target, and there are %d", len(s.To)), "write a CONNECT for each", "")
			return true
		}
		if !r.aliasAllowed(*s.Alias) {
			return true
		}
		alias = s.Alias.Name
	}
	pairs, fresh, complete := 0, 0, len(from) == len(s.From) && len(to) == len(s.To)
	for _, a := range from {
		for _, b := range to {
			if a == b {
				continue
			}
			pairs++
			if len(set.list) >= maxLinks {
				r.report(diag.TooManyLinks, s.Range, fmt.Sprintf("more than %d connections", maxLinks), "", "")
				return false
			}
			if r.connectPair(set, s, a, b, alias) {
				fresh++
			}
		}
	}
	switch {
	case !complete:
	case pairs == 0:
		r.report(diag.ConnectsItself, s.Range, fmt.Sprintf("%q is connected with itself", s.From[0].Name), "remove it", "A component always reaches itself.")
	case fresh == 0:
		r.warn(diag.RepeatedConnect, s.Range, "this CONNECT is there already", "remove it", "", diag.Related{Label: "the first", Range: set.list[set.index[firstPair(from, to)]].Range})
	}
	return true
}

func firstPair(from, to []*instance) pair {
	for _, a := range from {
		for _, b := range to {
			if a != b {
				return pair{a, b}
			}
		}
	}
	return pair{}
}

func (r *resolver) ends(names []ast.Ident) []*instance {
	var list []*instance
	for _, name := range names {
		if inst, ok := r.deployed(name); ok {
			list = append(list, inst)
		}
	}
	return list
}

func (r *resolver) aliasAllowed(alias ast.Ident) bool {
	if !r.nameAllowed(alias, "a connection") {
		return false
	}
	if c := r.root.components[alias.Name]; c != nil {
		r.report(diag.DuplicateName, alias.Range, fmt.Sprintf("%q is also the name of a component", alias.Name), "choose another name", "", diag.Related{Label: "the component", Range: c.name.Range})
		return false
	}
	return true
}

// connectPair adds one link. It returns false when all of it was there.
func (r *resolver) connectPair(set *linkSet, s *ast.Connect, a, b *instance, alias string) bool {
	if a.disabled {
		return true
	}
	if b.disabled {
		r.needsDisabled(a, b, s.Range)
		return true
	}
	for _, end := range []*instance{a, b} {
		if end.component.Network == "none" && !b.component.Job {
			r.report(diag.NoNetwork, s.Range, fmt.Sprintf("%q has no network, so that nothing connects it", end.name), "", `Remove network = "none", or the connection.`, diag.Related{Label: "its network", Range: end.component.Where["network"]})
			return true
		}
	}
	link := stack.Link{From: a.name, To: b.name, NoWait: s.NoWait, Range: s.Range}
	as := alias
	if as == "" {
		as = b.name
	}
	fresh := false
	if !b.component.Job {
		link.Prefix = strings.ToUpper(strings.ReplaceAll(as, "-", "_"))
		var ok bool
		if fresh, ok = r.inject(set, a, b, link.Prefix, s.Range); !ok {
			return true
		}
	}
	at, known := set.index[pair{a, b}]
	switch {
	case !known:
		set.index[pair{a, b}] = len(set.list)
		set.list = append(set.list, link)
		set.ends = append(set.ends, pair{a, b})
		return true
	case set.list[at].NoWait && !s.NoWait:
		// The one that orders says more.
		set.list[at].NoWait, set.list[at].Range = false, s.Range
		return true
	}
	return fresh
}

func (r *resolver) impliedLink(set *linkSet, inst *instance, edge implied) {
	key := pair{inst, edge.target}
	if _, written := set.index[key]; written {
		return
	}
	for _, end := range []*instance{inst, edge.target} {
		if end.component.Network == "none" {
			r.report(diag.NoNetwork, edge.rng, fmt.Sprintf("%q has no network, so that nothing connects it", end.name), "", `Remove network = "none", or the connection.`, diag.Related{Label: "its network", Range: end.component.Where["network"]})
			return
		}
	}
	set.index[key] = len(set.list)
	set.list = append(set.list, stack.Link{From: inst.name, To: edge.target.name, Implied: true, Range: edge.rng})
	set.ends = append(set.ends, key)
}

// inject gives a the variables of b. What a says in its own env wins. It
// returns whether they are new, and false when another has the prefix.
func (r *resolver) inject(set *linkSet, a, b *instance, prefix string, rng token.Range) (fresh, ok bool) {
	byPrefix := set.variables[a]
	if byPrefix == nil {
		byPrefix = map[string]given{}
		set.variables[a] = byPrefix
	}
	if first, taken := byPrefix[prefix]; taken {
		if first.from == b {
			return false, true
		}
		r.report(diag.PrefixCollision, rng, fmt.Sprintf("%q would get %s_HOST twice", a.name, prefix), "give one of the two another name with AS", "",
			diag.Related{Label: fmt.Sprintf("from %s here", first.from.name), Range: first.rng})
		return false, false
	}
	byPrefix[prefix] = given{b, rng}
	if a.noInject {
		return true, true
	}
	add := func(name string, text stack.Text) {
		name = prefix + "_" + name
		if a.written[name] {
			return
		}
		a.component.Env = append(a.component.Env, stack.EnvVar{Name: name, Value: text, Injected: true})
	}
	add("HOST", plain(b.name))
	if ports, ok := r.portsOf(b, nil); ok && len(ports) > 0 {
		add("PORT", plain(fmt.Sprint(ports[0].Number)))
	}
	if text, ok := r.connectionOf(b, nil); ok && text != (stack.Text{}) {
		add("CONNECTION_STRING", text)
	}
	return true, true
}

// cycles reports components that wait for each other: of each knot the
// shortest cycle through its first component, with what made each edge.
func (r *resolver) cycles(set *linkSet) {
	edges := map[*instance][]int{}
	for i, l := range set.list {
		if !l.NoWait {
			from := set.ends[i].from
			edges[from] = append(edges[from], i)
		}
	}
	knot := knots(r.order, func(i *instance) []*instance {
		var next []*instance
		for _, e := range edges[i] {
			next = append(next, set.ends[e].to)
		}
		return next
	})
	seen := map[int]bool{}
	for _, inst := range r.order {
		id, inKnot := knot[inst]
		if !inKnot || seen[id] {
			continue
		}
		seen[id] = true
		r.reportCycle(set, shortestCycle(set, edges, inst, func(i *instance) bool {
			other, ok := knot[i]
			return ok && other == id
		}))
	}
}

// shortestCycle returns the links of a shortest way from a component back to
// itself, by breadth first.
func shortestCycle(set *linkSet, edges map[*instance][]int, start *instance, inside func(*instance) bool) []int {
	came := map[*instance]int{}
	for queue := []*instance{start}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, e := range edges[at] {
			to := set.ends[e].to
			if to == start {
				path := []int{e}
				for back := at; back != start; back = set.ends[came[back]].from {
					path = append(path, came[back])
				}
				slices.Reverse(path)
				return path
			}
			if _, visited := came[to]; !visited && inside(to) {
				came[to] = e
				queue = append(queue, to)
			}
		}
	}
	return nil
}

func (r *resolver) reportCycle(set *linkSet, path []int) {
	if len(path) == 0 {
		return
	}
	const most = 12
	names := []string{set.list[path[0]].From}
	var related []diag.Related
	for i, e := range path {
		l := set.list[e]
		names = append(names, l.To)
		label := fmt.Sprintf("%s waits for %s: this CONNECT", l.From, l.To)
		if l.Implied {
			label = fmt.Sprintf("%s waits for %s: this reference", l.From, l.To)
		}
		if i > 0 && i < most {
			related = append(related, diag.Related{Label: label, Range: l.Range})
		}
	}
	if len(names) > 2*most {
		names = append(append(names[:most:most], "…"), names[len(names)-most:]...)
	}
	first := set.list[path[0]]
	detail := "With NOWAIT behind one of them there is the link and no order: CONNECT " + first.From + " -> " + first.To + " NOWAIT."
	r.report(diag.OrderCycle, first.Range, "components wait for each other: "+strings.Join(names, " → "),
		fmt.Sprintf("%s waits for %s", first.From, first.To), detail, related...)
}

// knots returns the strongly connected components with more than one member,
// by number (Tarjan, without recursion: a chain may be long).
func knots(all []*instance, next func(*instance) []*instance) map[*instance]int {
	type frame struct {
		at   *instance
		next []*instance
	}
	order, low, onStack := map[*instance]int{}, map[*instance]int{}, map[*instance]bool{}
	result := map[*instance]int{}
	var stacked []*instance
	count, knot := 0, 0
	enter := func(i *instance) frame {
		count++
		order[i], low[i], onStack[i] = count, count, true
		stacked = append(stacked, i)
		return frame{i, next(i)}
	}
	for _, root := range all {
		if order[root] != 0 {
			continue
		}
		for calls := []frame{enter(root)}; len(calls) > 0; {
			f := &calls[len(calls)-1]
			if len(f.next) > 0 {
				to := f.next[0]
				f.next = f.next[1:]
				if order[to] == 0 {
					calls = append(calls, enter(to))
				} else if onStack[to] {
					low[f.at] = min(low[f.at], order[to])
				}
				continue
			}
			at := f.at
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				parent := calls[len(calls)-1].at
				low[parent] = min(low[parent], low[at])
			}
			if low[at] != order[at] {
				continue
			}
			i := len(stacked) - 1
			for stacked[i] != at {
				i--
			}
			for _, member := range stacked[i:] {
				onStack[member] = false
				if len(stacked)-i > 1 {
					result[member] = knot
				}
			}
			stacked = stacked[:i]
			knot++
		}
	}
	return result
}
