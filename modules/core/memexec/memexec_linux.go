package memexec

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Text returns the machine code of a function in assembly, given its address.
// What the linker filled up behind it is included. Without an
// address, on an architecture that has no such function, it is empty.
func Text(code unsafe.Pointer) []byte {
	f := runtime.FuncForPC(uintptr(code))
	if f == nil {
		return nil
	}
	n := uintptr(0)
	for runtime.FuncForPC(uintptr(code)+n) == f {
		n++
	}
	return unsafe.Slice((*byte)(code), n)
}

// New returns a program that nobody can change, not even its maker. name is for
// people: /proc/PID/exe leads to "/memfd:name". Another architecture is an error
// that matches errors.ErrUnsupported, a machine that allows no such programs one
// that matches [ErrForbidden].
func New(name string, p Program) (*os.File, error) {
	program, err := p.ELF()
	if err != nil {
		return nil, fmt.Errorf("memexec: %s: %w", name, err)
	}
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 they all could be executed
		fd, err = unix.MemfdCreate(name, flags)
	}
	if errors.Is(err, unix.EACCES) {
		return nil, fmt.Errorf("memexec: %s: %w", name, ErrForbidden)
	}
	if err != nil {
		return nil, fmt.Errorf("memexec: %s: %w", name, os.NewSyscallError("memfd_create", err))
	}
	f := os.NewFile(uintptr(fd), name)
	if err := seal(f, program); err != nil {
		return nil, fmt.Errorf("memexec: %s: %w", name, errors.Join(err, f.Close()))
	}
	return f, nil
}

func seal(f *os.File, content []byte) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	if err := f.Chmod(0o555); err != nil {
		return err
	}
	_, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	return os.NewSyscallError("fcntl", err)
}
