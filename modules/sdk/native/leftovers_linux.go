package native

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/sandbox"
)

// projectRecord is what RunDir/project.json says, so that who finds the folder
// finds the project.
type projectRecord struct {
	StateDir string `json:"state_dir"`
}

const projectFile = "project.json"

// noteProject says whose folder RunDir is. It need not outlive a power cut.
func (b *Backend) noteProject() error {
	text, err := json.Marshal(projectRecord{StateDir: b.opts.StateDir})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(b.opts.RunDir, projectFile), append(text, '\n'), 0o600)
}

// Leftovers finds what is left of projects of which nothing lives. base is the
// folder that holds the RunDir of each.
func Leftovers(ctx context.Context, base string) ([]Leftover, error) {
	m := remains{base: base, found: map[string][]Leftover{}, elsewhere: map[string]bool{}}
	for _, look := range []func() error{m.folders, m.mounts, m.cgroups, m.reservations} {
		if err := look(); err != nil {
			return nil, err
		}
	}
	var left []Leftover
	for _, project := range slices.Sorted(maps.Keys(m.found)) {
		if m.elsewhere[project] {
			continue
		}
		stateDir, alive, err := living(filepath.Join(base, project))
		if err != nil {
			return nil, err
		}
		if alive {
			continue
		}
		for _, l := range m.found[project] {
			l.Project, l.StateDir = project, stateDir
			left = append(left, l)
		}
	}
	if idmap.Confined() {
		return left, nil // an ordinary user has none of the host's interfaces
	}
	strays, err := network.Strays(ctx, slices.Collect(maps.Keys(m.found)))
	for _, name := range strays {
		left = append(left, Leftover{Kind: "interface", Name: name})
	}
	return left, err
}

// remains is what projects have on the machine, by project.
type remains struct {
	base      string
	found     map[string][]Leftover
	elsewhere map[string]bool // projects whose RunDir is in another folder: not ours to judge
}

func (m *remains) add(project, kind, name string) {
	m.found[project] = append(m.found[project], Leftover{Kind: kind, Name: name})
}

func (m *remains) folders() error {
	entries, err := os.ReadDir(m.base)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			m.add(entry.Name(), "records", filepath.Join(m.base, entry.Name()))
		}
	}
	return nil
}

func (m *remains) mounts() error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(m.base))
	for _, mount := range mounts {
		below, err := filepath.Rel(m.base, mount.Mountpoint)
		if err != nil || below == "." {
			continue
		}
		project, _, _ := strings.Cut(below, "/")
		m.add(project, "mount", mount.Mountpoint)
	}
	return err
}

func (m *remains) cgroups() error {
	if idmap.Confined() {
		return nil
	}
	h, err := cgroup.Find()
	if errors.Is(err, cgroup.ErrNoHierarchy) {
		return nil
	}
	if err != nil {
		return err
	}
	all := filepath.Join(h.Mount, filepath.Dir(filepath.Dir(cgroup.Path("p", "c"))))
	entries, err := os.ReadDir(all)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		dir := filepath.Join(all, entry.Name())
		m.add(entry.Name(), "cgroup", dir)
		pids, err := processesBelow(dir)
		if err != nil {
			return err
		}
		for _, pid := range pids {
			m.add(entry.Name(), "process", pid)
		}
	}
	return err
}

// processesBelow lists the processes of a cgroup and of those in it.
func processesBelow(dir string) (pids []string, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			var text []byte
			text, err = os.ReadFile(filepath.Join(path, "cgroup.procs"))
			pids = append(pids, strings.Fields(string(text))...)
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) {
			return nil // it went meanwhile
		}
		return err
	})
	return pids, err
}

