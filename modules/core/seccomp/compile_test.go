package seccomp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/containust/containust/modules/core/capability"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

var newest = Kernel{Major: 99}

// The program of the default profile decides every number of every
// architecture, with arguments around each value of the profile, as the profile
// says.
func TestDefaultAgrees(t *testing.T) {
	sets := []capability.Set{0, capability.Docker, ^capability.Set(0)}
	for _, e := range Default().Entries {
		sets = append(sets, e.Includes.Capabilities)
	}
	slices.Sort(sets)
	sets = slices.Compact(sets)
	for _, machine := range []string{"amd64", "arm64"} {
		for i, caps := range sets {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			agree(t, Default(), Options{Capabilities: caps, Machine: machine, Kernel: newest}, random, nil)
		}
	}
}

// Profiles made at random, of few names and values so that entries meet.
func TestRandomProfilesAgree(t *testing.T) {
	for seed := range uint64(100) {
		random := rand.New(rand.NewPCG(2, seed))
		p := randomProfile(random)
		for _, machine := range []string{"amd64", "arm64"} {
			opts := Options{Capabilities: capability.Of(capability.CHOWN), Machine: machine, Kernel: Kernel{5, 14}}
			agree(t, p, opts, random, nil)
		}
	}
}

func randomProfile(r *rand.Rand) *Profile {
	actions := []Action{KillProcess, KillThread, Trap, Errno(1), Errno(38), Errno(0), Trace(1), Log, Allow}
	values := []uint64{0, 1, 38, 0xffffffff, 1 << 32, 1<<32 | 38, 0x7e020000, 3<<32 | 38, 1 << 63, ^uint64(0) - 1, ^uint64(0)}
	names := []string{"read", "socket", "connect", "accept", "clone", "socketcall", "ipc", "semop", "set_tls", "execveat", "personality", "openat2", "none"}
	pick := func(n int) int { return r.IntN(n) }
	p := &Profile{DefaultAction: actions[pick(len(actions))]}
	switch pick(3) {
	case 0:
		p.Architectures = []Arch{"SCMP_ARCH_X86", "SCMP_ARCH_ARM"}
	case 1:
		p.ArchMap = []ArchFamily{{"SCMP_ARCH_X86_64", []Arch{"SCMP_ARCH_X86", "SCMP_ARCH_X32"}}, {"SCMP_ARCH_AARCH64", []Arch{"SCMP_ARCH_ARM"}}}
	}
	for range pick(12) {
		e := Entry{Action: actions[pick(len(actions))]}
		for range 1 + pick(3) {
			e.Names = append(e.Names, names[pick(len(names))])
		}
		for range pick(4) {
			a := Arg{Index: pick(3), Op: Op(1 + pick(7)), Value: values[pick(len(values))]}
			if a.Op == MaskedEqual {
				a.Want = values[pick(len(values))]
			}
			e.Args = append(e.Args, a)
		}
		switch pick(6) {
		case 0:
			e.Includes = Condition{Capabilities: capability.Of(capability.Capability(pick(2))), MinKernel: Kernel{5, 13 + pick(3)}}
		case 1:
			e.Excludes = Condition{Capabilities: capability.Set(1 + pick(3)), MinKernel: Kernel{5, 13 + pick(3)}}
		case 2:
			e.Includes.Arches = []string{"amd64", "x86"}
		case 3:
			e.Excludes.Arches = []string{"arm64"}
		}
		p.Entries = append(p.Entries, e)
	}
	return p
}

