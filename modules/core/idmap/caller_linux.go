package idmap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Own returns the maps of the user namespace that this process is in.
func Own() (IDs, error) {
	var maps [2]Map
	for i, name := range mapFiles {
		text, err := os.ReadFile(filepath.Join("/proc/self", name))
		if err != nil {
			return IDs{}, err
		}
		if maps[i], err = Parse(string(text)); err != nil {
			return IDs{}, err
		}
	}
	return IDs{UIDs: maps[0], GIDs: maps[1]}, nil
}

// Confined tells whether this process is in another user namespace than the
// machine's first one: even root there has no power over the machine.
var Confined = sync.OnceValue(func() bool {
	ids, err := Own()
	return err == nil && !ids.Everybody()
})

// Caller returns the maps of a user namespace in which the calling user is
// root: besides it, the ids from 1 on are the user's subordinate ids, those of
// /etc/subuid and /etc/subgid. Without them, or without the programs newuidmap
// and newgidmap that may hand them out, root is the only id, and alone says what
// to do about it.
func Caller() (ids IDs, alone error) {
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	ids = Single(0, 0, uid, gid)
	names := []string{strconv.Itoa(os.Geteuid())}
	// Without an entry in /etc/passwd the number is the only name.
	if u, err := user.LookupId(names[0]); err == nil {
		names = append(names, u.Username)
	}
	for _, program := range mapPrograms {
		if _, err := exec.LookPath(program); err != nil {
			return ids, fmt.Errorf("the program %s is missing: install the package uidmap (on some distributions shadow-utils)", program)
		}
	}
	all := IDs{UIDs: slices.Clone(ids.UIDs), GIDs: slices.Clone(ids.GIDs)}
	for i, m := range []*Map{&all.UIDs, &all.GIDs} {
		name := subordinateFiles[i]
		text, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return ids, err
		}
		next := uint32(1)
		for _, r := range subordinate(text, names) {
			r.Container, next = next, next+r.Count
			*m = append(*m, r)
		}
		if next == 1 {
			free := freeSubordinate()
			return ids, fmt.Errorf("%s has no ids for %s: as root, run: usermod --add-subuids %d-%d --add-subgids %[3]d-%[4]d %[2]s",
				name, names[len(names)-1], free, free+Size-1)
		}
		if err := m.Check(); err != nil {
			return ids, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all, nil
}

var subordinateFiles = [2]string{"/etc/subuid", "/etc/subgid"}

// freeSubordinate returns the first of Size ids that nobody has as subordinate
// ones: where the next user's usually begin.
func freeSubordinate() uint32 {
	free := uint32(100000)
	for _, name := range subordinateFiles {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it is about to be made
		}
		for _, r := range subordinate(text, nil) {
			free = max(free, r.Host+r.Count)
		}
	}
	return free
}

// subordinate returns the ranges of a user, by its names, or with none of all
// users, in a text of lines of name:first:count, see subuid(5). What the tools of that file pass over is
// passed over here.
func subordinate(text []byte, names []string) []Range {
	var found []Range
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		fields := strings.Split(strings.TrimSpace(lines.Text()), ":")
		if len(fields) != 3 || names != nil && !slices.Contains(names, fields[0]) {
			continue
		}
		first, err1 := strconv.ParseUint(fields[1], 10, 32)
		count, err2 := strconv.ParseUint(fields[2], 10, 32)
		if err1 == nil && err2 == nil && count > 0 {
			found = append(found, Range{Host: uint32(first), Count: uint32(count)})
		}
	}
	return found
}

// mapPrograms write the maps of a user namespace for an ordinary user: of
// users, and of groups.
var mapPrograms = [2]string{"newuidmap", "newgidmap"}

// writeMapsAsUser is WriteMaps without privileges.
func writeMapsAsUser(pid int, ids IDs) error {
	if ids.onlyCaller() {
		// The kernel takes a map of one's own group only from who cannot leave
		// groups: a group may be there to keep its members out.
		if err := writeProc(pid, "setgroups", "deny"); err != nil {
			return err
		}
		return writeMaps(pid, ids)
	}
	for i, m := range [2]Map{ids.UIDs, ids.GIDs} {
		args := []string{strconv.Itoa(pid)}
		for _, r := range m {
			args = append(args, strings.Fields(r.String())...)
		}
		out, err := exec.Command(mapPrograms[i], args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", mapPrograms[i], err, bytes.TrimSpace(out))
		}
	}
	return nil
}

// onlyCaller tells whether nobody but the calling user is mapped.
func (ids IDs) onlyCaller() bool {
	only := func(m Map, id int) bool { return len(m) == 1 && m[0].Count == 1 && m[0].Host == uint32(id) }
	return only(ids.UIDs, os.Geteuid()) && only(ids.GIDs, os.Getegid())
}