func (m *remains) reservations() error {
	for _, name := range []string{"ids.json", "networks.json"} {
		text, err := os.ReadFile(filepath.Join(m.base, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var file struct {
			Projects map[string]struct {
				Has struct {
					Holder string `json:"holder"`
					Pin    string `json:"pin"`
				} `json:"has"`
			} `json:"projects"`
		}
		if err == nil {
			err = json.Unmarshal(text, &file)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Join(m.base, name), err)
		}
		for project, entry := range file.Projects {
			m.add(project, "reservation", name)
			runDir := cmp.Or(entry.Has.Holder, filepath.Dir(entry.Has.Pin))
			m.elsewhere[project] = m.elsewhere[project] || runDir != filepath.Join(m.base, project)
		}
	}
	return nil
}

// beginTime is how long a folder may say nothing of its project: it was just made.
const beginTime = time.Minute

// living tells whether anything of a project lives, and where its state is, if
// that is known.
func living(runDir string) (stateDir string, alive bool, err error) {
	info, err := os.Lstat(runDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	text, err := os.ReadFile(filepath.Join(runDir, projectFile))
	var p projectRecord
	switch {
	case err == nil && json.Unmarshal(text, &p) == nil:
		alive, err = lockHeld(p.StateDir)
	case errors.Is(err, fs.ErrNotExist):
		alive, err = time.Since(info.ModTime()) < beginTime, nil
	}
	if alive || err != nil {
		return p.StateDir, alive, err
	}
	files, err := filepath.Glob(filepath.Join(runDir, "containers", "*", "container.json"))
	if err != nil {
		return p.StateDir, false, err
	}
	for _, file := range files {
		var rec record
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &rec) != nil || rec.PID == 0 {
			continue // it says nothing of a process
		}
		process, err := sandbox.Open(rec.PID, rec.StartTime)
		if errors.Is(err, sandbox.ErrNotProcess) {
			continue
		}
		if err != nil {
			return p.StateDir, false, err
		}
		over, err := ended(process)
		if err := errors.Join(err, process.Close()); err != nil || !over {
			return p.StateDir, !over, err
		}
	}
	return p.StateDir, false, nil
}

// ended tells whether a process has ended, though nobody has waited for it: its
// pidfd is readable then.
func ended(p *sandbox.Process) (over bool, err error) {
	conn, err := p.PIDFD().SyscallConn()
	if err != nil {
		return false, err
	}
	var pollErr error
	err = conn.Control(func(fd uintptr) {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, pollErr = unix.Poll(poll, 0)
		over = poll[0].Revents&unix.POLLIN != 0
	})
	return over, errors.Join(err, pollErr)
}

// lockHeld tells whether a process holds a lock of a project: its supervisor, or
// its guardian. To take it for a moment would keep them from starting, so the
// kernel is asked (proc_locks(5)).
func lockHeld(stateDir string) (bool, error) {
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false, err
	}
	held := map[string]bool{}
	for line := range strings.SplitSeq(string(locks), "\n") {
		// 1: FLOCK ADVISORY WRITE 4711 08:01:123456 0 EOF; devices go by other
		// numbers there on some file systems.
		if fields := strings.Fields(line); len(fields) > 5 && fields[1] == "FLOCK" {
			held[fields[5][strings.LastIndex(fields[5], ":")+1:]] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(stateDir, "run", "*lock"))
	if err != nil {
		return false, err
	}
	for _, file := range append(files, filepath.Join(stateDir, "lock")) {
		var info unix.Stat_t
		if unix.Stat(file, &info) == nil && held[strconv.FormatUint(info.Ino, 10)] {
			return true, nil
		}
	}
	return false, nil
}

// RemoveLeftovers removes what Leftovers has found in base. A project that lives
// again is left alone.
func RemoveLeftovers(ctx context.Context, base string, left []Leftover) error {
	var errs []error
	done := map[string]bool{}
	for _, l := range left {
		switch {
		case l.Project == "":
			errs = append(errs, network.RemoveStray(ctx, l.Name))
		case !done[l.Project]:
			done[l.Project] = true
			if err := removeProject(ctx, base, l.Project); err != nil {
				errs = append(errs, fmt.Errorf("remove what is left of %s: %w", l.Project, err))
			}
		}
	}
	return errors.Join(errs...)
}

func removeProject(ctx context.Context, base, project string) error {
	runDir := filepath.Join(base, project)
	if _, alive, err := living(runDir); alive || err != nil {
		return cmp.Or(err, errors.New("it lives again"))
	}
	var err error
	if !idmap.Confined() {
		err = removeCgroup(ctx, filepath.Dir(cgroup.Path(project, "x")))
	}
	spec := network.RouterSpec{Project: project, Pin: filepath.Join(runDir, "router"), Isolated: idmap.Confined()}
	spec.Registry = filepath.Join(base, "networks.json")
	err = errors.Join(err, network.RemoveRouter(ctx, spec))
	if !idmap.Confined() {
		ids := idmap.Project{Name: project, Holder: runDir, Registry: filepath.Join(base, "ids.json")}
		err = errors.Join(err, ids.FreeAll(ctx))
	}
	mounts, mountErr := mountinfo.GetMounts(mountinfo.PrefixFilter(runDir))
	err = errors.Join(err, mountErr)
	for _, mount := range slices.Backward(mounts) { // the last one is on top
		err = errors.Join(err, unix.Unmount(mount.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW))
	}
	if err != nil {
		return err // the records go last, so that the rest is found again
	}
	return os.RemoveAll(runDir)
}

// removeCgroup ends what runs in a cgroup, and removes it.
func removeCgroup(ctx context.Context, path string) error {
	g, err := cgroup.Open(cgroup.Spec{Path: path}, cgroup.Options{})
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, cgroup.ErrNoHierarchy) {
		return nil
	}
	if err != nil {
		return err
	}
	err = g.Kill()
	if err == nil {
		err = g.WaitEmpty(ctx)
	}
	if err == nil {
		err = g.Remove(ctx)
	}
	return errors.Join(err, g.Close())
}
