package seccomp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/containust/containust/modules/core/capability"
)

// MaxProfile is the size of the largest profile that Parse takes, in bytes.
const MaxProfile = 1 << 20

// Parse reads a profile from its JSON. Errors are a *[ParseError]: of what is no
// JSON, has a wrong type or value, or is not known. A profile that asks for a
// listener of notifications (SCMP_ACT_NOTIFY, listenerPath) is refused: there is
// none.
func Parse(text []byte) (*Profile, error) {
	if len(text) > MaxProfile {
		return nil, &ParseError{Line: 1, Column: 1, Text: fmt.Sprintf("it has %d bytes; a profile has at most %d", len(text), MaxProfile)}
	}
	r := newReader(text)
	p := r.profile()
	if r.err != nil {
		return nil, r.err
	}
	return p, nil
}

// ReadFile reads the text of a profile, for Parse, from a regular file.
func ReadFile(name string) (_ []byte, err error) {
	info, err := os.Stat(name) // to open a named pipe may take for ever
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// A byte too much is what Parse refuses.
	return io.ReadAll(io.LimitReader(f, MaxProfile+1))
}

var profileKeys = []string{
	"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap",
	"flags", "listenerPath", "listenerMetadata", "syscalls",
}

func (r *reader) profile() *Profile {
	var (
		p      Profile
		action action
		mapped place
	)
	r.object(profileKeys, func(key string) {
		switch key {
		case "defaultAction":
			action.read(r)
		case "defaultErrnoRet":
			action.readNumber(r)
		case "defaultErrno":
			action.readName(r)
		case "architectures":
			p.Architectures = r.architectures()
		case "archMap":
			mapped = r.place()
			r.array(func() { p.ArchMap = append(p.ArchMap, r.family()) })
		case "flags":
			r.array(func() { p.Flags |= oneOf(r, "flag", flagNames) })
		case "listenerPath", "listenerMetadata":
			if r.word() != "" {
				r.fail(r.start, "nobody here listens for notifications; remove it, and give calls another action than SCMP_ACT_NOTIFY")
			}
		case "syscalls":
			r.array(func() { p.Entries = append(p.Entries, r.entry()) })
		}
	})
	if len(p.Architectures) > 0 && len(p.ArchMap) > 0 {
		r.failAt(mapped, "there are architectures too; only one of the two may be there")
	}
	p.DefaultAction = action.value(r, "defaultAction")
	return &p
}

func (r *reader) architectures() (list []Arch) {
	r.array(func() {
		name := Arch(r.word())
		if r.err == nil && !slices.Contains(archNames, name) {
			r.fail(r.start, "unknown architecture %q", name)
		}
		list = append(list, name)
	})
	return list
}

func (r *reader) family() (f ArchFamily) {
	r.object([]string{"architecture", "subArchitectures"}, func(key string) {
		if key == "subArchitectures" {
			f.Others = r.architectures()
			return
		}
		f.Arch = Arch(r.word())
		if r.err == nil && !slices.Contains(archNames, f.Arch) {
			r.fail(r.start, "unknown architecture %q", f.Arch)
		}
	})
	return f
}

var entryKeys = []string{
	"names", "name", "action", "errnoRet", "errno", "args", "comment", "includes", "excludes",
}

func (r *reader) entry() Entry {
	var (
		e      Entry
		action action
	)
	r.object(entryKeys, func(key string) {
		switch key {
		case "names", "name":
			if len(e.Names) > 0 {
				r.fail(r.start, "there are names already; only one of name and names may be there")
			}
			if key == "name" {
				e.Names = slices.DeleteFunc([]string{r.word()}, func(s string) bool { return s == "" })
			} else {
				e.Names = r.words()
			}
		case "action":
			action.read(r)
		case "errnoRet":
			action.readNumber(r)
		case "errno":
			action.readName(r)
		case "args":
			r.array(func() { e.Args = append(e.Args, r.arg()) })
		case "comment":
			r.word()
		case "includes":
			e.Includes = r.condition()
		case "excludes":
			e.Excludes = r.condition()
		}
	})
	if len(e.Names) == 0 {
		r.fail(r.start, "the entry has no names")
	}
	e.Action = action.value(r, "action")
	return e
}

