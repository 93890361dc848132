package qemu_test

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/vm/qemu"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Each file of testdata is the arguments of one machine, an option and its value
// on a line.
func TestArgs(t *testing.T) {
	for name, spec := range map[string]qemu.Spec{
		"minimal": {Arch: "amd64", Accel: qemu.TCG, Kernel: "vmlinuz"},
		"linux": {
			Arch: "amd64", Accel: qemu.KVM, CPUs: 2, Memory: 1 << 30, Kernel: "/boot/vmlinuz", Initrd: "/tmp/initrd",
			Append: []string{"quiet", "panic=-1"}, Sandbox: true,
			Disks: []qemu.Disk{
				{Path: "/var/disk", Scratch: true},
				{Path: "/var/with, comma.qcow2", Format: "qcow2", ReadOnly: true},
			},
			Ports: []string{"agent", "log_1"},
		},
		"macos":   {Arch: "arm64", Accel: qemu.HVF, CPUs: 4, Memory: 2 << 30, Kernel: "Image", Ports: []string{"agent"}},
		"windows": {Arch: "amd64", Accel: qemu.WHPX, Kernel: "C:/kernel", Disks: []qemu.Disk{{Path: "C:/a,b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			args, err := spec.Args("/run/machine")
			require.NoError(t, err)
			var b strings.Builder
			for i, arg := range args {
				if i > 0 && strings.HasPrefix(arg, "-") {
					b.WriteString("\n")
				} else if i > 0 {
					b.WriteString(" ")
				}
				b.WriteString(filepath.ToSlash(arg))
			}
			b.WriteString("\n")
			golden := filepath.Join("testdata", name+".txtar")
			got := txtar.Format(&txtar.Archive{Files: []txtar.File{{Name: "args", Data: []byte(b.String())}}})
			if *update {
				require.NoError(t, os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		})
	}
}

func TestWrongSpecs(t *testing.T) {
	good := qemu.Spec{Arch: "amd64", Accel: qemu.TCG, Kernel: "vmlinuz"}
	for name, test := range map[string]struct {
		change func(*qemu.Spec)
		is     error
		want   string
	}{
		"architecture":      {func(s *qemu.Spec) { s.Arch = "riscv64" }, errors.ErrUnsupported, `architecture "riscv64"`},
		"no accelerator":    {func(s *qemu.Spec) { s.Accel = "" }, fs.ErrInvalid, `accelerator ""`},
		"accelerator":       {func(s *qemu.Spec) { s.Accel = "tcg,thread=single" }, fs.ErrInvalid, "none of kvm, hvf, whpx, tcg"},
		"no kernel":         {func(s *qemu.Spec) { s.Kernel = "" }, fs.ErrInvalid, "no kernel"},
		"processors":        {func(s *qemu.Spec) { s.CPUs = -1 }, fs.ErrInvalid, "-1 processors"},
		"memory":            {func(s *qemu.Spec) { s.Memory = 1<<20 + 1 }, fs.ErrInvalid, "1048577 bytes"},
		"disk":              {func(s *qemu.Spec) { s.Disks = []qemu.Disk{{}} }, fs.ErrInvalid, "a disk without a file"},
		"format":            {func(s *qemu.Spec) { s.Disks = []qemu.Disk{{Path: "x", Format: "raw,x=y"}} }, fs.ErrInvalid, "disk format"},
		"port":              {func(s *qemu.Spec) { s.Ports = []string{"a,path=/x"} }, fs.ErrInvalid, `port "a,path=/x"`},
		"port outside":      {func(s *qemu.Spec) { s.Ports = []string{"../x"} }, fs.ErrInvalid, `port "../x"`},
		"port twice":        {func(s *qemu.Spec) { s.Ports = []string{"a", "a"} }, fs.ErrInvalid, `port "a" is there twice`},
		"port without name": {func(s *qemu.Spec) { s.Ports = []string{""} }, fs.ErrInvalid, `port ""`},
	} {
		t.Run(name, func(t *testing.T) {
			spec := good
			test.change(&spec)
			args, err := spec.Args("/run/machine")
			require.Nil(t, args)
			require.ErrorIs(t, err, test.is)
			require.ErrorContains(t, err, test.want)
		})
	}
}
