package seccomp

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/containust/containust/modules/core/capability"
	"golang.org/x/net/bpf"
)

// Options say what a profile is compiled for. The zero value is a container
// without capabilities on this machine.
type Options struct {
	// Capabilities are those that the container can have: its bounding set.
	Capabilities capability.Set

	// Kernel is the oldest one that the program is for. Zero: the running one;
	// where that is not Linux, one that is as new as any entry asks for.
	Kernel Kernel

	// Machine is the GOARCH of the machine. Empty: this program's.
	Machine string
}

// Program is a compiled profile. The zero Program filters nothing.
type Program struct {
	// Instructions are what struct sock_fprog points to: struct sock_filter has
	// the same form. At most [MaxInstructions].
	Instructions []bpf.RawInstruction

	Flags Flags

	// NoExec tells that no execve(2) gets through: nothing can be started under
	// this filter.
	NoExec bool

	// Unknown are names in the profile that are no system calls of Linux on any
	// architecture, as far as this package knows, sorted. They are left out.
	Unknown []string
}

// MaxInstructions is the kernel's BPF_MAXINSNS.
const MaxInstructions = 4096

// Compile makes the program of a profile. The error matches
// [errors.ErrUnsupported] for a machine that programs cannot be made for.
func (p *Profile) Compile(opts Options) (Program, error) {
	machine, ok := machines[cmp.Or(opts.Machine, runtime.GOARCH)]
	if !ok {
		return Program{}, fmt.Errorf("seccomp: compile for %s: %w: only amd64 and arm64 are known", cmp.Or(opts.Machine, runtime.GOARCH), errors.ErrUnsupported)
	}
	if err := p.check(); err != nil {
		return Program{}, fmt.Errorf("seccomp: compile: %w", err)
	}
	if opts.Kernel == (Kernel{}) {
		var err error
		if opts.Kernel, err = runningKernel(); err != nil {
			return Program{}, fmt.Errorf("seccomp: compile: %w", err)
		}
	}
	entries := p.entries(opts)
	program := Program{Flags: p.Flags, Unknown: unknown(entries)}

	named := p.named(machine.native)
	filters := []filter{p.filter(machine.native, entries)}
	for _, a := range machine.others {
		if slices.Contains(named, abis[a].name) {
			filters = append(filters, p.filter(a, entries))
		}
	}
	execve := filters[0].calls[lookup("execve").numbers[machine.native]]
	if execve == nil {
		execve = &decision{action: p.DefaultAction}
	}
	program.NoExec = !execve.lets()
	code := assemble(filters)
	if len(code) > MaxInstructions {
		return Program{}, fmt.Errorf("seccomp: compile: the program has %d instructions, and the kernel takes %d: the profile has too many conditions", len(code), MaxInstructions)
	}
	var err error
	if program.Instructions, err = bpf.Assemble(code); err != nil {
		return Program{}, fmt.Errorf("seccomp: compile: %w", err)
	}
	return program, nil
}

// Of a profile that is larger than these no program fits into the kernel, or
// almost nothing in it has an effect.
const (
	maxNames      = 1 << 16
	maxConditions = 1 << 13 // those of an entry count for each of its names
)

// check finds what would take too long to compile, and what Parse would not have
// let pass.
func (p *Profile) check() error {
	names, conditions := 0, 0
	for _, e := range p.Entries {
		names += len(e.Names)
		conditions += len(e.Names) * len(e.Args)
		if names > maxNames || conditions > maxConditions {
			return fmt.Errorf("the profile is too large: it may have %d names, and %d conditions on them", maxNames, maxConditions)
		}
		for _, a := range e.Args {
			if a.Index < 0 || a.Index > 5 || a.Op < NotEqual || a.Op > MaskedEqual {
				return fmt.Errorf("the condition %+v on %v is none", a, e.Names)
			}
		}
	}
	return nil
}

// named are the architectures beside the native one that the profile is for.
func (p *Profile) named(native arch) []Arch {
	for _, family := range p.ArchMap {
		if family.Arch == abis[native].name {
			return family.Others
		}
	}
	return p.Architectures
}

// entries are those that count.
func (p *Profile) entries(opts Options) []Entry {
	machine := cmp.Or(opts.Machine, runtime.GOARCH) // of those known here, profiles use the same name
	var list []Entry
	for _, e := range p.Entries {
		in, out := e.Includes, e.Excludes
		switch {
		case len(in.Arches) > 0 && !slices.Contains(in.Arches, machine),
			in.Capabilities&^opts.Capabilities != 0,
			compareKernel(opts.Kernel, in.MinKernel) < 0,
			slices.Contains(out.Arches, machine),
			out.Capabilities&opts.Capabilities != 0,
			out.MinKernel != Kernel{} && compareKernel(opts.Kernel, out.MinKernel) >= 0:
		default:
			list = append(list, e)
		}
	}
	return list
}

