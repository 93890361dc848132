package seccomp

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/containust/containust/modules/core/capability"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	p, err := Parse([]byte(`{
		"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS", "defaultErrnoRet": 38,
		"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}, {"architecture": "SCMP_ARCH_RISCV64", "subArchitectures": null}],
		"architectures": null, "listenerPath": "", "flags": ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"],
		"syscalls": [
			{"names": ["clone", "socket"], "action": "SCMP_ACT_ALLOW", "comment": "both", "args": [
				{"index": 1, "value": 18446744073709551615, "valueTwo": 7, "op": "SCMP_CMP_MASKED_EQ"},
				{"index": 0, "value": 3, "valueTwo": 7, "op": "SCMP_CMP_LT"}], "includes": {}, "excludes": {"caps": ["CAP_SYS_ADMIN"], "minKernel": "4.8"}},
			{"name": "bpf", "errno": "EPERM", "action": "SCMP_ACT_ERRNO", "args": null, "includes": {"arches": ["amd64"]}},
			{"name": "ptrace", "action": "SCMP_ACT_TRACE", "errnoRet": 4096}
		]}`))
	require.NoError(t, err)
	require.Equal(t, &Profile{
		DefaultAction: Errno(38),
		ArchMap:       []ArchFamily{{"SCMP_ARCH_X86_64", []Arch{"SCMP_ARCH_X86"}}, {"SCMP_ARCH_RISCV64", nil}},
		Flags:         LogActions,
		Entries: []Entry{
			{
				Names: []string{"clone", "socket"}, Action: Allow,
				Args:     []Arg{{Index: 1, Op: MaskedEqual, Value: ^uint64(0), Want: 7}, {Index: 0, Op: Less, Value: 3}},
				Excludes: Condition{Capabilities: capability.Of(capability.SYS_ADMIN), MinKernel: Kernel{4, 8}},
			},
			{Names: []string{"bpf"}, Action: Errno(1), Includes: Condition{Arches: []string{"amd64"}}},
			{Names: []string{"ptrace"}, Action: Trace(4096)},
		},
	}, p)
}

func TestParseErrors(t *testing.T) {
	for _, test := range []struct{ profile, want string }{
		{``, "line 1, column 1: this is not JSON: unexpected end of JSON input"},
		{`null`, "line 1, column 1: there is no defaultAction"},
		{"{\n \"defaultAction\": ,\n}", "line 2, column 19: this is not JSON: invalid character ',' looking for beginning of value"},
		{"{}\n{}", "line 2, column 1: this is not JSON: invalid character '{' after top-level value"},
		{`[]`, "line 1, column 1: this must be an object"},
		{`{"defaultAction": "SCMP_ACT_ALOW"}`, `line 1, column 19: defaultAction: unknown action "SCMP_ACT_ALOW"; known are SCMP_ACT_ALLOW, SCMP_ACT_ERRNO, SCMP_ACT_KILL, SCMP_ACT_KILL_PROCESS, SCMP_ACT_KILL_THREAD, SCMP_ACT_LOG, SCMP_ACT_TRACE, SCMP_ACT_TRAP`},
		{`{"defaultAction": "SCMP_ACT_NOTIFY"}`, "line 1, column 19: defaultAction: nobody here listens for the notifications of SCMP_ACT_NOTIFY; choose another action, such as SCMP_ACT_ERRNO"},
		{`{"defaultAction": 1}`, "line 1, column 19: defaultAction: this must be a string"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}`, "line 1, column 56: defaultErrnoRet: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have an error number"},
		{`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}`, "line 1, column 56: defaultErrnoRet: an error number is at most 4095"},
		{`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1.5}`, "line 1, column 56: defaultErrnoRet: this must be a whole number from 0 to 65535"},
		{`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}`, "line 1, column 56: defaultErrnoRet: this must be a whole number from 0 to 65535"},
		{`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "defaultErrno": "EIO"}`, "line 1, column 75: defaultErrno: this is error 5, but errnoRet is 1"},
		{`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EWHAT"}`, `line 1, column 53: defaultErrno: unknown error "EWHAT"; errno(3) lists them`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "defaultAction": "SCMP_ACT_ALLOW"}`, "line 1, column 37: defaultAction: this is here twice"},
		{`{"defaultaction": "SCMP_ACT_ALLOW"}`, `line 1, column 2: nothing here is called "defaultaction"; known are defaultAction, defaultErrnoRet, defaultErrno, architectures, archMap, flags, listenerPath, listenerMetadata, syscalls`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent.sock"}`, "line 1, column 53: listenerPath: nobody here listens for notifications; remove it, and give calls another action than SCMP_ACT_NOTIFY"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}`, `line 1, column 47: flags[0]: unknown flag "SECCOMP_FILTER_FLAG_NEW_LISTENER"; known are SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_TSYNC`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["amd64"]}`, `line 1, column 55: architectures[0]: unknown architecture "amd64"`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_ARM"], "archMap": [{"architecture": "SCMP_ARCH_ARM"}]}`, "line 1, column 73: archMap: there are architectures too; only one of the two may be there"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "archMap": [{"architecture": "x"}]}`, `line 1, column 66: archMap[0].architecture: unknown architecture "x"`},
		{"{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [\n\t{\"action\": \"SCMP_ACT_ALLOW\"}]}", "line 2, column 29: syscalls[0]: the entry has no names"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "names": ["write"]}]}`, "line 1, column 67: syscalls[0].names: there are names already; only one of name and names may be there"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read"}]}`, "line 1, column 65: syscalls[0]: there is no action"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_KILL", "errnoRet": 1}]}`, "line 1, column 106: syscalls[0].errnoRet: only SCMP_ACT_ERRNO and SCMP_ACT_TRACE have an error number"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_KILL", "args": [{"index": 6, "op": "SCMP_CMP_EQ"}]}]}`, "line 1, column 113: syscalls[0].args[0].index: this must be a whole number from 0 to 5"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_KILL", "args": [{"index": 0, "op": "=="}]}]}`, `line 1, column 122: syscalls[0].args[0].op: unknown operator "=="; known are SCMP_CMP_EQ, SCMP_CMP_GE, SCMP_CMP_GT, SCMP_CMP_LE, SCMP_CMP_LT, SCMP_CMP_MASKED_EQ, SCMP_CMP_NE`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_KILL", "args": [{"index": 0}]}]}`, "line 1, column 114: syscalls[0].args[0]: the condition has no op"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "action": "SCMP_ACT_KILL", "args": [{"index": 0, "value": 18446744073709551616}]}]}`, "line 1, column 125: syscalls[0].args[0].value: this must be a whole number from 0 to 18446744073709551615"},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "includes": {"caps": ["CAP_SYS_ADMN"]}}]}`, `line 1, column 89: syscalls[0].includes.caps[0]: unknown capability "CAP_SYS_ADMN": did you mean CAP_SYS_ADMIN?`},
		{`{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "read", "includes": {"minKernel": "5"}}]}`, `line 1, column 93: syscalls[0].includes.minKernel: the kernel version "5" must be two numbers, as in "5.14"`},
		{strings.Repeat(" ", MaxProfile+1), fmt.Sprintf("line 1, column 1: it has %d bytes; a profile has at most %d", MaxProfile+1, MaxProfile)},
		{strings.Repeat("[", 20000), "line 1, column 10001: this is not JSON: invalid character '[' exceeded max depth"},
	} {
		p, err := Parse([]byte(test.profile))
		require.Nil(t, p)
		require.EqualError(t, err, "seccomp profile: "+test.want, "%.100s", test.profile)
		var parse *ParseError
		require.ErrorAs(t, err, &parse)
	}
}

