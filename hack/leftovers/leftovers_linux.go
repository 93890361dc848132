// Command leftovers says what Containust has on this machine: processes, mounts,
// control groups, network interfaces and nftables tables, found by looking at
// the kernel and not by asking ctst.
//
//	leftovers -save FILE     remember what there is
//	leftovers [-since FILE]  fail if there is anything (more than was remembered)
//
// It needs Linux, and finds what has our names: a program named ctst, a control
// group below one named containust, a mount of .containust or /run/containust,
// interfaces ctst*, tables containust*. An ordinary user sees its own processes,
// and no tables: those of the machine are root's.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"
)

func main() {
	save := flag.String("save", "", "write what there is to `file`")
	since := flag.String("since", "", "leave out what -save wrote to `file`")
	flag.Parse()
	if err := run(*save, *since); err != nil {
		fmt.Fprintln(os.Stderr, "leftovers:", err)
		os.Exit(1)
	}
}

func run(save, since string) error {
	found, err := find()
	if err != nil {
		return err
	}
	if save != "" {
		return os.WriteFile(save, []byte(strings.Join(found, "\n")+"\n"), 0o644)
	}
	if since != "" {
		known, err := os.ReadFile(since)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		lines := strings.Split(string(known), "\n")
		found = slices.DeleteFunc(found, func(item string) bool { return slices.Contains(lines, item) })
	}
	if len(found) > 0 {
		return fmt.Errorf("%d left behind:\n  %s", len(found), strings.Join(found, "\n  "))
	}
	fmt.Println("Nothing is left: no process, mount, control group, interface or nftables table.")
	return nil
}

// find returns a line for each thing of ours.
func find() ([]string, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, where := range []func(mountinfo string) ([]string, error){processes, mounts, cgroups, interfaces, tables} {
		items, err := where(string(mountinfo))
		if err != nil {
			return nil, err
		}
		found = append(found, items...)
	}
	return found, nil
}

// processes finds ctst itself and what runs in its containers: by control
// group, and where there is none by what is mounted in the process's own
// namespace.
func processes(mountinfo string) ([]string, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var found []string
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// A process that ends while it is looked at is none that is left: its
		// files read as empty.
		dir := filepath.Join("/proc", entry.Name())
		exe, _ := os.Readlink(filepath.Join(dir, "exe"))
		cgroup, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
		itsMounts, _ := os.ReadFile(filepath.Join(dir, "mountinfo"))
		stat, _ := os.ReadFile(filepath.Join(dir, "stat"))

		inside := string(itsMounts) != mountinfo && len(ourMounts(string(itsMounts))) > len(ourMounts(mountinfo))
		if isCommand(exe) || strings.Contains(string(cgroup), "/containust/") || inside {
			found = append(found, fmt.Sprintf("process %d %s, started at tick %s", pid, exe, startTime(string(stat))))
		}
	}
	return found, nil
}

// isCommand tells whether a /proc/PID/exe link names our command.
func isCommand(exe string) bool {
	return filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == "ctst"
}

// startTime returns field 22 of /proc/PID/stat (proc(5)), which with the pid
// names a process. The second field is a name that may hold anything.
func startTime(stat string) string {
	rest := stat[strings.LastIndex(stat, ")")+1:]
	if fields := strings.Fields(rest); len(fields) > 19 {
		return fields[19]
	}
	return "?"
}

func mounts(mountinfo string) ([]string, error) {
	var found []string
	for _, target := range ourMounts(mountinfo) {
		found = append(found, "mount "+target)
	}
	return found, nil
}

// ourMounts returns the targets of the mounts that are ours in a mountinfo
// file: what shows a part of a project's or a user's .containust, overlays made
// of that, and what is pinned in /run/containust.
func ourMounts(mountinfo string) []string {
	var found []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 10 {
			continue
		}
		for _, field := range fields[3:] { // root, target, options, type, source
			if strings.Contains(field, "/.containust/") || strings.Contains(field, "/run/containust") || field == "containust" {
				found = append(found, fields[4])
				break
			}
		}
	}
	return found
}

// cgroups finds the control groups below one named containust, in every
// hierarchy of version 2.
func cgroups(mountinfo string) ([]string, error) {
	var found []string
	for _, root := range cgroupRoots(mountinfo) {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // removed while we looked
			}
			if err == nil && d.IsDir() && slices.Contains(strings.Split(name, "/"), "containust") {
				found = append(found, "control group "+name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func cgroupRoots(mountinfo string) []string {
	var roots []string
	scanner := bufio.NewScanner(strings.NewReader(mountinfo))
	for scanner.Scan() {
		before, after, _ := strings.Cut(scanner.Text(), " - ")
		if fields := strings.Fields(before); strings.HasPrefix(after, "cgroup2 ") && len(fields) > 4 {
			roots = append(roots, fields[4])
		}
	}
	return roots
}

func interfaces(string) ([]string, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, i := range all {
		if strings.HasPrefix(i.Name, "ctst") {
			found = append(found, "interface "+i.Name)
		}
	}
	return found, nil
}

func tables(string) ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	conn, err := nftables.New()
	if err != nil {
		return nil, err
	}
	all, err := conn.ListTables()
	if err != nil {
		return nil, fmt.Errorf("list nftables tables: %w", err)
	}
	var found []string
	for _, table := range all {
		if strings.HasPrefix(table.Name, "containust") {
			found = append(found, "nftables table "+table.Name)
		}
	}
	return found, nil
}
