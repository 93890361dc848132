package seccomp

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

// sysCall is a call as a filter sees it: struct seccomp_data.
type sysCall struct {
	number, audit uint32
	args          [6]uint64
}

// An oracle reads a profile as the package's comment explains it, call by call.
// It shares with Compile what is data, and nothing of how a program is made.
type oracle struct {
	standard Action
	entries  []Entry // that count
	on       []arch
	largest  [archCount]int64 // number that the profile names, ARM's own aside
}

func newOracle(p *Profile, opts Options) oracle {
	o := oracle{standard: p.DefaultAction}
	for _, e := range p.Entries {
		if counts(e, opts) {
			o.entries = append(o.entries, e)
		}
	}
	native, family := amd64, []arch{x86, x32}
	if opts.Machine == "arm64" {
		native, family = arm64, []arch{arm}
	}
	others := p.Architectures
	for _, f := range p.ArchMap {
		if f.Arch == abis[native].name {
			others = f.Others
		}
	}
	o.on = []arch{native}
	for _, a := range family {
		if slices.Contains(others, abis[a].name) {
			o.on = append(o.on, a)
		}
	}
	for a := range archCount {
		o.largest[a] = -1
		for _, c := range calls {
			if n := c.numbers[a]; n < armPrivate && o.mentions([]string{c.name}) {
				o.largest[a] = max(o.largest[a], int64(n))
			}
		}
	}
	return o
}

// namesOf are the names of each number.
var namesOf = sync.OnceValue(func() (names [archCount]map[uint32][]string) {
	for a := range names {
		names[a] = map[uint32][]string{}
		for _, c := range calls {
			if n := c.numbers[a]; n >= 0 {
				names[a][uint32(n)] = append(names[a][uint32(n)], c.name)
			}
		}
	}
	return names
})

func (o oracle) decides(sc sysCall) Action {
	on, number := archCount, sc.number
	for _, a := range o.on {
		if abis[a].audit != sc.audit {
			continue
		}
		if high := number >= x32Bit && (number != skipped || slices.Contains(o.on, x32)); a != amd64 && a != x32 || high == (a == x32) {
			on = a
		}
	}
	if on == archCount {
		return KillThread
	}
	if on == x32 {
		number -= x32Bit
	}
	names := namesOf()[on][number]
	matched, named := o.match(names, func(a Arg) bool { return condition(a, sc.args[a.Index], abis[on].bits) })
	if on == x86 && !named {
		for _, m := range multiplexers {
			if !slices.Contains(names, m.name) {
				continue
			}
			for name, n := range m.does {
				if sc.args[0]&m.mask == n {
					matched, _ = o.match([]string{name}, func(Arg) bool { return true })
					matched = slices.DeleteFunc(matched, func(a Action) bool { return !a.stricter(o.standard) })
				}
			}
		}
	}
	if len(matched) > 0 {
		return slices.MinFunc(matched, func(a, b Action) int { return int(int32(a.kind())>>16) - int(int32(b.kind())>>16) })
	}
	permissive := o.standard.kind() == Allow || o.standard.kind() == Log || o.standard.kind() == traceAction
	if !permissive && !(on == amd64 && number == skipped) && o.largest[on] >= 0 && int64(number) > o.largest[on] && !o.mentions(names) {
		return Errno(enosys)
	}
	return o.standard
}

// match returns the actions of the entries that match, and whether any of them
// is more than a repetition of the default.
func (o oracle) match(names []string, holds func(Arg) bool) (matched []Action, named bool) {
	fixed := false
	for _, e := range o.entries {
		for _, name := range e.Names {
			if !slices.Contains(names, name) {
				continue
			}
			indexes, held := map[int]bool{}, 0
			for _, a := range e.Args {
				indexes[a.Index] = true
				if holds(a) {
					held++
				}
			}
			switch {
			case len(e.Args) == 0 && !fixed && e.Action != o.standard:
				matched, fixed, named = slices.Insert(matched, 0, e.Action), true, true
			case len(e.Args) == 0:
			case held == len(e.Args), held > 0 && len(indexes) < len(e.Args):
				matched, named = append(matched, e.Action), true
			default:
				named = true
			}
		}
	}
	return matched, named
}

