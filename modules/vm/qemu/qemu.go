// Package qemu runs small virtual machines with QEMU: a kernel, its first root
// file system, disks, and lines of communication.
//
//	m, err := qemu.Start(ctx, qemu.Spec{
//		Accel: qemu.TCG, CPUs: 2, Memory: 1 << 30,
//		Kernel: "vmlinuz", Initrd: "initrd", Append: []string{"quiet"},
//		Ports: []string{"results"},
//	}, qemu.Options{Console: os.Stderr})
//	if err != nil {
//		return err
//	}
//	defer m.Close()
//	results, err := m.Dial(ctx, "results")
//	...
//	err = m.Wait()
//
// What a machine is given are virtio devices only, and no network. Its serial
// console is written to [Options.Console].
//
// Platform: wherever QEMU is, from version 7.2; on Windows from 10, which has
// the sockets that ports need. Privileges: none; [KVM] needs access to /dev/kvm.
// A Machine is safe for concurrent use.
package qemu

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
)

// Accel is what executes the guest's instructions.
type Accel string

// The accelerators: that of Linux, of macOS and of Windows, and QEMU's own
// translator, which works everywhere and is some ten times slower.
const (
	KVM  Accel = "kvm"
	HVF  Accel = "hvf"
	WHPX Accel = "whpx"
	TCG  Accel = "tcg"
)

// Spec describes a machine.
type Spec struct {
	Arch   string // "amd64" or "arm64"; empty: that of this program
	Accel  Accel
	CPUs   int   // zero: 1
	Memory int64 // bytes, in whole MiB; zero: 512 MiB

	Kernel string   // the kernel's file
	Initrd string   // archives of package initramfs; empty: none
	Append []string // words of the kernel's command line, after those for the console
	Disks  []Disk   // /dev/vda, /dev/vdb, …

	// Ports are the names of lines of communication. Linux lists them as
	// /sys/class/virtio-ports/*/name; Machine.Dial is the other end.
	Ports []string

	// Sandbox takes from QEMU the system calls that it does not need. Only QEMU
	// on Linux knows it.
	Sandbox bool
}

// Disk is a file that is a disk of the machine.
type Disk struct {
	Path     string
	Format   string // "raw" or "qcow2"; empty: raw
	ReadOnly bool
	// Scratch is for a disk that nobody needs once the host crashes: QEMU does
	// not wait for the host to have written what the guest wants synced.
	Scratch bool
}

// Options say how to run a machine. The zero value runs QEMU as found.
type Options struct {
	// Program is QEMU; empty: what Find finds for the machine's architecture.
	Program string
	// Console is what the machine's serial console is written to; nil: nothing.
	Console io.Writer
	// Log is what QEMU's own messages are written to, beside the error of Wait;
	// nil: nothing. When QEMU is told to end by a signal it says so there, and
	// ends as if the guest had.
	Log io.Writer
}

const defaultMemory = 512 << 20

// An architecture is how QEMU calls things.
type architecture struct {
	program string
	machine string
	console string // Linux's name of the first serial port
	tcg     string // what TCG is to be like
}

var architectures = map[string]architecture{
	// Without what costs a fifth of TCG's time: a fifth level of page tables,
	// and wide registers, which programs use for every copy where they are there.
	"amd64": {program: "qemu-system-x86_64", machine: "q35", console: "ttyS0", tcg: "max,la57=off,avx=off"},
	"arm64": {program: "qemu-system-aarch64", machine: "virt", console: "ttyAMA0", tcg: "max"},
}

func (s Spec) architecture() (architecture, error) {
	name := s.Arch
	if name == "" {
		name = runtime.GOARCH
	}
	a, ok := architectures[name]
	if !ok {
		return architecture{}, fmt.Errorf("architecture %q: %w: amd64 and arm64 are known", name, errors.ErrUnsupported)
	}
	return a, nil
}

// Args returns QEMU's arguments. Sockets for the ports are in the folder. It
// does not look at the machine that it runs on, but for an empty Arch.
func (s Spec) Args(folder string) ([]string, error) {
	a, err := s.architecture()
	if err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	memory := s.Memory
	if memory == 0 {
		memory = defaultMemory
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-machine", a.machine + ",accel=" + string(s.Accel),
		"-smp", strconv.Itoa(max(s.CPUs, 1)),
		"-m", strconv.FormatInt(memory>>20, 10) + "M",
	}
	switch s.Accel {
	case KVM, HVF:
		args = append(args, "-cpu", "host")
	case TCG:
		args = append(args, "-cpu", a.tcg)
	}
	if s.Sandbox {
		args = append(args, "-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny")
	}
	args = append(args, "-kernel", s.Kernel)
	if s.Initrd != "" {
		args = append(args, "-initrd", s.Initrd)
	}
	words := append([]string{"console=" + a.console}, s.Append...)
	args = append(args, "-append", strings.Join(words, " "))
	// signal=off: an interrupt is for us to handle, not a key for the guest.
	args = append(args, "-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console")
	args = append(args, "-device", "virtio-rng-pci")
	for i, disk := range s.Disks {
		args = append(args, disk.args("disk"+strconv.Itoa(i))...)
	}
	if len(s.Ports) > 0 {
		args = append(args, "-device", "virtio-serial-pci")
	}
	for i, port := range s.Ports {
		id := "port" + strconv.Itoa(i)
		args = append(args,
			"-chardev", "socket,id="+id+",server=on,wait=off,path="+escape(filepath.Join(folder, port)),
			"-device", "virtserialport,chardev="+id+",name="+port)
	}
	return args, nil
}

func (d Disk) args(id string) []string {
	format := d.Format
	if format == "" {
		format = "raw"
	}
	drive := "if=none,id=" + id + ",format=" + format + ",file=" + escape(d.Path)
	if d.ReadOnly {
		drive += ",readonly=on"
	}
	if d.Scratch {
		drive += ",cache=unsafe"
	}
	return []string{"-drive", drive, "-device", "virtio-blk-pci,drive=" + id}
}

// escape writes a path as a value in a list that commas separate.
func escape(path string) string { return strings.ReplaceAll(path, ",", ",,") }

func (s Spec) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("machine: "+format+": %w", append(args, fs.ErrInvalid)...)
	}
	switch s.Accel {
	case KVM, HVF, WHPX, TCG:
	default:
		return wrong("accelerator %q is none of kvm, hvf, whpx, tcg", s.Accel)
	}
	if s.Kernel == "" {
		return wrong("no kernel")
	}
	if s.CPUs < 0 {
		return wrong("%d processors", s.CPUs)
	}
	if s.Memory < 0 || s.Memory%(1<<20) != 0 {
		return wrong("%d bytes of memory are not in whole MiB", s.Memory)
	}
	for _, disk := range s.Disks {
		if disk.Path == "" {
			return wrong("a disk without a file")
		}
		if disk.Format != "" && disk.Format != "raw" && disk.Format != "qcow2" {
			return wrong("disk format %q is none of raw, qcow2", disk.Format)
		}
	}
	seen := map[string]bool{}
	for _, port := range s.Ports {
		if port == "" || strings.ContainsFunc(port, func(r rune) bool { return !nameRune(r) }) {
			return wrong("port %q: a name is of letters, digits, - and _", port)
		}
		if seen[port] {
			return wrong("port %q is there twice", port)
		}
		seen[port] = true
	}
	return nil
}

func nameRune(r rune) bool {
	return r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
