// Package memexec makes programs that exist in memory only: some hundred bytes of
// machine code behind the smallest ELF header, in a sealed memory file. So a
// process can be a page or two where one of a Go program is megabytes, and no
// second binary has to be built, shipped and trusted.
//
//	func code() unsafe.Pointer // assembly: the address of a function
//
//	f, err := memexec.New("pause", memexec.Program{Text: memexec.Text(code())})
//	defer f.Close()
//	cmd := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"pause"}, ExtraFiles: []*os.File{f}}
//	err = cmd.Run()
//
// The code gets what the kernel gives a new process, argc at the stack pointer.
// It runs without relocations and the Go runtime, and at any address unless the
// Program says which.
//
// It needs Linux on amd64 or arm64, and no privileges. Its functions may be
// called concurrently.
package memexec

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
)

// ErrForbidden says that the sysctl vm.memfd_noexec forbids programs in memory.
var ErrForbidden = errors.New("the sysctl vm.memfd_noexec of this machine forbids programs in memory: set it to 0 or 1")

// Program is what a program in memory consists of.
type Program struct {
	// Text is the machine code, which begins with the first instruction.
	Text []byte
	// Data lies before it, and can only be read, at Base + DataOffset.
	Data []byte
	// Base is the address that the file is loaded at, a multiple of 64 KiB; 0 is
	// any. Text that has to find Data, or has addresses, needs one.
	Base uint64
}

// DataOffset is where a program's data begins in its file.
const DataOffset = 64 + 2*56

// ELF returns the program as a file for this program's architecture, with the
// least of headers: one segment that can be read and executed, and a stack that
// cannot be executed.
func (p Program) ELF() ([]byte, error) {
	machine, ok := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("a program in memory for %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	var file struct {
		elf.Header64
		Load, Stack elf.Prog64
	}
	kind := elf.ET_DYN
	if p.Base != 0 {
		kind = elf.ET_EXEC
	}
	entry := DataOffset + uint64(len(p.Data))
	size := entry + uint64(len(p.Text))
	file.Header64 = elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(kind), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: p.Base + entry, Phoff: uint64(binary.Size(file.Header64)), Ehsize: uint16(binary.Size(file.Header64)),
		Phentsize: uint16(binary.Size(file.Load)), Phnum: 2,
	}
	file.Load = elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: p.Base, Paddr: p.Base, Filesz: size, Memsz: size,
		Align: 1 << 16, // the largest page of arm64
	}
	file.Stack = elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, file); err != nil {
		return nil, err
	}
	b.Write(p.Data)
	b.Write(p.Text)
	return b.Bytes(), nil
}
