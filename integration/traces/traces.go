// Package traces finds what projects have on the machine, for tests that want
// nothing left of them.
//
//	projects, err := traces.Below(dir)
//	for _, p := range projects {
//		left, err := traces.Of(p, os.Getenv("XDG_RUNTIME_DIR"))
//	}
//
// It looks at the kernel, not at what the engine says, and needs Linux.
package traces

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Project is what state.json says about a project.
type Project struct {
	ID       string `json:"id"`
	File     string `json:"file"`
	StateDir string `json:"-"`
}

// Below finds the projects that have state in or below a folder.
func Below(dir string) ([]Project, error) {
	var found []Project
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrPermission):
			return fs.SkipDir // a layer's, with files of other ids
		case errors.Is(err, fs.ErrNotExist) && path != dir:
			return nil // of a project that just ends
		}
		if err != nil || entry.Name() != "state.json" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var st struct{ Project Project }
		if err := json.Unmarshal(text, &st); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if st.Project.ID != "" {
			st.Project.StateDir = filepath.Dir(path)
			found = append(found, st.Project)
		}
		return nil
	})
	return found, err
}

// Of lists, by kind, what a running project has outside of its state folder. runtimeDir
// is an ordinary user's folder for what runs; of that user's projects there is
// little else to be seen from outside of their namespaces.
func Of(p Project, runtimeDir string) (map[string][]string, error) {
	sum := sha256.Sum256([]byte(p.ID))
	hash := hex.EncodeToString(sum[:5])
	found := map[string][]string{"process": nil, "mount": nil, "cgroup": nil, "interface": nil, "run folder": nil}

	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, path := range processes {
		command, err := os.ReadFile(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && bytes.Contains(command, []byte(p.StateDir)) && Alive(pid) {
			found["process"] = append(found["process"], string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(mounts), "\n") {
		if strings.Contains(line, p.StateDir) || strings.Contains(line, "/containust/"+p.ID) {
			found["mount"] = append(found["mount"], line)
		}
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(root, "containust", p.ID)); err == nil {
			found["cgroup"] = append(found["cgroup"], root)
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if strings.HasSuffix(i.Name, hash) {
			found["interface"] = append(found["interface"], i.Name)
		}
	}
	runs := "/run"
	if os.Geteuid() != 0 {
		runs = runtimeDir
		found = map[string][]string{"process": found["process"]}
	}
	if _, err := os.Stat(filepath.Join(runs, "containust", p.ID)); !errors.Is(err, fs.ErrNotExist) {
		found["run folder"] = append(found["run folder"], p.ID)
	}
	if nft, err := exec.LookPath("nft"); err == nil && os.Geteuid() == 0 {
		tables, err := exec.Command(nft, "list", "tables").Output()
		if err != nil {
			return nil, err
		}
		found["nftables table"] = nil
		for line := range strings.SplitSeq(string(tables), "\n") {
			if strings.Contains(line, hash) {
				found["nftables table"] = append(found["nftables table"], line)
			}
		}
	}
	return found, nil
}

// Alive tells whether a process runs: one that only waits to be reaped does not.
func Alive(pid int) bool {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return !strings.HasPrefix(rest, "Z")
}