// FuzzProfile checks that whatever Parse takes compiles into a program that
// agrees with the profile, or is too long.
func FuzzProfile(f *testing.F) {
	f.Add(defaultProfile, uint64(0), uint64(1))
	for i, seed := range []string{
		`{"defaultAction": "SCMP_ACT_KILL", "syscalls": [{"name": "read", "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 4294967296, "op": "SCMP_CMP_GT"}]}]}`,
		`{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"], "flags": ["SECCOMP_FILTER_FLAG_LOG"],
			"syscalls": [{"names": ["socket", "shmat", "set_tls"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97, "args": [{"index": 0, "value": 38, "op": "SCMP_CMP_EQ"}]}]}`,
		`{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "ENOSYS", "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}], "syscalls": [
			{"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}], "excludes": {"caps": ["CAP_SYS_ADMIN"], "minKernel": "5.14"}}]}`,
		`{"defaultAction": "SCMP_ACT_LOG", "syscalls": [{"name": "write", "action": "SCMP_ACT_TRACE", "errnoRet": 9, "args": [
			{"index": 0, "value": 1, "op": "SCMP_CMP_NE"}, {"index": 0, "value": 2, "op": "SCMP_CMP_LE"}, {"index": 5, "value": 3, "op": "SCMP_CMP_GE"}]}]}`,
	} {
		f.Add([]byte(seed), uint64(1)<<i, uint64(i))
	}
	f.Fuzz(func(t *testing.T, text []byte, caps, seed uint64) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		random := rand.New(rand.NewPCG(4, seed))
		for _, machine := range []string{"amd64", "arm64"} {
			opts := Options{Capabilities: capability.Set(caps), Machine: machine, Kernel: Kernel{5, 14}}
			if _, err := p.Compile(opts); err != nil && (strings.Contains(err.Error(), "the kernel takes") || strings.Contains(err.Error(), "too large")) {
				continue
			}
			// A part of the calls, for speed.
			agree(t, p, opts, random, func(sysCall) bool { return random.IntN(50) == 0 })
		}
	})
}