// What the default profile does, in words.
func TestDefault(t *testing.T) {
	eperm, enosys := Errno(1), Errno(38)
	const amd64Audit, x86Audit, armAudit = 0xc000003e, 0x40000003, 0x40000028
	for _, test := range []struct {
		name  string
		caps  capability.Set
		audit uint32
		call  uint32
		args  [6]uint64
		want  Action
	}{
		{"read", 0, amd64Audit, 0, [6]uint64{}, Allow},
		{"socket AF_INET", 0, amd64Audit, 41, [6]uint64{2}, Allow},
		{"socket AF_ALG", 0, amd64Audit, 41, [6]uint64{38}, eperm},
		{"socket AF_VSOCK", 0, amd64Audit, 41, [6]uint64{40}, eperm},
		{"socket AF_ALG with an odd upper half", 0, amd64Audit, 41, [6]uint64{1<<32 | 38}, eperm},
		{"socket AF_ALG on x86", 0, x86Audit, 359, [6]uint64{38}, eperm},
		{"socketcall on x86", 0, x86Audit, 102, [6]uint64{1}, eperm},
		{"connect through socketcall", ^capability.Set(0), x86Audit, 102, [6]uint64{3}, eperm},
		{"clone for a thread", 0, amd64Audit, 56, [6]uint64{0x3d0f00}, Allow},
		{"clone for a user namespace", 0, amd64Audit, 56, [6]uint64{0x10000000}, eperm},
		{"clone for a user namespace, CAP_SYS_ADMIN", capability.Of(capability.SYS_ADMIN), amd64Audit, 56, [6]uint64{0x10000000}, Allow},
		{"clone3", 0, amd64Audit, 435, [6]uint64{}, enosys},
		{"clone3, CAP_SYS_ADMIN", capability.Of(capability.SYS_ADMIN), amd64Audit, 435, [6]uint64{}, Allow},
		{"unshare", 0, amd64Audit, 272, [6]uint64{}, eperm},
		{"keyctl", 0, amd64Audit, 250, [6]uint64{}, eperm},
		{"bpf", 0, amd64Audit, 321, [6]uint64{}, eperm},
		{"bpf, CAP_BPF", capability.Of(capability.BPF), amd64Audit, 321, [6]uint64{}, Allow},
		{"io_uring_setup", 0, amd64Audit, 425, [6]uint64{}, eperm},
		{"ptrace", 0, amd64Audit, 101, [6]uint64{}, Allow},
		{"chroot", 0, amd64Audit, 161, [6]uint64{}, eperm},
		{"personality", 0, amd64Audit, 135, [6]uint64{0x20008}, Allow},
		{"personality ADDR_NO_RANDOMIZE", 0, amd64Audit, 135, [6]uint64{0x40000}, eperm},
		{"a call of tomorrow", 0, amd64Audit, 500, [6]uint64{}, enosys},
		{"a call of tomorrow on x86", 0, x86Audit, 500, [6]uint64{}, enosys},
		{"the call that a tracer left out", 0, amd64Audit, 0xffffffff, [6]uint64{}, enosys},
		{"read of x32", 0, amd64Audit, 0x40000000, [6]uint64{}, Allow},
		{"keyctl of x32", 0, amd64Audit, 0x40000000 + 250, [6]uint64{}, eperm},
		{"a foreign architecture", 0, armAudit, 0, [6]uint64{}, KillThread},
	} {
		t.Run(test.name, func(t *testing.T) {
			program, err := Default().Compile(Options{Capabilities: test.caps, Machine: "amd64", Kernel: newest})
			require.NoError(t, err)
			got := newMachine(t, program).run(sysCall{test.call, test.audit, test.args})
			require.Equal(t, test.want.String(), got.String())
		})
	}
}

// Where a profile leaves a choice, these are the choices.
func TestMeaning(t *testing.T) {
	const amd64Audit, x86Audit = 0xc000003e, 0x40000003
	for _, test := range []struct {
		name, profile string
		audit, call   uint32
		args          [6]uint64
		want          Action
	}{
		{"two conditions on one argument are alternatives", `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW",
			"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}]}`, amd64Audit, 0, [6]uint64{2}, Allow},
		{"two conditions on two arguments must both hold", `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW",
			"args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]}]}`, amd64Audit, 0, [6]uint64{1, 1}, Errno(1)},
		{"a value between two others", `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
			{"name": "read", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 4294967334, "op": "SCMP_CMP_EQ"}]},
			{"name": "read", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 12884901926, "op": "SCMP_CMP_EQ"}]}]}`, amd64Audit, 0, [6]uint64{2<<32 | 38}, Errno(1)},
		{"the first without conditions counts", `{"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW"},
			{"name": "read", "action": "SCMP_ACT_ERRNO"}]}`, amd64Audit, 0, [6]uint64{}, Allow},
		{"unless it repeats the default", `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO", "errnoRet": 1},
			{"name": "read", "action": "SCMP_ACT_ALLOW"}]}`, amd64Audit, 0, [6]uint64{}, Allow},
		{"a stricter one with conditions stays", `{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW"},
			{"name": "read", "action": "SCMP_ACT_KILL_PROCESS", "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]}]}`, amd64Audit, 0, [6]uint64{7}, KillProcess},
		{"what a profile denies, socketcall does not do", `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{"name": "connect",
			"action": "SCMP_ACT_ERRNO", "errnoRet": 13}]}`, x86Audit, 102, [6]uint64{3}, Errno(13)},
		{"whatever the arguments", `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{"name": "socket",
			"action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]}]}`, x86Audit, 102, [6]uint64{1}, Errno(1)},
		{"but the rest it does", `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{"name": "connect",
			"action": "SCMP_ACT_ERRNO"}]}`, x86Audit, 102, [6]uint64{2}, Allow},
		{"if the profile names it, it does all", `{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{"name": "socketcall",
			"action": "SCMP_ACT_ALLOW"}]}`, x86Audit, 102, [6]uint64{1}, Allow},
		{"a version does not hide what ipc does", `{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{"name": "shmat",
			"action": "SCMP_ACT_ERRNO"}]}`, x86Audit, 117, [6]uint64{1<<16 | 21}, Errno(1)},
		{"an architecture that is not named", `{"defaultAction": "SCMP_ACT_ALLOW"}`, x86Audit, 3, [6]uint64{}, KillThread},
		{"x32 that is not named", `{"defaultAction": "SCMP_ACT_ALLOW"}`, amd64Audit, x32Bit, [6]uint64{}, KillThread},
		{"nothing is too new where all is allowed", `{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_ERRNO"}]}`, amd64Audit, 500, [6]uint64{}, Allow},
		{"error by name", `{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOTSUP"}`, amd64Audit, 0, [6]uint64{}, Errno(95)},
		{"trace", `{"defaultAction": "SCMP_ACT_TRACE", "defaultErrnoRet": 65535}`, amd64Audit, 0, [6]uint64{}, Trace(65535)},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := Parse([]byte(test.profile))
			require.NoError(t, err)
			program, err := p.Compile(Options{Machine: "amd64", Kernel: newest})
			require.NoError(t, err)
			got := newMachine(t, program).run(sysCall{test.call, test.audit, test.args})
			require.Equal(t, test.want.String(), got.String())
		})
	}
}

