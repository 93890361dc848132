package main

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/storage/overlay"
)

// inside marks the process that runs with a cgroup v2 alone, which crun and
// runc need.
const inside = "CTST_BENCH_INSIDE"

func run(rounds, heapMB int, profile string) error {
	if os.Geteuid() != 0 {
		return errors.New("needs root: it makes namespaces and mounts")
	}
	if os.Getenv(inside) == "" {
		return runInside()
	}
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err != nil {
		if err := syscall.Mount("none", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
			return fmt.Errorf("mount cgroup v2: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
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
		contenders = contenders[:1]
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

//go:embed testdata/floor.c
var floorSource []byte

// prepare makes the root file system and everybody who can start something in
// it.
func prepare(dir string) (contenders []*contender, missing []string, err error) {
	bundle := filepath.Join(dir, "bundle")
	root := filepath.Join(bundle, "rootfs")
	for _, d := range []string{"bin", "proc", "sys", "dev", "etc", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return nil, nil, err
		}
	}
	top := filepath.Join(dir, "top")
	if err := errors.Join(os.Mkdir(top, 0o755), os.Chown(top, 1<<30, 1<<30)); err != nil {
		return nil, nil, err
	}
	compiler, compilerErr := exec.LookPath("cc")
	if err := program(dir, filepath.Join(root, "bin/program"), compiler); err != nil {
		return nil, nil, err
	}
	contenders = append(contenders,
		&contender{name: "**core/sandbox**", start: func() (time.Duration, error) { return launch(root) }},
		&contender{name: "**the same in a user namespace, on mapped layers**", start: func() (time.Duration, error) {
			return launchInUser(root, top)
		}},
		command("no isolation: fork and exec", filepath.Join(root, "bin/program")))

	if compilerErr != nil {
		missing = append(missing, "the floor in C: no compiler (cc)")
	} else {
		for i, name := range []string{floorName, "floor in a user namespace, on mapped layers"} {
			args := [][]string{nil, {top}}[i]
			c, err := floor(name, dir, root, compiler, args...)
			if err != nil {
				return nil, nil, err
			}
			contenders[i].floor = c
			contenders = append(contenders, c)
			c.floor = c
		}
	}
	for _, name := range []string{"crun", "runc"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name+": not installed")
			continue
		}
		if err := specify(bundle); err != nil {
			return nil, nil, err
		}
		id := "bench-" + strconv.Itoa(os.Getpid())
		contenders = append(contenders, command(name+" run", name, "--root", filepath.Join(dir, name), "run", "--bundle", bundle, id))
	}
	if _, err := exec.LookPath("bwrap"); err != nil {
		missing = append(missing, "bwrap: not installed")
	} else {
		contenders = append(contenders, command("bwrap", "bwrap", "--unshare-all", "--clearenv", "--new-session",
			"--ro-bind", root, "/", "--proc", "/proc", "--ro-bind", "/sys", "/sys", "--dev", "/dev", "--tmpfs", "/dev/shm",
			"--cap-drop", "ALL", "/bin/program"))
	}
	return contenders, missing, nil
}

// program makes a static program that does nothing.
func program(dir, out, compiler string) error {
	source, build := "main.c", []string{compiler, "-O2", "-static", "-o", out}
	text := "int main(void) { return 0; }\n"
	if compiler == "" {
		source, build = "main.go", []string{"go", "build", "-o", out}
		text = "package main\n\nfunc main() {}\n"
	}
	source = filepath.Join(dir, source)
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		return err
	}
	cmd := exec.Command(build[0], append(build[1:], source)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build a static program: %w: %s", err, out)
	}
	return nil
}

func launch(dir string) (time.Duration, error) {
	begin := time.Now()
	root, err := rootfs.Folder(dir, rootfs.Bind{})
	if err != nil {
		return 0, err
	}
	defer root.Close()
	p, err := sandbox.Launch(context.Background(), sandbox.Spec{
		Root: root, ReadOnlyRoot: true, Plan: rootfs.Default(),
		Command: sandbox.Command{Args: []string{"/bin/program"}, NewSession: true},
	}, sandbox.Options{})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	exit, err := p.Wait(context.Background())
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d", exit.Code)
	}
	return time.Since(begin), err
}

