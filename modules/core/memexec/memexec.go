// Package memexec makes programs that exist in memory only: some hundred bytes of
// machine code behind the smallest ELF header, in a sealed memory file. So a
// process can be a page or two where one of a Go program is megabytes, and no
// second binary has to be built, shipped and trusted.
//
//	func code() unsafe.Pointer // assembly: the address of a function
//
//	f, err := memexec.New("pause", memexec.Text(code()))
//	defer f.Close()
//	cmd := &exec.Cmd{Path: "/proc/self/fd/3", Args: []string{"pause"}, ExtraFiles: []*os.File{f}}
//	err = cmd.Run()
//
// The code gets what the kernel gives a new process, argc at the stack pointer.
// It must run at any address, and without data, relocations and the Go runtime.
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

// ELF puts the least of headers before a text for this program's architecture:
// one segment that can be read and executed, and a stack that cannot be executed.
func ELF(text []byte) ([]byte, error) {
	machine, ok := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("a program for %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	var file struct {
		elf.Header64
		Load, Stack elf.Prog64
	}
	size := uint64(binary.Size(file))
	file.Header64 = elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(elf.ET_DYN), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: size, Phoff: uint64(binary.Size(file.Header64)), Ehsize: uint16(binary.Size(file.Header64)),
		Phentsize: uint16(binary.Size(file.Load)), Phnum: 2,
	}
	file.Load = elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Filesz: size + uint64(len(text)), Memsz: size + uint64(len(text)),
		Align: 1 << 16, // the largest page of arm64
	}
	file.Stack = elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, file); err != nil {
		return nil, err
	}
	b.Write(text)
	return b.Bytes(), nil
}
