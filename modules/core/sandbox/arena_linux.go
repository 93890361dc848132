package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// A header is at the beginning of the memory that caller and child share.
// The assembly knows its layout.
type header struct {
	at    uintptr // the op that runs, or ran last
	errno uint64  // of the op that ended the child, else 0
	all   uint64  // the set of all signals
	old   uint64  // the signal mask of the calling thread
	first uintptr // the first op
	clone cloneArgs

	pidfd  int32     // of the child
	second int32     // the id of the process that a fork step made
	fork   cloneArgs // of that step
}

// cloneArgs is struct clone_args of <linux/sched.h>, without stack and TLS in
// use: a child that walks ops needs neither.
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls,
	setTID, setTIDSize, cgroup uint64
}

// An op is a step for the assembly, which knows its layout.
type op struct {
	nr        uintptr
	args      [6]uint64
	refs      uint64  // bit i: args[i] is the address of the value
	tolerate  uint64  // bit n: with errno n go on at otherwise
	otherwise uintptr // address of an op
	flags     uint64
	result    uint64
}

const (
	opFork  = 1 << iota // exit where the result is not 0
	opAgain             // repeat on EAGAIN
)

const (
	filterSize = unsafe.Sizeof(filter{})
	rightsSize = unsafe.Sizeof(rights{})
	headerSize = unsafe.Sizeof(header{})
	opSize     = unsafe.Sizeof(op{})
	wordSize   = unsafe.Sizeof(uintptr(0))
)

// filter is struct sock_fprog of <linux/filter.h>, whose instructions have the
// form of bpf.RawInstruction.
type filter struct {
	length uint16
	first  uintptr
}

// rights is struct msghdr of sendmsg(2) and what it points to: a message of one
// byte with an open file beside it.
type rights struct {
	name       uintptr
	nameLen    uint64
	vector     uintptr
	vectorLen  uint64
	control    uintptr
	controlLen uint64
	flags      uint64

	base    uintptr // the vector
	size    uint64
	header  unix.Cmsghdr
	fd      int32
	content int32
}

// An arena is the memory of one launch, outside of Go's heap: header, ops, and
// the data that they point to. Nothing in it is a Go pointer and nothing moves
// it, so a child may use it for as long as it needs.
type arena struct {
	mem  []byte
	base uintptr // where the child has mem
	head *header
	ops  []op
	pipe int // the write end of the launch's pipe
}

// newArena allocates memory for a table with extra steps in front of it.
func newArena(t *table, extra int) (*arena, error) {
	size := t.size(extra)
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("allocate %d bytes for a launch: %w", size, err)
	}
	first := unsafe.Pointer(&mem[0])
	return &arena{mem: mem, base: uintptr(first), head: (*header)(first)}, nil
}

// size is how many bytes an arena for the table has.
func (t *table) size(extra int) int {
	size := headerSize + opSize*uintptr(len(t.steps)+extra)
	for _, d := range t.data {
		size += d.size()
	}
	return int(size)
}

// free gives the memory back, if there is any. The child must have left it.
func (a *arena) free() error {
	if a == nil {
		return nil
	}
	return unix.Munmap(a.mem)
}

// assemble writes the steps of first and then those of t. The steps of first
// have numbers as arguments only.
func (a *arena) assemble(first []step, t *table) {
	h := a.head
	h.all = ^uint64(0)
	h.fork = cloneArgs{
		// With CLONE_PARENT the new process is the caller's child, and its exit
		// signal must be 0.
		flags:     t.forkFlags | unix.CLONE_VM | unix.CLONE_PARENT | unix.CLONE_PARENT_SETTID,
		parentTID: uint64(address(a, &h.second)),
	}
	n := len(first) + len(t.steps)
	a.ops = unsafe.Slice((*op)(unsafe.Pointer(&a.mem[headerSize])), n)
	h.first = address(a, &a.ops[0])

	at := headerSize + opSize*uintptr(n)
	addresses := make([]uint64, len(t.data))
	for i, d := range t.data {
		addresses[i], at = a.put(d, at)
	}
	for i := range first {
		a.encode(i, &first[i], 0, nil)
	}
	for i := range t.steps {
		a.encode(len(first)+i, &t.steps[i], len(first), addresses)
	}
}