func (o oracle) mentions(names []string) bool {
	for _, e := range o.entries {
		for _, name := range names {
			if slices.Contains(e.Names, name) {
				return true
			}
		}
	}
	return false
}

func counts(e Entry, opts Options) bool {
	ok := true
	if len(e.Includes.Arches) > 0 {
		ok = ok && slices.Contains(e.Includes.Arches, opts.Machine)
	}
	for _, c := range e.Includes.Capabilities.All() {
		ok = ok && opts.Capabilities.Has(c)
	}
	older := func(k Kernel) bool {
		return opts.Kernel.Major < k.Major || opts.Kernel.Major == k.Major && opts.Kernel.Minor < k.Minor
	}
	ok = ok && !older(e.Includes.MinKernel)
	for _, c := range e.Excludes.Capabilities.All() {
		ok = ok && !opts.Capabilities.Has(c)
	}
	return ok && !slices.Contains(e.Excludes.Arches, opts.Machine) && (e.Excludes.MinKernel == Kernel{} || older(e.Excludes.MinKernel))
}

func condition(a Arg, arg uint64, bits int) bool {
	value, want := a.Value, a.Want
	if bits == 32 {
		arg, value, want = arg&0xffffffff, value&0xffffffff, want&0xffffffff
	}
	switch a.Op {
	case NotEqual:
		return arg != value
	case Less:
		return arg < value
	case LessOrEqual:
		return arg <= value
	case Equal:
		return arg == value
	case GreaterOrEqual:
		return arg >= value
	case Greater:
		return arg > value
	}
	return arg&value == want&value
}

// machineFor runs programs as the kernel does.
type machineFor struct {
	t       testing.TB
	vm      *bpf.VM
	program []bpf.Instruction
}