func TestCompile(t *testing.T) {
	_, err := Default().Compile(Options{Machine: "riscv64"})
	require.ErrorIs(t, err, errors.ErrUnsupported)

	program, err := (&Profile{DefaultAction: Allow, Flags: LogActions, Entries: []Entry{{Names: []string{"opne", "read", "opne"}, Action: Errno(1)}}}).Compile(Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"opne"}, program.Unknown)
	require.Equal(t, LogActions, program.Flags)
	require.False(t, program.NoExec)

	for action, noExec := range map[Action]bool{Allow: false, Log: false, Trace(1): true, Errno(1): true, KillProcess: true} {
		p := Profile{DefaultAction: Allow, Entries: []Entry{{Names: []string{"execve"}, Action: action}}}
		program, err := p.Compile(Options{Machine: "arm64"})
		require.NoError(t, err)
		require.Equal(t, noExec, program.NoExec, action)

		p.Entries = append(p.Entries, Entry{Names: []string{"execve"}, Action: Allow, Args: []Arg{{Op: Equal}}})
		p.Entries[0].Names[0] = "read"
		p.DefaultAction = action
		program, err = p.Compile(Options{Machine: "arm64"})
		require.NoError(t, err)
		require.False(t, program.NoExec, "for some arguments it can")
	}

	_, err = (&Profile{Entries: []Entry{{Names: []string{"read"}, Args: []Arg{{Index: 6, Op: Equal}}}}}).Compile(Options{})
	require.ErrorContains(t, err, "is none")
}

// A long rule list makes long jumps, and in the end too long a program.
func TestLength(t *testing.T) {
	profile := func(conditions int) *Profile {
		p := &Profile{DefaultAction: Errno(1)}
		for n := range conditions {
			p.Entries = append(p.Entries, Entry{
				Names: []string{[]string{"read", "socket", "bpf"}[n%3]}, Action: Allow,
				Args: []Arg{{Op: Equal, Value: uint64(n)}, {Index: 1, Op: Equal, Value: uint64(n)}},
			})
		}
		return p
	}
	random := rand.New(rand.NewPCG(3, 0))
	agree(t, profile(450), Options{Machine: "amd64", Kernel: newest}, random, nil)
	program, err := profile(450).Compile(Options{})
	require.NoError(t, err)
	require.Greater(t, len(program.Instructions), 3500)
	_, err = profile(maxConditions/2 + 1).Compile(Options{})
	require.ErrorContains(t, err, "the profile is too large")
	_, err = (&Profile{Entries: []Entry{{Names: make([]string, maxNames+1)}}}).Compile(Options{})
	require.ErrorContains(t, err, "the profile is too large")
	_, err = profile(600).Compile(Options{})
	require.ErrorContains(t, err, fmt.Sprintf("the kernel takes %d", MaxInstructions))
}

// A piece that does not jump may stand before code that was made long before.
func TestBuilder(t *testing.T) {
	var b builder
	allow, deny := b.result(Allow), b.result(Errno(1))
	one := b.test(bpf.JumpEqual, 1, allow, deny)
	two := b.test(bpf.JumpEqual, 2, allow, deny)
	require.Equal(t, one, b.test(bpf.JumpEqual, 1, allow, deny), "made once")
	require.Equal(t, two, b.test(bpf.JumpEqual, 3, two, two), "no choice")
	b.load(numberOffset, one)
	slices.Reverse(b.code)
	code, err := bpf.Assemble(b.code)
	require.NoError(t, err)
	m := newMachine(t, Program{Instructions: code})
	require.Equal(t, Allow, m.run(sysCall{number: 1}))
	require.Equal(t, Errno(1), m.run(sysCall{number: 2}))
}

// The tables are sorted, which lookup relies on, and hold no number twice but
// for the names that mean the same.
func TestNumbers(t *testing.T) {
	require.True(t, slices.IsSortedFunc(calls[:], func(a, b call) int { return strings.Compare(a.name, b.name) }))
	for a := range archCount {
		seen := map[int32]string{}
		for _, c := range calls {
			n := c.numbers[a]
			if other, ok := seen[n]; ok && n >= 0 && c.name != "sync_file_range2" {
				t.Errorf("%s and %s are both %d", other, c.name, n)
			}
			seen[n] = c.name
		}
		require.Less(t, len(seen), 600)
		require.Greater(t, len(seen), 300)
	}
	for _, m := range multiplexers {
		require.NotNil(t, lookup(m.name))
	}
}
