package sandbox

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/memexec"
)

// The init program is what is meant, from its first instruction to its last.
func TestInitProgram(t *testing.T) {
	program, err := memexec.Program{Text: initText()}.ELF()
	require.NoError(t, err)
	require.Less(t, len(program), 1536)
	f, err := elf.NewFile(bytes.NewReader(program))
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, elf.ET_DYN, f.Type)
	require.Len(t, f.Progs, 2)
	load, stack := f.Progs[0], f.Progs[1]
	require.Equal(t, elf.PT_LOAD, load.Type)
	require.Equal(t, elf.PF_R|elf.PF_X, load.Flags)
	require.EqualValues(t, len(program), load.Filesz)
	require.Equal(t, elf.PT_GNU_STACK, stack.Type)
	require.Equal(t, elf.PF_R|elf.PF_W, stack.Flags, "no code on the stack")

	text := program[f.Entry:]
	type bounds struct{ first, last, pad []byte }
	b, ok := map[elf.Machine]bounds{
		elf.EM_X86_64:  {[]byte{0x49, 0x89, 0xe4}, []byte{0x0f, 0x05, 0x0f, 0x0b}, []byte{0xcc}},                                     // mov %rsp, %r12; syscall; ud2; int3
		elf.EM_AARCH64: {[]byte{0xf3, 0x03, 0x00, 0x91}, []byte{0x01, 0x00, 0x00, 0xd4, 0x00, 0x00, 0x00, 0x00}, []byte{0, 0, 0, 0}}, // mov x19, sp; svc 0; udf
	}[f.Machine]
	require.True(t, ok, f.Machine)
	require.Equal(t, b.first, text[:len(b.first)])
	for bytes.HasSuffix(text, b.pad) && !bytes.HasSuffix(text, b.last) {
		text = text[:len(text)-len(b.pad)]
	}
	require.Equal(t, b.last, text[len(text)-len(b.last):])
}

// Nobody changes the file that a launch runs, not even who made it.
func TestInitSealed(t *testing.T) {
	f, err := newInit()
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte{0}, 0)
	require.ErrorIs(t, err, unix.EPERM)
	require.ErrorIs(t, f.Truncate(0), unix.EPERM)
	_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED)
	require.ErrorIs(t, err, unix.EPERM)
	got, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	require.NoError(t, err)
	want, err := memexec.Program{Text: initText()}.ELF()
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// What an init wrote decides, whatever it is.
func TestInitOutcome(t *testing.T) {
	record := func(step initStep, errno unix.Errno) string {
		return memory(&[2]uint32{uint32(errno), uint32(step)})
	}
	ready := record(initReady, 0)
	missing, denied, garbage := record(initExecve, unix.ENOENT), record(initExecve, unix.EACCES), record(initExecve, unix.ENOEXEC)
	for name, test := range map[string]struct{ records, want string }{
		"runs":              {ready, ""},
		"runs elsewhere":    {ready + missing, ""},
		"nowhere":           {ready + missing + missing, `sandbox: run "x": no such file or directory in the container; it, or the interpreter that it names, is missing`},
		"denied":            {ready + denied + missing, `sandbox: run "x": permission denied; it must be a file with execute permission`},
		"no more is tried":  {ready + garbage, `sandbox: run "x": exec format error; it is neither a script with a #! line nor a program for this machine`},
		"killed":            {"", "sandbox: run the init: killed before it ran its program"},
		"killed in a write": {ready[:7], "sandbox: run the init: killed before it ran its program"},
		"failed":            {record(initClone, unix.ENOMEM), "sandbox: run the init: clone: cannot allocate memory"},
		"unknown":           {record(99, unix.EPERM), "sandbox: run the init: operation not permitted"},
	} {
		tab := &table{program: "x", places: []string{"/a/x", "/b/x"}}
		err := tab.initOutcome([]byte(test.records))
		if test.want == "" {
			require.NoError(t, err, name)
		} else {
			require.EqualError(t, err, test.want, name)
		}
	}
}
