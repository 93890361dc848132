package seccomp

import "golang.org/x/net/bpf"

// A builder makes a program from its end: jumps in BPF lead forward only, so
// that whatever is jumped to is there already. Code that is there is not made
// again, which keeps programs short: the kernel takes its time to install them.
type builder struct {
	code   []bpf.Instruction // the last one first
	made   map[piece]label
	copies map[label]label // what leads to a label that is out of reach
}

// A label is the index in code of an instruction to go on at.
type label int

// A piece is an instruction, before its jumps have distances, with where it
// goes on.
type piece struct {
	instruction bpf.Instruction
	yes, no     label
}

// reach is how far a conditional jump may lead: 255 instructions, less some room
// for what comes between.
const reach = 250

func (b *builder) push(in bpf.Instruction) label {
	b.code = append(b.code, in)
	return label(len(b.code) - 1)
}

// skip is the distance from the next instruction to a label.
func (b *builder) skip(to label) int { return len(b.code) - 1 - int(to) }

// near returns a label in reach that does as the given one.
func (b *builder) near(to label) label {
	if b.skip(to) <= reach {
		return to
	}
	if at, ok := b.copies[to]; ok && b.skip(at) <= reach {
		return at
	}
	in := b.code[to]
	if _, ends := in.(bpf.RetConstant); !ends {
		in = bpf.Jump{Skip: uint32(b.skip(to))}
	}
	if b.copies == nil {
		b.copies = map[label]label{}
	}
	b.copies[to] = b.push(in)
	return b.copies[to]
}

// once returns the label of a piece, which make makes if it is not there.
func (b *builder) once(p piece, make func() label) label {
	if at, ok := b.made[p]; ok {
		return at
	}
	if b.made == nil {
		b.made = map[piece]label{}
	}
	at := make()
	b.made[p] = at
	return at
}

// before puts an instruction that does not jump in front of a label.
func (b *builder) before(in bpf.Instruction, next label) label {
	if _, ends := b.code[next].(bpf.RetConstant); ends {
		return next // which does not look at the accumulator
	}
	return b.once(piece{in, next, next}, func() label {
		if b.skip(next) > 0 {
			b.push(bpf.Jump{Skip: uint32(b.skip(next))})
		}
		return b.push(in)
	})
}

// load puts a word of struct seccomp_data into the accumulator.
func (b *builder) load(offset uint32, next label) label {
	return b.before(bpf.LoadAbsolute{Off: offset, Size: 4}, next)
}

// and masks the accumulator.
func (b *builder) and(mask uint32, next label) label {
	return b.before(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask}, next)
}

// test goes on at yes if the accumulator passes, else at no.
func (b *builder) test(test bpf.JumpTest, with uint32, yes, no label) label {
	if yes == no {
		return yes
	}
	in := bpf.JumpIf{Cond: test, Val: with}
	return b.once(piece{in, yes, no}, func() label {
		yes, no := b.near(yes), b.near(no)
		in.SkipTrue, in.SkipFalse = uint8(b.skip(yes)), uint8(b.skip(no))
		return b.push(in)
	})
}

// result ends the program.
func (b *builder) result(a Action) label {
	in := bpf.RetConstant{Val: uint32(a)}
	return b.once(piece{instruction: in}, func() label { return b.push(in) })
}
