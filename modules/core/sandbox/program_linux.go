package sandbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newProgram makes an ELF file of data and the assembly function that begins at
// code. It has the least of headers. At the address base it is loaded, where that
// is 0 at any.
func newProgram(base uint64, data []byte, code unsafe.Pointer) ([]byte, error) {
	machine, ok := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("a program in memory for %s: %w", runtime.GOARCH, errors.ErrUnsupported)
	}
	var file struct {
		elf.Header64
		Load, Stack elf.Prog64
	}
	kind, text := elf.ET_DYN, textOf(code)
	if base != 0 {
		kind = elf.ET_EXEC
	}
	headers := uint64(binary.Size(file))
	entry := headers + uint64(len(data))
	size := entry + uint64(len(text))
	file.Header64 = elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type: uint16(kind), Machine: uint16(machine), Version: uint32(elf.EV_CURRENT),
		Entry: base + entry, Phoff: uint64(binary.Size(file.Header64)), Ehsize: uint16(binary.Size(file.Header64)),
		Phentsize: uint16(binary.Size(file.Load)), Phnum: 2,
	}
	file.Load = elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X),
		Vaddr: base, Paddr: base, Filesz: size, Memsz: size,
		Align: 1 << 16, // the largest page of arm64
	}
	file.Stack = elf.Prog64{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W)}
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, file); err != nil {
		return nil, err
	}
	b.Write(data)
	b.Write(text)
	return b.Bytes(), nil
}

// textOf is the text of the assembly function that begins at first.
func textOf(first unsafe.Pointer) []byte {
	f := runtime.FuncForPC(uintptr(first))
	n := uintptr(0)
	for runtime.FuncForPC(uintptr(first)+n) == f {
		n++
	}
	return unsafe.Slice((*byte)(first), n)
}

// memoryProgram returns a program as a file in memory that nobody can change.
func memoryProgram(name string, program []byte) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 they all could be executed
		fd, err = unix.MemfdCreate(name, flags)
	}
	if errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("the sysctl vm.memfd_noexec of this machine forbids programs in memory (%w): set it to 0 or 1", err)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(program)
	if err == nil {
		err = f.Chmod(0o555)
	}
	if err == nil {
		_, err = unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
		err = os.NewSyscallError("fcntl", err)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