// launchInUser does all that a container with ids of its own needs, but for the
// choice of these: namespaces, an overlay of the image and a generated layer, and
// the launch.
func launchInUser(dir, top string) (time.Duration, error) {
	begin := time.Now()
	ctx := context.Background()
	ns, err := sandbox.Prepare(ctx, idmap.Contiguous(1<<30), sandbox.PrepareOptions{Network: true})
	if err != nil {
		return 0, err
	}
	defer ns.Close()
	prepared := time.Now()
	root, err := overlay.Mount(ctx, overlay.Spec{
		Lower: []overlay.Layer{{Path: dir}, {Path: top, Shifted: true}}, User: ns.User,
	})
	if err != nil {
		return 0, err
	}
	defer root.Close()
	mounted := time.Now()
	p, err := sandbox.Launch(ctx, sandbox.Spec{
		Root: root, ReadOnlyRoot: true, Plan: rootfs.Default(),
		User: ns.User, Network: ns.Network, RootUID: 1 << 30, RootGID: 1 << 30,
		Command: sandbox.Command{Args: []string{"/bin/program"}, NewSession: true},
	}, sandbox.Options{})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	launched := time.Now()
	exit, err := p.Wait(ctx)
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d", exit.Code)
	}
	ended := time.Now()
	parts.add(prepared.Sub(begin), mounted.Sub(prepared), launched.Sub(mounted), ended.Sub(launched))
	return ended.Sub(begin), err
}

// command is a contender that is a program.
func command(name string, args ...string) *contender {
	return &contender{name: name, start: func() (time.Duration, error) {
		cmd := exec.Command(args[0], args[1:]...)
		var text strings.Builder
		begin := time.Now()
		cmd.Stderr = nil
		err := cmd.Run()
		d := time.Since(begin)
		if err != nil {
			// Once more, to see why.
			again := exec.Command(args[0], args[1:]...)
			again.Stderr = &text
			err = errors.Join(err, again.Run())
			return 0, fmt.Errorf("%w: %s", err, text.String())
		}
		return d, nil
	}}
}

// floor compiles the C program and starts it: it measures by itself.
func floor(name, dir, root, compiler string, args ...string) (*contender, error) {
	source, out := filepath.Join(dir, "floor.c"), filepath.Join(dir, "floor")
	if err := os.WriteFile(source, floorSource, 0o644); err != nil {
		return nil, err
	}
	if text, err := exec.Command(compiler, "-O2", "-o", out, source).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the floor: %w: %s", err, text)
	}
	cmd := exec.Command(out, append([]string{root, "/bin/program"}, args...)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	answers, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewReader(answers)
	return &contender{name: name, start: func() (time.Duration, error) {
		// It ends with its input, when this program does.
		if _, err := in.Write([]byte("\n")); err != nil {
			return 0, err
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		return time.Duration(n), err
	}}, nil
}

// specify writes an OCI bundle's config.json that asks for what ours does.
func specify(bundle string) error {
	hidden := rootfs.Default()
	var mounts []map[string]any
	for _, m := range hidden.Mounts {
		kind, options := m.Type, append([]string{"nosuid", "noexec"}, m.Options...)
		switch {
		case kind == rootfs.TypeDev:
			kind, options = "tmpfs", []string{"nosuid", "mode=755", "size=65536k"}
		case kind == "cgroup2":
			kind, options = "cgroup", append(options, "nodev", "ro")
		case kind == "sysfs":
			options = append(options, "nodev", "ro")
		}
		mounts = append(mounts, map[string]any{"destination": m.Target, "type": kind, "source": kind, "options": options})
	}
	var namespaces []map[string]string
	for _, n := range []string{"pid", "network", "ipc", "uts", "mount", "cgroup"} {
		namespaces = append(namespaces, map[string]string{"type": n})
	}
	config, err := json.Marshal(map[string]any{
		"ociVersion": "1.0.0",
		"process": map[string]any{
			"user": map[string]int{"uid": 0, "gid": 0}, "args": []string{"/bin/program"}, "cwd": "/",
			"capabilities": map[string]any{}, "noNewPrivileges": true,
		},
		"root":   map[string]any{"path": "rootfs", "readonly": true},
		"mounts": mounts,
		"linux": map[string]any{
			"namespaces": namespaces, "maskedPaths": hidden.Masked, "readonlyPaths": hidden.ReadOnly,
			"cgroupsPath": "/bench",
		},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o644)
}