func newMachine(t testing.TB, p Program) machineFor {
	t.Helper()
	instructions, ok := bpf.Disassemble(p.Instructions)
	if !ok {
		t.Fatal("the program has an instruction that is none")
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	return machineFor{t, vm, instructions}
}

// run returns what the program decides.
func (m machineFor) run(sc sysCall) Action {
	// The virtual machine reads big-endian words, the kernel native ones.
	data := make([]byte, 64)
	binary.BigEndian.PutUint32(data, sc.number)
	binary.BigEndian.PutUint32(data[4:], sc.audit)
	for i, a := range sc.args {
		binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
	}
	out, err := m.vm.Run(data)
	if err != nil {
		m.t.Fatal(err)
	}
	return Action(out)
}

// constant returns what the program decides without looking at arguments, as
// the kernel finds out when a filter is installed.
func (m machineFor) constant(number, audit uint32) (Action, bool) {
	var a uint32
	for pc := 0; ; pc++ {
		switch in := m.program[pc].(type) {
		case bpf.LoadAbsolute:
			switch in.Off {
			case numberOffset:
				a = number
			case archOffset:
				a = audit
			default:
				return 0, false
			}
		case bpf.JumpIf:
			holds := map[bpf.JumpTest]bool{
				bpf.JumpEqual: a == in.Val, bpf.JumpNotEqual: a != in.Val, bpf.JumpGreaterThan: a > in.Val,
				bpf.JumpLessThan: a < in.Val, bpf.JumpGreaterOrEqual: a >= in.Val, bpf.JumpLessOrEqual: a <= in.Val,
			}[in.Cond]
			if holds {
				pc += int(in.SkipTrue)
			} else {
				pc += int(in.SkipFalse)
			}
		case bpf.Jump:
			pc += int(in.Skip)
		case bpf.RetConstant:
			return Action(in.Val), true
		default:
			return 0, false
		}
	}
}

// numbers are all that any call has, those around them, and odd ones.
func numbers() []uint32 {
	set := []uint32{armPrivate - 1, armPrivate, 0x7fffffff, 0x80000000, 0xbfffffff, 0xc0000000, 0xfffffffe, 0xffffffff}
	for n := range uint32(600) {
		set = append(set, n, x32Bit+n)
	}
	for n := range uint32(8) {
		set = append(set, armPrivate+n, x32Bit-n-1)
	}
	return set
}

// audits are those of the architectures, and a foreign one (s390x).
func audits() []uint32 { return []uint32{0xc000003e, 0x40000003, 0xc00000b7, 0x40000028, 0x80000016} }

// agree compares the program with the oracle: for all numbers, and where a
// profile has conditions on a call, for arguments around the values there.
func agree(t testing.TB, p *Profile, opts Options, random *rand.Rand, some func(sysCall) bool) {
	t.Helper()
	program, err := p.Compile(opts)
	require.NoError(t, err)
	m, o := newMachine(t, program), newOracle(p, opts)
	conditions := map[string][]Arg{}
	for _, e := range p.Entries {
		for _, name := range e.Names {
			conditions[name] = append(conditions[name], e.Args...)
		}
	}
	byNumber := [archCount]map[uint32][]Arg{}
	for a := range byNumber {
		byNumber[a] = map[uint32][]Arg{}
		for _, c := range calls {
			if n := c.numbers[a]; n >= 0 && len(conditions[c.name]) > 0 {
				byNumber[a][uint32(n)] = append(byNumber[a][uint32(n)], conditions[c.name]...)
			}
		}
	}
	for _, audit := range audits() {
		for _, number := range numbers() {
			vectors := [][6]uint64{{}, {^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0)}}
			var args []Arg
			for a := range archCount {
				if abis[a].audit == audit {
					args = append(args, byNumber[a][number&^x32Bit]...)
				}
			}
			if audit == abis[x86].audit && (number == 102 || number == 117) {
				for n := range uint64(26) {
					vectors = append(vectors, [6]uint64{n}, [6]uint64{n | 1<<16}, [6]uint64{n | 1<<32})
				}
			}
			for _, a := range args {
				for _, v := range near(a) {
					vector := [6]uint64{}
					for i := range vector {
						if other := args[random.IntN(len(args))]; random.IntN(4) > 0 {
							values := near(other)
							vector[i] = values[random.IntN(len(values))]
						}
					}
					vector[a.Index] = v
					vectors = append(vectors, vector)
				}
			}
			for _, vector := range vectors {
				sc := sysCall{number, audit, vector}
				if some != nil && !some(sc) {
					continue
				}
				want, got := o.decides(sc), m.run(sc)
				if want != got {
					t.Fatalf("%s with %v, call %+v: the program says %v, the profile %v", opts.Machine, opts.Capabilities, sc, got, want)
				}
				if len(args) == 0 && (audit != abis[x86].audit || number != 102 && number != 117) {
					if constant, ok := m.constant(number, audit); !ok || constant != want {
						t.Fatalf("%s, call %+v is not decided by number and architecture alone", opts.Machine, sc)
					}
				}
			}
		}
	}
}

// near are numbers around the value of a condition.
func near(a Arg) []uint64 {
	v := []uint64{
		a.Value, a.Value - 1, a.Value + 1, a.Value ^ 1<<32, a.Value + 1<<32, a.Value - 1<<32, a.Value ^ 1<<31,
		a.Value ^ 1<<63, a.Value & 0xffffffff, a.Value | 0xffffffff, a.Value << 32, a.Value >> 32, ^a.Value, 0, 1,
	}
	if a.Op == MaskedEqual {
		v = append(v, a.Want, a.Want&a.Value, a.Want|^a.Value, a.Want^1, a.Want^1<<32, a.Want&0xffffffff)
	}
	return v
}
