// Package capability names Linux capabilities and holds them in sets.
//
//	set, err := capability.ParseSet("NET_BIND_SERVICE", "cap_chown")
//	set.Has(capability.CHOWN) // true
//	fmt.Println(set)          // CAP_CHOWN,CAP_NET_BIND_SERVICE
//
// The package is data and parsing only and works on every platform; [Last]
// asks the running kernel and needs Linux. Nothing here changes the
// capabilities of a process: core/sandbox does. All of it is safe for
// concurrent use.
package capability

import (
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
)

// ErrUnknown is matched by the error for a name that is no capability.
var ErrUnknown = errors.New("unknown capability")

// Capability is a capability's number, as capabilities(7) and
// <linux/capability.h> define it.
type Capability uint8

// The capabilities of Linux 6.18; the set did not grow since 5.9.
const (
	CHOWN Capability = iota
	DAC_OVERRIDE
	DAC_READ_SEARCH
	FOWNER
	FSETID
	KILL
	SETGID
	SETUID
	SETPCAP
	LINUX_IMMUTABLE
	NET_BIND_SERVICE
	NET_BROADCAST
	NET_ADMIN
	NET_RAW
	IPC_LOCK
	IPC_OWNER
	SYS_MODULE
	SYS_RAWIO
	SYS_CHROOT
	SYS_PTRACE
	SYS_PACCT
	SYS_ADMIN
	SYS_BOOT
	SYS_NICE
	SYS_RESOURCE
	SYS_TIME
	SYS_TTY_CONFIG
	MKNOD
	LEASE
	AUDIT_WRITE
	AUDIT_CONTROL
	SETFCAP
	MAC_OVERRIDE
	MAC_ADMIN
	SYSLOG
	WAKE_ALARM
	BLOCK_SUSPEND
	AUDIT_READ
	PERFMON
	BPF
	CHECKPOINT_RESTORE
)

// names are in the order of the numbers, without "CAP_".
var names = [...]string{
	"CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL",
	"SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE",
	"NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
	"SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
	"SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME",
	"SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL",
	"SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
	"BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
}

// Parse returns the capability that name means: "CAP_NET_RAW", "NET_RAW" or
// either in lower case. Any other name gives an error that matches
// [ErrUnknown] and, where one is near, says which name was perhaps meant.
func Parse(name string) (Capability, error) {
	short := strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	if i := slices.Index(names[:], short); i >= 0 {
		return Capability(i), nil
	}
	if near := nearest(short); near != "" {
		return 0, fmt.Errorf("%w %q: did you mean CAP_%s?", ErrUnknown, name, near)
	}
	return 0, fmt.Errorf("%w %q: capabilities(7) lists them", ErrUnknown, name)
}

// String returns the full name, "CAP_NET_RAW", or "CAP_<number>" for a number
// that this package does not know.
func (c Capability) String() string {
	if int(c) < len(names) {
		return "CAP_" + names[c]
	}
	return "CAP_" + strconv.Itoa(int(c))
}

// Set is a set of capabilities: bit n is capability n, as the kernel writes
// them in /proc/PID/status. The zero value is the empty set.
type Set uint64

// Docker is the set that Docker gives to containers by default. Many images
// made for it expect these.
const Docker = Set(1<<CHOWN | 1<<DAC_OVERRIDE | 1<<FSETID | 1<<FOWNER |
	1<<MKNOD | 1<<NET_RAW | 1<<SETGID | 1<<SETUID | 1<<SETFCAP | 1<<SETPCAP |
	1<<NET_BIND_SERVICE | 1<<SYS_CHROOT | 1<<KILL | 1<<AUDIT_WRITE)

// Of returns the set of the given capabilities.
func Of(caps ...Capability) Set {
	var s Set
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

// ParseSet returns the union of the named capabilities. A name is one that
// [Parse] understands, or "docker" for the preset [Docker].
func ParseSet(names ...string) (Set, error) {
	var s Set
	for _, name := range names {
		if strings.EqualFold(name, "docker") {
			s |= Docker
			continue
		}
		c, err := Parse(name)
		if err != nil {
			return 0, err
		}
		s |= 1 << c
	}
	return s, nil
}

// Decode reads the form of the kernel: hexadecimal digits, as in the lines
// CapEff, CapPrm, CapInh, CapBnd and CapAmb of /proc/PID/status.
func Decode(hex string) (Set, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("decode capability set %q: %w", hex, errors.Unwrap(err))
	}
	return Set(n), nil
}

// Has tells whether c is in s.
func (s Set) Has(c Capability) bool { return s&(1<<c) != 0 }

// Len returns the number of capabilities in s.
func (s Set) Len() int { return bits.OnesCount64(uint64(s)) }

// All returns the capabilities of s in the order of their numbers.
func (s Set) All() []Capability {
	caps := make([]Capability, 0, s.Len())
	for rest := uint64(s); rest != 0; rest &= rest - 1 {
		caps = append(caps, Capability(bits.TrailingZeros64(rest)))
	}
	return caps
}

// String returns the full names joined by commas, or "none".
func (s Set) String() string {
	if s == 0 {
		return "none"
	}
	var b strings.Builder
	for i, c := range s.All() {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(c.String())
	}
	return b.String()
}

// nearest returns the known name that differs from s in at most two letters.
func nearest(s string) string {
	best, distance := "", 3
	for _, name := range names {
		if d := editDistance(s, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

// editDistance is the Levenshtein distance of two short words.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
