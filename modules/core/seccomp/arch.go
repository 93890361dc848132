package seccomp

import (
	"slices"
	"strings"
)

// arch is a system call interface that processes on a supported machine can
// use. It indexes the columns of calls.
type arch int

const (
	amd64 arch = iota
	x86
	x32
	arm64
	arm
	archCount
)

// x32Bit marks the numbers of x32 calls; for the rest x32 is amd64.
const x32Bit = 0x40000000

// skipped is the number of a call that a tracer left out, -1. It has x32Bit, but
// is no call of x32.
const skipped = 0xffffffff

// armPrivate is where the numbers of ARM's own calls begin, far behind those
// that all architectures share.
const armPrivate = 0xf0000

// abis are what is to know about each arch: its OCI name, the AUDIT_ARCH number
// of <linux/audit.h> by which the kernel tells it, and the size of arguments.
var abis = [archCount]struct {
	name  Arch
	audit uint32
	bits  int
}{
	amd64: {"SCMP_ARCH_X86_64", 0xc000003e, 64},
	x86:   {"SCMP_ARCH_X86", 0x40000003, 32},
	x32:   {"SCMP_ARCH_X32", 0xc000003e, 32},
	arm64: {"SCMP_ARCH_AARCH64", 0xc00000b7, 64},
	arm:   {"SCMP_ARCH_ARM", 0x40000028, 32},
}

// machines are the machines that a program can be compiled for, by GOARCH: the
// native arch and those that its kernel can serve too.
var machines = map[string]struct {
	native arch
	others []arch
}{
	"amd64": {amd64, []arch{x86, x32}},
	"arm64": {arm64, []arch{arm}},
}

// archNames are the architectures of the OCI runtime specification 1.3. On a
// machine that cannot have one, it has no effect.
var archNames = []Arch{
	"SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64",
	"SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64",
	"SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390",
	"SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64", "SCMP_ARCH_LOONGARCH64",
	"SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
}

// call is a system call's numbers.
type call struct {
	name    string
	numbers [archCount]int32
}

// errno is an error's number.
type errno struct {
	name   string
	number uint16
}

// lookup finds a call by its name, or returns nil.
func lookup(name string) *call {
	i, ok := slices.BinarySearchFunc(calls[:], name, func(c call, name string) int { return strings.Compare(c.name, name) })
	if !ok {
		return nil
	}
	return &calls[i]
}

// A multiplexer is a call of x86 that does what other calls do, and says which
// by its first argument. The arguments of those are behind a pointer, where no
// filter sees them.
type multiplexer struct {
	name string
	mask uint64            // of the first argument
	does map[string]uint64 // the first argument for each call
}

// multiplexers are numbered as in <linux/net.h> and <linux/ipc.h>.
var multiplexers = [...]multiplexer{
	{"socketcall", 0xffffffff, map[string]uint64{
		"socket": 1, "bind": 2, "connect": 3, "listen": 4, "accept": 5, "getsockname": 6, "getpeername": 7,
		"socketpair": 8, "send": 9, "recv": 10, "sendto": 11, "recvfrom": 12, "shutdown": 13, "setsockopt": 14,
		"getsockopt": 15, "sendmsg": 16, "recvmsg": 17, "accept4": 18, "recvmmsg": 19, "sendmmsg": 20,
	}},
	// The upper half of the first argument is a version.
	{"ipc", 0xffff, map[string]uint64{
		"semop": 1, "semget": 2, "semctl": 3, "semtimedop": 4, "msgsnd": 11, "msgrcv": 12, "msgget": 13, "msgctl": 14,
		"shmat": 21, "shmdt": 22, "shmget": 23, "shmctl": 24,
	}},
}