func (r *reader) arg() (a Arg) {
	r.object([]string{"index", "value", "valueTwo", "op"}, func(key string) {
		switch key {
		case "index":
			a.Index = int(number(r, 5))
		case "value":
			a.Value = number(r, math.MaxUint64)
		case "valueTwo":
			a.Want = number(r, math.MaxUint64)
		case "op":
			a.Op = oneOf(r, "operator", opNames)
		}
	})
	if a.Op == 0 {
		r.fail(r.start, "the condition has no op")
	}
	if a.Op != MaskedEqual {
		a.Want = 0 // other operators have one value
	}
	return a
}

// number reads a whole number, 0 for null.
func number(r *reader, most uint64) uint64 {
	if n := r.number(most); n != nil {
		return *n
	}
	return 0
}

func (r *reader) condition() (c Condition) {
	r.object([]string{"caps", "arches", "minKernel"}, func(key string) {
		switch key {
		case "caps":
			r.array(func() {
				one, err := capability.Parse(r.word())
				if err != nil {
					r.fail(r.start, "%v", err)
				}
				c.Capabilities |= capability.Of(one)
			})
		case "arches":
			c.Arches = r.words()
		case "minKernel":
			c.MinKernel = r.kernel()
		}
	})
	return c
}

var kernelVersion = regexp.MustCompile(`^(\d{1,4})\.(\d{1,4})$`)

func (r *reader) kernel() (k Kernel) {
	version := r.word()
	if version == "" {
		return Kernel{}
	}
	m := kernelVersion.FindStringSubmatch(version)
	if m == nil {
		r.fail(r.start, `the kernel version %q must be two numbers, as in "5.14"`, version)
		return Kernel{}
	}
	// At most four digits each: they are numbers.
	k.Major, _ = strconv.Atoi(m[1])
	k.Minor, _ = strconv.Atoi(m[2])
	return k
}

// oneOf reads one of the names of a map and returns what it stands for.
func oneOf[T any](r *reader, what string, names map[string]T) T {
	name := r.word()
	v, ok := names[name]
	if r.err == nil && !ok {
		r.fail(r.start, "unknown %s %q; known are %s", what, name, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	return v
}

// action collects an action from up to three members, in any order.
type action struct {
	kind            Action
	number, name    *uint16
	at              place // of the action's name
	numberAt, errAt place
	found           bool
}

func (a *action) read(r *reader) {
	word := r.word()
	a.at, a.found = r.place(), true
	kind, ok := actionNames[word]
	switch {
	case word == "SCMP_ACT_NOTIFY":
		r.fail(r.start, "nobody here listens for the notifications of SCMP_ACT_NOTIFY; choose another action, such as SCMP_ACT_ERRNO")
	case !ok:
		r.fail(r.start, "unknown action %q; known are %s", word, strings.Join(slices.Sorted(maps.Keys(actionNames)), ", "))
	}
	a.kind = kind
}

func (a *action) readNumber(r *reader) {
	if n := r.number(math.MaxUint16); n != nil {
		number := uint16(*n)
		a.number, a.numberAt = &number, r.place()
	}
}

func (a *action) readName(r *reader) {
	word := r.word()
	if word == "" {
		return
	}
	i := slices.IndexFunc(errnos[:], func(e errno) bool { return e.name == word })
	if i < 0 {
		r.fail(r.start, "unknown error %q; errno(3) lists them", word)
		return
	}
	a.name, a.errAt = &errnos[i].number, r.place()
}

// value puts the members together. key is what the action is called.
func (a *action) value(r *reader, key string) Action {
	if !a.found {
		r.fail(r.start, "there is no %s", key)
		return 0
	}
	number, at := a.number, a.numberAt
	if a.name != nil {
		if number != nil && *number != *a.name {
			r.failAt(a.errAt, "this is error %d, but errnoRet is %d", *a.name, *number)
		}
		number, at = a.name, a.errAt
	}
	switch {
	case number == nil && (a.kind == errnoAction || a.kind == traceAction):
		return a.kind | eperm
	case number == nil:
		return a.kind
	case a.kind != errnoAction && a.kind != traceAction:
		r.failAt(at, "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have an error number")
	case a.kind == errnoAction && *number > maxErrno:
		r.failAt(at, "an error number is at most %d", maxErrno)
	}
	return a.kind | Action(*number)
}
