package integration

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
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// project is what state.json says about a project.
type project struct {
	ID       string `json:"id"`
	File     string `json:"file"`
	stateDir string
}

// projectsBelow finds the projects that have state in or below a folder.
func projectsBelow(dir string) ([]project, error) {
	var found []project
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
		var st struct{ Project project }
		if err := json.Unmarshal(text, &st); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if st.Project.ID != "" {
			st.Project.stateDir = filepath.Dir(path)
			found = append(found, st.Project)
		}
		return nil
	})
	return found, err
}

// machine checks what projects have on the machine beside their folder:
//
//	machine runs     something of each kind is there
//	machine clean    nothing is, or soon will be
//
// The first keeps the second honest: a check that looks in the wrong place finds
// nothing either.
func machine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: machine runs|clean")
	}
	projects, err := projectsBelow(ts.Getenv("WORK"))
	ts.Check(err)
	switch args[0] {
	case "runs":
		if len(projects) == 0 {
			ts.Fatalf("no project has state")
		}
		for _, p := range projects {
			for kind, traces := range traces(ts, p) {
				if len(traces) == 0 {
					ts.Fatalf("no %s of %s", kind, p.ID)
				}
			}
		}
	case "clean":
		// The supervisor removes the last things after it has answered.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			left := map[string][]string{}
			for _, p := range projects {
				for kind, traces := range traces(ts, p) {
					if len(traces) > 0 {
						left[kind+" of "+p.ID] = traces
					}
				}
			}
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				ts.Fatalf("left behind: %v", left)
			}
		}
	default:
		ts.Fatalf("machine %s?", args[0])
	}
}

// traces lists what a running project has outside of its state folder.
func traces(ts *testscript.TestScript, p project) map[string][]string {
	sum := sha256.Sum256([]byte(p.ID))
	hash := hex.EncodeToString(sum[:5])
	found := map[string][]string{"process": nil, "mount": nil, "cgroup": nil, "interface": nil, "run folder": nil}

	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	ts.Check(err)
	for _, path := range processes {
		command, err := os.ReadFile(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && bytes.Contains(command, []byte(p.stateDir)) && alive(pid) {
			found["process"] = append(found["process"], string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	ts.Check(err)
	for line := range strings.SplitSeq(string(mounts), "\n") {
		if strings.Contains(line, p.stateDir) || strings.Contains(line, "/containust/"+p.ID) {
			found["mount"] = append(found["mount"], line)
		}
	}
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(root, "containust", p.ID)); err == nil {
			found["cgroup"] = append(found["cgroup"], root)
		}
	}
	interfaces, err := net.Interfaces()
	ts.Check(err)
	for _, i := range interfaces {
		if strings.HasSuffix(i.Name, hash) {
			found["interface"] = append(found["interface"], i.Name)
		}
	}
	runs := "/run"
	if os.Geteuid() != 0 {
		// What else there is has no trace outside of the user's namespaces.
		runs = ts.Getenv("XDG_RUNTIME_DIR")
		found = map[string][]string{"process": found["process"]}
	}
	if _, err := os.Stat(filepath.Join(runs, "containust", p.ID)); !errors.Is(err, fs.ErrNotExist) {
		found["run folder"] = append(found["run folder"], p.ID)
	}
	if nft, err := exec.LookPath("nft"); err == nil && os.Geteuid() == 0 {
		tables, err := exec.Command(nft, "list", "tables").Output()
		ts.Check(err)
		found["nftables table"] = nil
		for line := range strings.SplitSeq(string(tables), "\n") {
			if strings.Contains(line, hash) {
				found["nftables table"] = append(found["nftables table"], line)
			}
		}
	}
	return found
}
