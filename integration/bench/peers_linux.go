package main

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/seccomp"
)

//go:embed testdata/floor.c
var floorSource []byte

// addFloor compiles the C program and starts it: it measures by itself.
func addFloor(dir, root string) ([]*contender, error) {
	if _, err := exec.LookPath("cc"); err != nil {
		return nil, &missingError{floor, "no compiler (cc)"}
	}
	filter, err := seccomp.Default().Compile(seccomp.Options{})
	if err != nil {
		return nil, err
	}
	var code bytes.Buffer
	if err := binary.Write(&code, binary.NativeEndian, filter.Instructions); err != nil {
		return nil, err
	}
	source, out, filterFile := filepath.Join(dir, "floor.c"), filepath.Join(dir, "floor"), filepath.Join(dir, "filter")
	if err := errors.Join(os.WriteFile(source, floorSource, 0o644), os.WriteFile(filterFile, code.Bytes(), 0o644)); err != nil {
		return nil, err
	}
	if err := output("cc", "-O2", "-o", out, source); err != nil {
		return nil, err
	}
	cmd := exec.Command(out, root, "/bin/program", filepath.Join(dir, "top"), filepath.Join(cgroups, groupName("floor")), filterFile)
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
	return []*contender{{name: floor, start: func() (time.Duration, error) {
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
	}}}, nil
}

// addRuntimes measures those that run a bundle. Theirs has a root file system
// with the owners that ours shows through mapped mounts.
func addRuntimes(dir, root string) (contenders []*contender, err error) {
	bundle := filepath.Join(dir, "bundle")
	if err := errors.Join(os.Mkdir(bundle, 0o755), ownedCopy(root, filepath.Join(bundle, "rootfs")), specify(bundle)); err != nil {
		return nil, err
	}
	var absent []string
	for _, title := range []string{crun, runc} {
		name, _, _ := strings.Cut(title, " ")
		if _, err := exec.LookPath(name); err != nil {
			absent = append(absent, name)
			continue
		}
		contenders = append(contenders, command(title, dir, nil,
			name, "--root", filepath.Join(dir, name), "run", "--bundle", bundle, groupName(name)))
	}
	if len(absent) > 0 {
		return contenders, &missingError{strings.Join(absent, ", "), "not installed"}
	}
	return contenders, nil
}

// ownedCopy copies a root file system, for the ids of the containers.
func ownedCopy(from, to string) error {
	if err := output("cp", "-a", from, to); err != nil {
		return err
	}
	return output("chown", "-R", fmt.Sprintf("%d:%[1]d", firstID), to)
}

// addPodman measures a container of the bundle's root file system, with what
// podman has beside its runtime: a store, a database, a monitor.
func addPodman(dir, _ string) ([]*contender, error) {
	if _, err := exec.LookPath("podman"); err != nil {
		return nil, &missingError{podman, "not installed"}
	}
	ids := fmt.Sprintf("0:%d:65536", firstID)
	c := command(podman, dir, nil, "podman", "--root", filepath.Join(dir, "podman"), "--runroot", filepath.Join(dir, "podman-run"),
		"--cgroup-manager", "cgroupfs", "--events-backend", "none", "--log-level", "error",
		"run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
		// Its own limits are higher than a machine may allow, or has a controller for.
		"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--pids-limit", "0",
		"--uidmap", ids, "--gidmap", ids, "--rootfs", filepath.Join(dir, "bundle/rootfs"), "/bin/program")
	// What a distribution set up for another way of life may keep it from working.
	if _, err := c.start(); err != nil {
		return nil, &missingError{podman, strings.TrimSpace(err.Error())}
	}
	return []*contender{c}, nil
}

func addBwrap(dir, root string) ([]*contender, error) {
	if _, err := exec.LookPath("bwrap"); err != nil {
		return nil, &missingError{bwrap, "not installed"}
	}
	return []*contender{command(bwrap, dir, nil, "bwrap", "--unshare-all", "--clearenv", "--new-session",
		"--ro-bind", root, "/", "--proc", "/proc", "--ro-bind", "/sys", "/sys", "--dev", "/dev", "--tmpfs", "/dev/shm",
		"--cap-drop", "ALL", "/bin/program")}, nil
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
	for _, n := range []string{"user", "pid", "network", "ipc", "uts", "mount", "cgroup"} {
		namespaces = append(namespaces, map[string]string{"type": n})
	}
	ids := []map[string]int{{"containerID": 0, "hostID": firstID, "size": 65536}}
	config, err := json.Marshal(map[string]any{
		"ociVersion": "1.0.0",
		"process": map[string]any{
			"user": map[string]int{"uid": 0, "gid": 0}, "args": []string{"/bin/program"}, "cwd": "/",
			"capabilities": map[string]any{}, "noNewPrivileges": true,
		},
		"root":   map[string]any{"path": "rootfs", "readonly": true},
		"mounts": mounts,
		"linux": map[string]any{
			"namespaces": namespaces, "uidMappings": ids, "gidMappings": ids,
			"maskedPaths": hidden.Masked, "readonlyPaths": hidden.ReadOnly,
			"cgroupsPath": "/" + groupName("bundle"), "seccomp": profile(seccomp.Default()),
		},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o644)
}

// profile writes a profile as a bundle has it: for this machine and for a
// process without capabilities, without conditions.
func profile(p *seccomp.Profile) map[string]any {
	var calls []map[string]any
	for _, e := range p.Entries {
		if e.Includes.Capabilities != 0 || len(e.Includes.Arches) > 0 && !slices.Contains(e.Includes.Arches, runtime.GOARCH) {
			continue
		}
		call := map[string]any{"names": e.Names, "action": "SCMP_ACT_ALLOW"}
		if e.Action != seccomp.Allow {
			call["action"], call["errnoRet"] = "SCMP_ACT_ERRNO", errno(e.Action)
		}
		var args []map[string]any
		for _, a := range e.Args {
			args = append(args, map[string]any{"index": a.Index, "op": operators[a.Op], "value": a.Value, "valueTwo": a.Want})
		}
		if args != nil {
			call["args"] = args
		}
		calls = append(calls, call)
	}
	var arches []seccomp.Arch
	for _, family := range p.ArchMap {
		if family.Arch == map[string]seccomp.Arch{"amd64": "SCMP_ARCH_X86_64", "arm64": "SCMP_ARCH_AARCH64"}[runtime.GOARCH] {
			arches = append([]seccomp.Arch{family.Arch}, family.Others...)
		}
	}
	return map[string]any{
		"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno(p.DefaultAction), "architectures": arches, "syscalls": calls,
	}
}

// errno is the number of an action that makes a call fail.
func errno(a seccomp.Action) uint32 { return uint32(a) & 0xffff }

// operators are the comparisons of the default profile.
var operators = map[seccomp.Op]string{
	seccomp.Less: "SCMP_CMP_LT", seccomp.Equal: "SCMP_CMP_EQ", seccomp.MaskedEqual: "SCMP_CMP_MASKED_EQ",
}
