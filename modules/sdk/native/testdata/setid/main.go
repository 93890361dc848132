//go:build linux && amd64

// Command setid tries every way to make a file set-user-id or set-group-id in
// the folder that it is given, and prints each way's error.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"unsafe"
)

func main() {
	dir := os.Args[1]
	syscall.Umask(0)
	for _, bits := range []uintptr{0o4000, 0o2000} {
		mode := bits | 0o755
		for name, way := range map[string]func(path *byte, name string) syscall.Errno{
			"chmod": func(p *byte, name string) syscall.Errno {
				fresh(name)
				return call(syscall.SYS_CHMOD, ptr(p), mode)
			},
			"fchmod": func(_ *byte, name string) syscall.Errno {
				return call(syscall.SYS_FCHMOD, uintptr(fresh(name)), mode)
			},
			"fchmodat": func(p *byte, name string) syscall.Errno {
				fresh(name)
				return call(syscall.SYS_FCHMODAT, cwd, ptr(p), mode)
			},
			"fchmodat2": func(p *byte, name string) syscall.Errno {
				fresh(name)
				return call(452, cwd, ptr(p), mode, 0)
			},
			"creat": func(p *byte, _ string) syscall.Errno { return call(syscall.SYS_CREAT, ptr(p), mode) },
			"open": func(p *byte, _ string) syscall.Errno {
				return call(syscall.SYS_OPEN, ptr(p), syscall.O_CREAT|syscall.O_WRONLY, mode)
			},
			"openat": func(p *byte, _ string) syscall.Errno {
				return call(syscall.SYS_OPENAT, cwd, ptr(p), syscall.O_CREAT|syscall.O_WRONLY, mode)
			},
			"openat2": func(p *byte, _ string) syscall.Errno {
				how := [3]uint64{syscall.O_CREAT | syscall.O_WRONLY, uint64(mode), 0}
				return call(437, cwd, ptr(p), uintptr(unsafe.Pointer(&how)), unsafe.Sizeof(how))
			},
			"tmpfile": func(p *byte, _ string) syscall.Errno {
				folder, _ := syscall.BytePtrFromString(dir)
				const tmpfile = 0o20000000 | syscall.O_DIRECTORY
				fd, _, err := syscall.RawSyscall6(syscall.SYS_OPENAT, cwd, ptr(folder), tmpfile|syscall.O_RDWR, mode, 0, 0)
				if err != 0 {
					return err
				}
				self, _ := syscall.BytePtrFromString(fmt.Sprintf("/proc/self/fd/%d", fd))
				return call(syscall.SYS_LINKAT, cwd, ptr(self), cwd, ptr(p), 0x400)
			},
			"mknod": func(p *byte, _ string) syscall.Errno { return call(syscall.SYS_MKNOD, ptr(p), syscall.S_IFREG|mode, 0) },
			"mknodat": func(p *byte, _ string) syscall.Errno {
				return call(syscall.SYS_MKNODAT, cwd, ptr(p), syscall.S_IFREG|mode, 0)
			},
			"garbage": func(p *byte, name string) syscall.Errno { // no mode, so none is looked at
				fresh(name)
				return call(syscall.SYS_OPENAT, cwd, ptr(p), syscall.O_RDONLY, 0o7777)
			},
		} {
			file := filepath.Join(dir, fmt.Sprintf("%s-%o", name, bits))
			p, _ := syscall.BytePtrFromString(file)
			fmt.Printf("%s-%o: %d\n", name, bits, way(p, file))
		}
	}
}

const cwd = ^uintptr(99) // AT_FDCWD

func ptr(p *byte) uintptr { return uintptr(unsafe.Pointer(p)) }

// fresh makes a file and returns a descriptor of it.
func fresh(name string) int {
	fd, err := syscall.Open(name, syscall.O_CREAT|syscall.O_WRONLY, 0o755)
	if err != nil {
		fmt.Println(name, err)
		os.Exit(1)
	}
	return fd
}

func call(nr uintptr, args ...uintptr) syscall.Errno {
	var a [6]uintptr
	copy(a[:], args)
	_, _, err := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	return err
}
