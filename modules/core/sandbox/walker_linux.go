package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/memexec"
	"github.com/containust/containust/modules/core/namespace"
)

// A child that shares the caller's memory must not come into sight of a
// container's processes. That the memory is not dumpable keeps them from it as
// long as the child lives; but Linux looks at that in the memory that the child
// has, and one that dies has none any more. Who opens its /proc/PID/mem at that
// moment has what it had a moment before, and whoever may end the child chooses
// the moment.
//
// So a table that leads into a pid namespace where others are (table.apart) is
// walked in memory of its own: the clone itself only runs the walker, a program
// of some hundred bytes whose memory holds nothing but the table. That is the
// arena, in a file that caller and walker share, so the caller reads from there
// how it went. What a process of the container writes there, if it gets to it in
// spite of all, is not trusted.
const (
	walkerText  = 0x1000_0000 // the assembly knows these
	walkerArena = 0x2000_0000
)

// newWalker returns the walker for an arena of so many bytes, in the file with
// the descriptor fd.
func newWalker(fd, size int) (*os.File, error) {
	data := binary.NativeEndian.AppendUint64(nil, uint64(fd))
	data = binary.NativeEndian.AppendUint64(data, uint64(size))
	return memexec.New("launch", memexec.Program{Base: walkerText, Data: data, Text: walkerProgram()})
}

var walkerProgram = sync.OnceValue(func() []byte { return memexec.Text(walkerCode()) })

// newSharedArena is newArena for a walker; the file is the caller's to close.
func newSharedArena(t *table, extra int) (*arena, *os.File, error) {
	size := t.size(extra)
	fd, err := unix.MemfdCreate("launch", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "launch")
	var mem []byte
	if err = f.Truncate(int64(size)); err == nil {
		mem, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("allocate %d bytes for a launch: %w", size, err), f.Close())
	}
	return &arena{mem: mem, base: walkerArena, head: (*header)(unsafe.Pointer(&mem[0]))}, f, nil
}

// prepareWalker assembles t for a walker, and returns the table that ends in it.
func (c *child) prepareWalker(t *table) (*table, error) {
	failed := func(err error) (*table, error) { return nil, fmt.Errorf("sandbox: prepare the launch: %w", err) }
	const front = 2
	a, shared, err := newSharedArena(t, front)
	if err != nil {
		return failed(err)
	}
	to := &table{}
	to.own(shared)
	fd := int(shared.Fd())
	walker, err := newWalker(fd, len(a.mem))
	if err != nil {
		to.close()
		return failed(errors.Join(err, a.free()))
	}
	to.own(walker)
	first := [front]step{
		{name: walkerStep, nr: unix.SYS_PRCTL, args: [6]arg{number(unix.PR_SET_DUMPABLE), number(0)}},
		{name: walkerStep, nr: unix.SYS_CLOSE, args: [6]arg{number(fd)}},
	}
	a.assemble(first[:], t)
	c.arena, c.front = a, front

	to.files = append(append(to.files, t.files...), shared)
	for _, fd := range to.descriptors() {
		to.call(walkerStep, unix.SYS_FCNTL, number(fd), number(unix.F_SETFD), number(0))
	}
	to.call(walkerStep, unix.SYS_FCNTL, arg{kind: argPipe}, number(unix.F_SETFD), number(0))
	to.call(walkerStep, unix.SYS_EXECVEAT, to.file(walker), to.text(""), to.argv([]string{"launch"}), to.envp(nil), number(unix.AT_EMPTY_PATH))
	return to, nil
}

// second is the process that a fork step made, or 0 if there is none.
func (c *child) second() int {
	pid := int(atomic.LoadInt32(&c.arena.head.second))
	if c.apart == nil || pid == 0 {
		return pid
	}
	// Ours, and not reaped: so the id is its own.
	var info childInfo
	if pid < 0 || unix.Waitid(unix.P_PID, pid, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WNOWAIT|unix.WNOHANG|unix.WALL, nil) != nil {
		return 0
	}
	if info.pid != 0 {
		return pid // dead
	}
	ns, err := namespace.Open(pid, namespace.PID)
	if err != nil {
		// It is dying: newer kernels then show an ordinary user no namespaces, and
		// no signal can do anything to it.
		return pid
	}
	defer ns.Close()
	if id, err := namespace.Identify(ns); err != nil || id != *c.apart {
		return 0
	}
	return pid
}

// walkerStep is what the steps are for that precede a table that is walked apart.
const walkerStep = "leave the caller's memory"
