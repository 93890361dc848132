package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// inside marks the process that runs with a cgroup v2 alone, which crun and
// runc need.
const inside = "CTST_BENCH_INSIDE"

func run(rounds, heapMB int, profile string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it makes namespaces and mounts")
	}
	if os.Getenv(inside) == "" {
		return runInside()
	}
	if _, err := os.Stat(cgroups + "/cgroup.controllers"); err != nil {
		// In this mount namespace alone: away with version 1, and what is in it.
		_ = syscall.Unmount(cgroups, syscall.MNT_DETACH) // nothing may be mounted there
		if err := syscall.Mount("none", cgroups, "cgroup2", 0, ""); err != nil {
			return fmt.Errorf("mount cgroup v2: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer func() {
		_ = syscall.Unmount(filepath.Join(dir, "podman/overlay"), syscall.MNT_DETACH) // where podman was measured
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	contenders, missing, err := prepare(dir)
	if err != nil {
		return err
	}
	heap := make([]byte, heapMB<<20)
	for i := range heap {
		heap[i] = 1
	}
	defer runtime.KeepAlive(heap)
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
		contenders, missing = contenders[:1], nil
	}
	if err := measure(contenders, rounds); err != nil {
		return err
	}
	fmt.Print(table(contenders, missing))
	fmt.Print(parts.String())
	return nil
}

// runInside runs this program again in a mount namespace of its own.
func runInside() error {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd.Run()
}

const cgroups = "/sys/fs/cgroup"

// firstID is root of the containers: ids that by systemd's rules nobody has.
const firstID = 1 << 30

// prepare makes the root file system and everybody who can start something in
// it. The library comes first.
func prepare(dir string) (contenders []*contender, missing []string, err error) {
	root := filepath.Join(dir, "root")
	// Who is root of a container must get to it.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, nil, err
	}
	if err := makeRoot(root); err != nil {
		return nil, nil, err
	}
	for _, add := range []func(dir, root string) ([]*contender, error){
		addLibrary, addFloor, addRuntimes, addPodman, addBwrap, addCommand,
	} {
		found, err := add(dir, root)
		var absent *missingError
		if errors.As(err, &absent) {
			missing = append(missing, absent.Error())
		} else if err != nil {
			return nil, nil, err
		}
		contenders = append(contenders, found...)
	}
	return contenders, missing, nil
}

// missingError says what cannot be measured here.
type missingError struct{ what, why string }

func (e *missingError) Error() string { return e.what + ": " + e.why }

// makeRoot makes a root file system with a static program that does nothing.
func makeRoot(root string) error {
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	source, build := "main.c", []string{"cc", "-O2", "-static"}
	text := "int main(void) { return 0; }\n"
	if _, err := exec.LookPath("cc"); err != nil {
		source, build = "main.go", []string{"go", "build"}
		text = "package main\n\nfunc main() {}\n"
	}
	source = filepath.Join(filepath.Dir(root), source)
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		return err
	}
	return output(append(build, "-o", filepath.Join(root, "bin/program"), source)...)
}

// output runs a command, and says what it wrote when it fails.
func output(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, text)
	}
	return nil
}

// command is a contender that is a program; dir is where it runs.
func command(name, dir string, env []string, args ...string) *contender {
	return &contender{name: name, start: func() (time.Duration, error) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
		// A file, and no pipe: somebody would have to read that.
		said, err := os.CreateTemp(dir, "said")
		if err != nil {
			return 0, err
		}
		defer os.Remove(said.Name())
		defer said.Close()
		cmd.Stderr = said
		begin := time.Now()
		err = cmd.Run()
		d := time.Since(begin)
		if err != nil {
			text, _ := os.ReadFile(said.Name()) // it is only said beside
			err = fmt.Errorf("%w: %s", err, text)
		}
		return d, err
	}}
}
