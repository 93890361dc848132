package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/containust/containust/integration/guest/job"
	"github.com/containust/containust/modules/vm/initramfs"
)

// modules are the kernel's that boot the guest and that its tests need. Nothing
// loads others later: the guest has no modprobe.
var modules = []string{
	"virtio_pci", "virtio_blk", "virtio_console", "virtio_rng",
	"overlay", "fuse", "loop", "erofs", "squashfs",
	"veth", "bridge", "dummy", "tun",
	"nf_tables", "nft_chain_nat", "nft_nat", "nft_masq", "nft_redir", "nft_ct", "nft_limit", "nft_log",
	"nft_reject_ipv4", "nft_reject_ipv6", "nft_reject_inet", "nft_fib_ipv4", "nft_fib_ipv6", "nft_fib_inet",
	"nf_conntrack", "nf_conntrack_netlink",
}

// diskSize is that of the guest's disk; the file has holes.
const diskSize = "4G"

// A machine is what there is to boot.
type machine struct {
	kernel kernel
	initrd string
	disks  []string // one for each guest
	jobs   []job.Job
}

// prepare makes the first root file system and the disks.
// systemd is the folder of its unpacked packages; empty for a machine without.
func prepare(ctx context.Context, work string, k kernel, systemd string, suites []suite, o options) (machine, error) {
	m := machine{kernel: k, initrd: filepath.Join(work, "initrd"), jobs: jobs(suites, o)}
	if err := makeInitrd(ctx, m.initrd, work, k); err != nil {
		return machine{}, fmt.Errorf("make the first root file system: %w", err)
	}
	root := filepath.Join(work, "root")
	if err := makeRoot(ctx, root); err != nil {
		return machine{}, fmt.Errorf("make the guest's root file system: %w", err)
	}
	if systemd != "" {
		m.jobs = systemdJobs(suites, o)
		if err := installSystemd(ctx, root, systemd, filepath.Join(work, "init")); err != nil {
			return machine{}, err
		}
	}
	if err := buildAll(ctx, root, suites); err != nil {
		return machine{}, err
	}
	for i := range min(o.guests, len(m.jobs)) {
		disk := filepath.Join(work, fmt.Sprintf("disk%d", i))
		_, err := command(ctx, "", "mke2fs", "-q", "-t", "ext4", "-d", root,
			"-E", "root_owner=0:0,lazy_itable_init=1,lazy_journal_init=1", disk, diskSize)
		if err != nil {
			return machine{}, fmt.Errorf("make a guest's disk: %w", err)
		}
		m.disks = append(m.disks, disk)
	}
	return m, nil
}