// compareKernel orders kernels by age.
func compareKernel(a, b Kernel) int {
	return cmp.Or(cmp.Compare(a.Major, b.Major), cmp.Compare(a.Minor, b.Minor))
}

func unknown(entries []Entry) []string {
	var names []string
	for _, e := range entries {
		for _, name := range e.Names {
			if lookup(name) == nil {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// A filter is what a profile says about the calls of one architecture.
type filter struct {
	arch    arch
	action  Action // of calls that the profile does not name
	calls   map[int32]*decision
	largest int32 // number that the profile names, -1 for none
}

// A decision is what happens to one call.
type decision struct {
	action Action // if no rule matches
	named  bool   // action is an entry's, not the default
	rules  []rule // the strictest first: the first that matches counts
}

// A rule is an action under conditions.
type rule struct {
	args   []Arg // at least one; all must hold
	action Action
}

// filter collects the decisions for an architecture.
func (p *Profile) filter(a arch, entries []Entry) filter {
	f := filter{arch: a, action: p.DefaultAction, calls: map[int32]*decision{}, largest: -1}
	inside := map[string]*decision{} // of the calls that multiplexers do
	for _, e := range entries {
		for _, name := range e.Names {
			if a == x86 {
				decide(inside, name, e, p.DefaultAction)
			}
			c := lookup(name)
			if c == nil || c.numbers[a] < 0 {
				continue
			}
			number := c.numbers[a]
			decide(f.calls, number, e, p.DefaultAction)
			if number < armPrivate {
				f.largest = max(f.largest, number)
			}
		}
	}
	if a == x86 {
		f.restrict(inside)
	}
	for _, d := range f.calls {
		if d.named {
			d.rules = slices.DeleteFunc(d.rules, func(r rule) bool { return !r.action.stricter(d.action) })
		}
		slices.SortStableFunc(d.rules, func(a, b rule) int { return cmp.Compare(int32(a.action.kind()), int32(b.action.kind())) })
	}
	return f
}

// decide adds an entry to the decision of a call.
func decide[K comparable](calls map[K]*decision, key K, e Entry, standard Action) {
	d := calls[key]
	if d == nil {
		d = &decision{action: standard}
		calls[key] = d
	}
	switch {
	case len(e.Args) > 0 && repeats(e.Args):
		for _, a := range e.Args {
			d.rules = append(d.rules, rule{[]Arg{a}, e.Action})
		}
	case len(e.Args) > 0:
		d.rules = append(d.rules, rule{e.Args, e.Action})
	case !d.named && e.Action != standard:
		d.action, d.named = e.Action, true
	}
}

// repeats tells whether two conditions look at the same argument.
func repeats(args []Arg) bool {
	seen := 0
	for _, a := range args {
		if seen&(1<<a.Index) != 0 {
			return true
		}
		seen |= 1 << a.Index
	}
	return false
}

// unnamed is the action of a number that the profile does not name.
func (f *filter) unnamed(number int32) Action {
	if f.action.lets() || f.action.kind() == traceAction || f.largest < 0 || number <= f.largest {
		return f.action
	}
	return Errno(enosys)
}

// lets tells whether the call can happen, for some arguments.
func (d *decision) lets() bool {
	return d.action.lets() || slices.ContainsFunc(d.rules, func(r rule) bool { return r.action.lets() })
}

// strictest is the strictest action that the call can get.
func (d *decision) strictest() Action {
	strictest := d.action
	for _, r := range d.rules {
		if r.action.stricter(strictest) {
			strictest = r.action
		}
	}
	return strictest
}

// restrict denies through a multiplexer that the profile does not name what it
// denies to the calls inside. It cannot see their arguments: what is denied for
// some is denied.
func (f *filter) restrict(inside map[string]*decision) {
	for _, m := range multiplexers {
		number := lookup(m.name).numbers[f.arch]
		if d := f.calls[number]; d != nil && (d.named || len(d.rules) > 0) {
			continue
		}
		d := &decision{action: f.unnamed(number)}
		for _, name := range slices.Sorted(maps.Keys(m.does)) {
			if one := inside[name]; one != nil && one.strictest().stricter(f.action) {
				d.rules = append(d.rules, rule{[]Arg{{Op: MaskedEqual, Value: m.mask, Want: m.does[name]}}, one.strictest()})
			}
		}
		f.calls[number] = d
	}
}
