package idmap

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// uses are host ids that somebody has.
type uses struct {
	taken []use
	own   []Map // of this process's user namespace: other ids do not exist
}

type use struct {
	first, count uint32
	by           string
}

func (u *uses) add(first, count uint32, by string) {
	if overlap(first, count, firstID, lastID-firstID+1) {
		u.taken = append(u.taken, use{first, count, by})
	}
}

// owner tells who has some of the range from first on, or "".
func (u *uses) owner(first uint32) string {
	for _, t := range u.taken {
		if overlap(first, Size, t.first, t.count) {
			return t.by
		}
	}
	for _, m := range u.own {
		if !slices.ContainsFunc(m, func(r Range) bool {
			return first >= r.Container && uint64(first)+Size <= uint64(r.Container)+uint64(r.Count)
		}) {
			return "the user namespace around this process"
		}
	}
	return ""
}

// Host is what a host's ids were used for at one time, by subordinate ids and by
// processes. Looking takes some microseconds for each process there is, so who
// allocates for many containers at once looks once.
type Host struct{ found func() (*uses, error) }

// Look begins to look, in the background.
func Look() *Host {
	h := &Host{found: sync.OnceValues(hostUses)}
	go func() { _, _ = h.found() }() // whoever needs it gets the error, too
	return h
}

// hostUses finds what this host uses beside the registry.
func hostUses() (*uses, error) {
	u := &uses{}
	for _, name := range subordinateFiles {
		if err := u.addSubordinate(name); err != nil {
			return nil, err
		}
	}
	var own [2]string
	for i, name := range mapFiles {
		text, err := os.ReadFile(filepath.Join("/proc/self", name))
		if err != nil {
			return nil, err
		}
		m, err := Parse(string(text))
		if err != nil {
			return nil, err
		}
		own[i], u.own = string(text), append(u.own, m)
	}
	return u, u.addProcesses(own)
}

var mapFiles = [2]string{"uid_map", "gid_map"}

// addSubordinate reads lines of name:first:count, see subuid(5). What the tools
// of that file pass over is passed over here.
func (u *uses) addSubordinate(name string) (err error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 == nil && err2 == nil {
			u.add(uint32(first), uint32(count), name)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// addProcesses finds the ids that processes run with, and those of their user
// namespaces. own are the maps of this process: who has the same is in no other
// namespace.
func (u *uses) addProcesses(own [2]string) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	seen := [2]map[string]bool{{own[0]: true}, {own[1]: true}}
	namespaces := map[string]bool{} // whose maps were read
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir, by := filepath.Join("/proc", e.Name()), "process "+e.Name()
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil {
			continue // it ended meanwhile
		}
		u.add(st.Uid, 1, by)
		u.add(st.Gid, 1, by)
		ns, err := os.Readlink(filepath.Join(dir, "ns/user"))
		known := err == nil
		if known && namespaces[ns] {
			continue
		}
		for i, name := range mapFiles {
			text, err := os.ReadFile(filepath.Join(dir, name))
			known = known && len(text) > 0 // else it is yet to be written, or the process ended
			if err != nil || seen[i][string(text)] {
				continue
			}
			seen[i][string(text)] = true
			m, err := Parse(string(text))
			if err != nil {
				return fmt.Errorf("%s/%s: %w", dir, name, err)
			}
			for _, r := range m {
				u.add(r.Host, r.Count, by)
			}
		}
		if known {
			namespaces[ns] = true
		}
	}
	return nil
}

// WriteMaps gives the user namespace of a process its maps, which it can get
// only once. With CAP_SETUID and CAP_SETGID over the caller's own namespace any
// ids can be mapped, and setgroups(2) stays allowed inside. An ordinary user can
// map what Caller returns: alone, without setgroups(2), or with the programs
// newuidmap and newgidmap.
func WriteMaps(pid int, ids IDs) error {
	if err := errors.Join(ids.UIDs.Check(), ids.GIDs.Check()); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return writeMapsAsUser(pid, ids)
	}
	return writeMaps(pid, ids)
}

func writeMaps(pid int, ids IDs) error {
	for i, m := range [2]Map{ids.UIDs, ids.GIDs} {
		if err := writeProc(pid, mapFiles[i], m.String()); err != nil {
			return err
		}
	}
	return nil
}

// writeProc writes a file of a process in one write: the kernel takes a map as a
// whole.
func writeProc(pid int, name, text string) error {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/%s", pid, name), os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