// encode writes a step as the op with index i. Steps that it refers to are
// shifted by offset.
func (a *arena) encode(i int, s *step, offset int, addresses []uint64) {
	o := &a.ops[i]
	o.nr, o.tolerate = s.nr, s.tolerate
	if s.tolerate != 0 {
		o.otherwise = address(a, &a.ops[i+1+s.skip])
	}
	if s.again {
		o.flags |= opAgain
	}
	for j, v := range s.args {
		switch v.kind {
		case argNumber:
			o.args[j] = v.n
		case argData:
			o.args[j] = addresses[v.n]
		case argResult:
			o.args[j] = uint64(address(a, &a.ops[offset+int(v.n)].result))
			o.refs |= 1 << j
		case argPipe:
			o.args[j] = uint64(a.pipe)
		}
	}
	if s.fork {
		o.flags |= opFork
		o.args[0], o.args[1] = uint64(address(a, &a.head.fork)), uint64(unsafe.Sizeof(cloneArgs{}))
	}
}

// size is the number of bytes that put takes at most.
func (d datum) size() uintptr {
	switch d.kind {
	case dataString, dataBytes:
		return uintptr(len(d.text)) + 1 + wordSize
	case dataRights:
		return rightsSize + wordSize
	case dataFilter:
		return filterSize + unsafe.Sizeof(bpf.RawInstruction{})*uintptr(len(d.code)) + wordSize
	}
	size := wordSize * uintptr(len(d.words)+2)
	for _, w := range d.words {
		size += uintptr(len(w)) + 1
	}
	return size
}

// put writes d at the offset at, aligned for any type, and returns its address
// and the offset behind it. The memory is zero, so strings end by themselves.
func (a *arena) put(d datum, at uintptr) (uint64, uintptr) {
	at = (at + wordSize - 1) &^ (wordSize - 1)
	here := uint64(address(a, &a.mem[at]))
	if d.kind == dataString || d.kind == dataBytes {
		copy(a.mem[at:], d.text)
		return here, at + uintptr(len(d.text)) + 1
	}
	if d.kind == dataFilter {
		f := (*filter)(unsafe.Pointer(&a.mem[at]))
		at += filterSize
		code := unsafe.Slice((*bpf.RawInstruction)(unsafe.Pointer(&a.mem[at])), len(d.code))
		f.length, f.first = uint16(copy(code, d.code)), address(a, &code[0])
		return here, at + unsafe.Sizeof(code[0])*uintptr(len(code))
	}
	if d.kind == dataRights {
		r := (*rights)(unsafe.Pointer(&a.mem[at]))
		r.base, r.size = address(a, &r.content), 1
		r.vector, r.vectorLen = address(a, &r.base), 1
		r.header = unix.Cmsghdr{Level: unix.SOL_SOCKET, Type: unix.SCM_RIGHTS}
		r.header.SetLen(unix.CmsgLen(4))
		r.fd = int32(d.fd)
		r.control, r.controlLen = address(a, &r.header), uint64(unix.CmsgSpace(4))
		return here, at + rightsSize
	}
	vector := unsafe.Slice((*uintptr)(unsafe.Pointer(&a.mem[at])), len(d.words)+1)
	at += wordSize * uintptr(len(vector))
	for i, w := range d.words {
		vector[i] = address(a, &a.mem[at])
		copy(a.mem[at:], w)
		at += uintptr(len(w)) + 1
	}
	return here, at
}

// address is where the child has what p points to, in the arena.
func address[T any](a *arena, p *T) uintptr {
	return a.base + uintptr(unsafe.Pointer(p)) - uintptr(unsafe.Pointer(&a.mem[0]))
}
