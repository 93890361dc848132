package seccomp

import (
	"maps"
	"slices"

	"golang.org/x/net/bpf"
)

// Offsets in struct seccomp_data of <linux/seccomp.h>.
const (
	numberOffset = 0
	archOffset   = 4
	argsOffset   = 16
)

// assemble makes a program of filters, the native one first.
func assemble(filters []filter) []bpf.Instruction {
	var b builder
	next := b.result(KillThread) // of an architecture that the profile does not name
	for _, f := range slices.Backward(filters) {
		if f.arch == x32 {
			continue // a part of amd64
		}
		spans := f.spans()
		if f.arch == amd64 {
			spans = append(spans, f.x32Spans(filters)...)
		}
		found := search(&b, spans, func(s span) uint32 { return s.first }, func(s span) label { return s.decision.code(&b, s.bits) })
		next = b.test(bpf.JumpEqual, abis[f.arch].audit, b.load(numberOffset, found), next)
	}
	b.load(archOffset, next)
	slices.Reverse(b.code)
	return b.code
}

// A span is a run of numbers with one decision. It ends where the next begins.
type span struct {
	first    uint32
	decision *decision
	bits     int // of arguments
}

// spans covers all numbers of an architecture.
func (f *filter) spans() []span {
	var base uint32
	if f.arch == x32 {
		base = x32Bit
	}
	all := []span{{first: base, decision: &decision{action: f.unnamed(0)}}}
	add := func(first uint32, d *decision) {
		if last := len(all) - 1; all[last].first == first {
			all = all[:last]
		}
		if len(all) == 0 || !same(all[len(all)-1].decision, d) {
			all = append(all, span{first: first, decision: d})
		}
	}
	for _, n := range slices.Sorted(maps.Keys(f.calls)) {
		add(base+uint32(n), f.calls[n])
		add(base+uint32(n)+1, &decision{action: f.unnamed(n + 1)})
	}
	for i := range all {
		all[i].bits = abis[f.arch].bits
	}
	return all
}

// same tells whether two decisions may be one span.
func same(a, b *decision) bool {
	return len(a.rules) == 0 && len(b.rules) == 0 && a.action == b.action
}

// x32Spans covers the numbers of x32, behind those of amd64.
func (f *filter) x32Spans(filters []filter) []span {
	for _, other := range filters {
		if other.arch == x32 {
			return other.spans()
		}
	}
	return []span{
		{first: x32Bit, decision: &decision{action: KillThread}},
		{first: skipped, decision: &decision{action: f.action}},
	}
}

// search finds the span that the accumulator is in, and goes on there.
func search[S any](b *builder, spans []S, first func(S) uint32, found func(S) label) label {
	if len(spans) == 1 {
		return found(spans[0])
	}
	half := len(spans) / 2
	yes := search(b, spans[half:], first, found)
	no := search(b, spans[:half], first, found)
	return b.test(bpf.JumpGreaterOrEqual, first(spans[half]), yes, no)
}

// code decides a call whose number is known.
func (d *decision) code(b *builder, bits int) label {
	if index, ok := d.looksAt(); ok {
		return d.ranges(b, index, bits)
	}
	next := b.result(d.action)
	for _, r := range slices.Backward(d.rules) {
		yes := b.result(r.action)
		for _, a := range slices.Backward(r.args) {
			yes = a.code(b, bits, yes, next)
		}
		next = yes
	}
	return next
}

// code goes on at yes if the condition holds, else at no. Arguments have 64
// bits, and BPF 32: the halves are compared one after the other, the upper one
// first. Both machines are little-endian.
func (a Arg) code(b *builder, bits int, yes, no label) label {
	lower, upper := uint32(a.Value), uint32(a.Value>>32)
	offset := argOffset(a.Index)
	switch a.Op {
	case NotEqual:
		a.Op = Equal
		return a.code(b, bits, no, yes)
	case Less:
		a.Op = GreaterOrEqual
		return a.code(b, bits, no, yes)
	case LessOrEqual:
		a.Op = Greater
		return a.code(b, bits, no, yes)
	case MaskedEqual:
		next := b.load(offset, b.and(lower, b.test(bpf.JumpEqual, lower&uint32(a.Want), yes, no)))
		if bits == 32 {
			return next
		}
		return b.load(offset+4, b.and(upper, b.test(bpf.JumpEqual, upper&uint32(a.Want>>32), next, no)))
	}
	test := map[Op]bpf.JumpTest{Equal: bpf.JumpEqual, Greater: bpf.JumpGreaterThan, GreaterOrEqual: bpf.JumpGreaterOrEqual}[a.Op]
	next := b.load(offset, b.test(test, lower, yes, no))
	if bits == 32 {
		return next
	}
	next = b.test(bpf.JumpEqual, upper, next, no)
	if a.Op != Equal {
		next = b.test(bpf.JumpGreaterThan, upper, yes, next)
	}
	return b.load(offset+4, next)
}

