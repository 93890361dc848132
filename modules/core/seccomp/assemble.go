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

// code is a piece of a program. Each path through it ends in a return, but for
// the pieces of a rule.
type code = []bpf.Instruction

// assemble makes a program of filters, the native one first.
func assemble(filters []filter) code {
	rest := code{result(KillThread)} // of an architecture that the profile does not name
	for _, f := range slices.Backward(filters) {
		if f.arch == x32 {
			continue // a part of amd64
		}
		spans := f.spans()
		if f.arch == amd64 {
			spans = append(spans, x32Spans(filters)...)
		}
		numbers := append(code{bpf.LoadAbsolute{Off: numberOffset, Size: 4}}, search(spans)...)
		rest = branch(bpf.JumpEqual, abis[f.arch].audit, numbers, rest)
	}
	return append(code{bpf.LoadAbsolute{Off: archOffset, Size: 4}}, rest...)
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

// x32Spans covers the numbers of x32.
func x32Spans(filters []filter) []span {
	for _, f := range filters {
		if f.arch == x32 {
			return f.spans()
		}
	}
	return []span{{first: x32Bit, decision: &decision{action: KillThread}}}
}

// search finds the span of the number in the accumulator.
func search(spans []span) code {
	if len(spans) == 1 {
		return spans[0].code()
	}
	half := len(spans) / 2
	return branch(bpf.JumpGreaterOrEqual, spans[half].first, search(spans[half:]), search(spans[:half]))
}

// branch goes on with yes if the accumulator passes the test, else with no.
func branch(test bpf.JumpTest, with uint32, yes, no code) code {
	c := make(code, 0, 2+len(yes)+len(no))
	if len(yes) <= 255 {
		c = append(c, bpf.JumpIf{Cond: test, Val: with, SkipFalse: uint8(len(yes))})
	} else {
		c = append(c, bpf.JumpIf{Cond: test, Val: with, SkipTrue: 1}, bpf.Jump{Skip: uint32(len(yes))})
	}
	return append(append(c, yes...), no...)
}

func result(a Action) bpf.Instruction { return bpf.RetConstant{Val: uint32(a)} }

// code decides a call whose number is known.
func (s *span) code() code {
	var c code
	for _, r := range s.decision.rules {
		c = append(c, r.code(s.bits)...)
	}
	return append(c, result(s.decision.action))
}

// miss stands for a jump to the end of a rule, until the length of the rule is
// known: it is at most 43.
const miss = 255

// code returns the rule's action if its conditions hold; else it runs off its
// end.
func (r rule) code(bits int) code {
	var c code
	for _, a := range r.args {
		c = append(c, a.code(bits)...)
	}
	c = append(c, result(r.action))
	for i, in := range c {
		if jump, ok := in.(bpf.JumpIf); ok {
			end := uint8(len(c) - 1 - i)
			if jump.SkipTrue == miss {
				jump.SkipTrue = end
			}
			if jump.SkipFalse == miss {
				jump.SkipFalse = end
			}
			c[i] = jump
		}
	}
	return c
}

// code goes on if the condition holds; else it jumps to miss. Arguments have 64
// bits, and BPF 32: the halves are compared one after the other, the upper one
// first. Both machines are little-endian.
func (a Arg) code(bits int) code {
	offset := uint32(argsOffset + 8*a.Index)
	lower := a.lower()
	c := append(code{bpf.LoadAbsolute{Off: offset, Size: 4}}, lower...)
	if bits == 32 {
		return c
	}
	upper := append(code{bpf.LoadAbsolute{Off: offset + 4, Size: 4}}, a.upper(uint8(len(c)))...)
	return append(upper, c...)
}

// lower judges the lower halves, where the upper ones did not.
func (a Arg) lower() code {
	value := uint32(a.Value)
	switch a.Op {
	case NotEqual:
		return code{bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipTrue: miss}}
	case Less:
		return code{bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: value, SkipTrue: miss}}
	case LessOrEqual:
		return code{bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: value, SkipTrue: miss}}
	case Equal:
		return code{bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: miss}}
	case GreaterOrEqual:
		return code{bpf.JumpIf{Cond: bpf.JumpGreaterOrEqual, Val: value, SkipFalse: miss}}
	case Greater:
		return code{bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: value, SkipFalse: miss}}
	default: // MaskedEqual
		return masked(value, uint32(a.Want))
	}
}

// upper judges the upper halves. Where they decide that the condition holds, it
// jumps over rest more instructions.
func (a Arg) upper(rest uint8) code {
	value := uint32(a.Value >> 32)
	switch a.Op {
	case NotEqual:
		return code{bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: rest}}
	case Less, LessOrEqual:
		return code{
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: value, SkipTrue: miss},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: rest},
		}
	case Equal:
		return code{bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: miss}}
	case Greater, GreaterOrEqual:
		return code{
			bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: value, SkipTrue: rest + 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: value, SkipFalse: miss},
		}
	default: // MaskedEqual
		return masked(value, uint32(a.Want>>32))
	}
}

func masked(mask, want uint32) code {
	return code{
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: want & mask, SkipFalse: miss},
	}
}