func makeInitrd(ctx context.Context, target, work string, k kernel) (err error) {
	available, err := initramfs.OpenModules(os.DirFS(k.modules))
	if err != nil {
		return err
	}
	resolved, err := available.Resolve(modules...)
	if err != nil {
		return err
	}
	program := filepath.Join(work, "init")
	_, err = commandEnv(ctx, "", []string{"GOOS=linux", "CGO_ENABLED=0"},
		"go", "build", "-ldflags=-s -w", "-o", program, repository+"integration/guest/init")
	if err != nil {
		return err
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	f, err := os.Create(target)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return initramfs.Write(f, append(initramfs.ModuleEntries(resolved),
		initramfs.File("init", 0o755, content),
		// Without it the first process has no standard output.
		initramfs.CharDevice("dev/console", 0o600, 5, 1),
	))
}

// buildAll builds what runs in the guest.
func buildAll(ctx context.Context, root string, suites []suite) error {
	if err := os.MkdirAll(filepath.Join(root, job.Tests), 0o755); err != nil {
		return err
	}
	env := []string{"GOOS=linux", "CGO_ENABLED=0"}
	for target, pkg := range map[string]string{job.Test2JSON: "cmd/test2json", ctstProgram: ctst} {
		if _, err := commandEnv(ctx, "", env, "go", "build", "-ldflags=-s -w", "-o", filepath.Join(root, target), pkg); err != nil {
			return err
		}
	}
	top, err := topFolder(ctx)
	if err != nil {
		return err
	}
	if err := os.CopyFS(filepath.Join(root, sources, "docs"), os.DirFS(filepath.Join(top, "docs"))); err != nil {
		return err
	}
	for _, s := range suites {
		if err := s.build(ctx, top, root); err != nil {
			return fmt.Errorf("build the tests of %s: %w", s.pkg, err)
		}
	}
	return nil
}

// makeRoot makes the guest's userland: BusyBox, and from this machine the
// programs that tests run beside it.
func makeRoot(ctx context.Context, root string) error {
	for _, dir := range []string{
		"usr/bin", "usr/lib", "usr/lib64", "etc", "root", "tmp", "var/tmp", "run", "proc", "sys", "dev", "home", "mnt",
	} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{
		"bin": "usr/bin", "sbin": "usr/bin", "usr/sbin": "bin", "lib": "usr/lib", "lib64": "usr/lib64",
	} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"etc/passwd":      "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":       "root:x:0:\ntty:x:5:\nuser:x:1000:\nnogroup:x:65534:\n",
		"etc/subuid":      "user:100000:65536\n",
		"etc/subgid":      "user:100000:65536\n",
		"etc/hosts":       "127.0.0.1 localhost guest\n::1 localhost\n",
		"etc/resolv.conf": "nameserver 192.0.2.53\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/shadow"), nil, 0o600); err != nil {
		return err
	}
	if err := installBusyBox(ctx, root); err != nil {
		return err
	}
	for _, name := range []string{"ip", "nft", "newuidmap", "newgidmap", "useradd", "userdel"} {
		if err := install(ctx, root, name); err != nil {
			return err
		}
	}
	return os.Chmod(filepath.Join(root, "tmp"), 0o1777|os.ModeSticky)
}

// installBusyBox installs BusyBox with a link for each of its commands.
func installBusyBox(ctx context.Context, root string) error {
	program, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w: install busybox-static", err)
	}
	if needs, err := interpreter(program); err != nil || needs != "" {
		return fmt.Errorf("%s is not a static program: install busybox-static: %w", program, err)
	}
	if err := copyFile(filepath.Join(root, "usr/bin/busybox"), program); err != nil {
		return err
	}
	list, err := command(ctx, "", program, "--list")
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(list) {
		if name == "busybox" {
			continue
		}
		if err := os.Symlink("busybox", filepath.Join(root, "usr/bin", name)); err != nil {
			return err
		}
	}
	return nil
}

var librarySource = regexp.MustCompile(`(/[^ ]+) \(0x[0-9a-f]+\)`)

// install copies a program of this machine and the libraries that it is linked
// with.
func install(ctx context.Context, root, name string) error {
	program, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("%w: hack/setup test-vm installs it", err)
	}
	target := filepath.Join(root, "usr/bin", name)
	if err := os.RemoveAll(target); err != nil { // BusyBox has a smaller one
		return err
	}
	if err := copyFile(target, program); err != nil {
		return err
	}
	libraries, err := command(ctx, "", "ldd", program)
	if err != nil {
		return err
	}
	for _, found := range librarySource.FindAllStringSubmatch(libraries, -1) {
		if err := copyFile(filepath.Join(root, found[1]), found[1]); err != nil {
			return err
		}
	}
	return nil
}

// interpreter returns the dynamic linker that a program asks for; a static one
// asks for none.
func interpreter(program string) (string, error) {
	f, err := elf.Open(program)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			name, err := io.ReadAll(p.Open())
			return string(name), err
		}
	}
	return "", nil
}

// copyFile copies a file with its mode, and makes the folder that it goes to.
func copyFile(target, source string) error {
	content, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	// The second time for the set-id bits, which writing takes away.
	return errors.Join(os.WriteFile(target, content, info.Mode()), os.Chmod(target, info.Mode()))
}