func argOffset(index int) uint32 { return uint32(argsOffset + 8*index) }

// looksAt tells whether all rules compare one argument, the same one.
func (d *decision) looksAt() (index int, ok bool) {
	for _, r := range d.rules {
		a := r.args[0]
		if len(r.args) > 1 || a.Op == MaskedEqual || a.Index != d.rules[0].args[0].Index {
			return 0, false
		}
		index = a.Index
	}
	return index, len(d.rules) > 1
}

// A valueSpan is a run of an argument's values with one action.
type valueSpan struct {
	first  uint64
	action Action
}

// ranges searches for the value of an argument, as for a number: a profile may
// have dozens of rules for one call.
func (d *decision) ranges(b *builder, index, bits int) label {
	most := ^uint64(0) >> (64 - bits)
	bounds := []uint64{0}
	for _, r := range d.rules {
		value := r.args[0].Value & most
		bounds = append(bounds, value)
		if value < most {
			bounds = append(bounds, value+1)
		}
	}
	slices.Sort(bounds)
	var spans []valueSpan
	for _, v := range slices.Compact(bounds) {
		if action := d.of(v, most); len(spans) == 0 || spans[len(spans)-1].action != action {
			spans = append(spans, valueSpan{v, action})
		}
	}

	offset := argOffset(index)
	lower := func(spans []valueSpan) label {
		first := func(s valueSpan) uint32 { return uint32(s.first) }
		return b.load(offset, search(b, spans, first, func(s valueSpan) label { return b.result(s.action) }))
	}
	if bits == 32 {
		return lower(spans)
	}
	halves := upperHalves(spans)
	first := func(s []valueSpan) uint32 { return uint32(s[0].first >> 32) }
	return b.load(offset+4, search(b, halves, first, func(s []valueSpan) label {
		if len(s) == 1 {
			return b.result(s[0].action)
		}
		return lower(s)
	}))
}

// of is the action for a value of the only argument that the rules compare.
func (d *decision) of(value, most uint64) Action {
	for _, r := range d.rules {
		if r.args[0].holds(value, most) {
			return r.action
		}
	}
	return d.action
}

// holds tells whether a value, of at most most, is as the condition wants it,
// which is none with a mask.
func (a Arg) holds(value, most uint64) bool {
	with := a.Value & most
	switch a.Op {
	case NotEqual:
		return value != with
	case Less:
		return value < with
	case LessOrEqual:
		return value <= with
	case Equal:
		return value == with
	case GreaterOrEqual:
		return value >= with
	default: // Greater
		return value > with
	}
}

// upperHalves groups spans by the upper halves of their values. A group of
// several is about one upper half; a group of one goes on to the next group.
func upperHalves(spans []valueSpan) [][]valueSpan {
	var groups [][]valueSpan
	for i := 0; i < len(spans); {
		half := spans[i].first >> 32
		var group []valueSpan
		if start := half << 32; spans[i].first != start {
			group = append(group, valueSpan{start, spans[i-1].action})
		}
		for ; i < len(spans) && spans[i].first>>32 == half; i++ {
			group = append(group, spans[i])
		}
		groups = append(groups, group)
		// What follows this upper half, up to the next that something begins in.
		if last := spans[i-1]; len(group) > 1 && half < 1<<32-1 && (i == len(spans) || spans[i].first>>32 > half+1) {
			groups = append(groups, []valueSpan{{(half + 1) << 32, last.action}})
		}
	}
	return groups
}
