// Package cgroup makes, watches, ends and removes control groups of version 2.
//
//	g, err := cgroup.Create(ctx, cgroup.Spec{
//		Path:   cgroup.Path("shop", "web"),
//		Limits: cgroup.Limits{Memory: 256 << 20, CPUs: 0.5, PIDs: 100},
//	}, cgroup.Options{})
//	if err != nil {
//		return err
//	}
//	defer g.Close()
//	// start a process in it: clone3 with CLONE_INTO_CGROUP and g.File()
//	err = errors.Join(g.Kill(), g.WaitEmpty(ctx), g.Remove(ctx))
//
// The v2 hierarchy is found wherever it is mounted, at /sys/fs/cgroup or beside
// v1 hierarchies at /sys/fs/cgroup/unified; version 1 is never touched. Which
// controllers are there differs by machine: a limit that cannot be held is an
// error, and [Cgroup.Stats] says what it could not see.
//
// Platform: Linux 5.14 (cgroup.kill); elsewhere every function returns an error
// that matches errors.ErrUnsupported. Privileges: write access to the parent
// folder, so root, or a delegated subtree in [Options.Root]. A Cgroup is safe
// for concurrent use.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"time"
)

// ErrBusy is what removing a cgroup matches that still has processes, and
// enabling controllers below a cgroup that has some (EBUSY).
var ErrBusy = errors.New("cgroup has processes")

// ErrNoHierarchy is what everything matches where no v2 hierarchy is mounted.
var ErrNoHierarchy = errors.New("no cgroup v2 hierarchy is mounted")

// Spec describes a cgroup.
type Spec struct {
	// Path is where it is, relative to Options.Root; see the function Path.
	Path string
	// Controllers are to be enabled in it, as far as the hierarchy has them;
	// Missing tells which it has not. It changes cgroup.subtree_control of each
	// folder on the way, the root's too. None are needed for Kill, Freeze and
	// the processor's times.
	Controllers []string
	// Limits hold from the first process on. The controllers that they need are
	// enabled like those above; one that the hierarchy has not is an error that
	// matches ErrNoController.
	Limits Limits
	// Lenient leaves such limits out instead; Missing tells the controllers.
	Lenient bool
}

// Options say where to work. The zero value is right for root.
type Options struct {
	// Root is the folder that Spec.Path is in: empty for the mount that Find
	// returns, otherwise a delegated folder in a v2 hierarchy.
	Root string
}

// Path returns where a project's container is: containust/<project>/<name>.
func Path(project, name string) string {
	return path.Join("containust", project, name)
}

// Hierarchy is the mounted cgroup v2 hierarchy.
type Hierarchy struct {
	Mount       string   // where it is mounted
	Hybrid      bool     // version 1 hierarchies are mounted too and own some controllers
	Controllers []string // what cgroup.controllers at the mount lists

	root string // the cgroup that is mounted there; "/" unless it is a part of the hierarchy
}

// Cgroup is a control group. Close frees the file that it holds; Remove
// removes the group.
type Cgroup struct {
	path    string // absolute
	root    string // absolute; ancestors below it go with the last child
	dir     *os.File
	missing []string
}

// Stats are a cgroup's counters, its descendants included.
type Stats struct {
	CPU      CPUStats
	Memory   *MemoryStats // nil where the memory controller is absent
	PIDs     *PIDsStats   // nil where the pids controller is absent
	IO       []IOStats    // by device; nil where the io controller is absent
	Absent   []string     // the controllers whose counters are missing
	Pressure PressureStats
}

// CPUStats is the processor time used, from cpu.stat. It needs no controller.
type CPUStats struct {
	Usage, User, System time.Duration
	// Throttled needs the cpu controller.
	Throttled time.Duration
}

// MemoryStats is from memory.current, memory.peak (zero before Linux 5.19),
// memory.stat and memory.events; sizes are in bytes.
type MemoryStats struct {
	Current, Peak   int64
	Anonymous, File int64
	High, Max       int64 // how often memory.high and memory.max were reached
	OOM, OOMKills   int64 // limit hit with nothing to reclaim; processes killed for it
	Swap            int64 // in swap
	MajorFaults     int64
}

// PIDsStats is from pids.current, pids.peak (zero before Linux 6.1) and
// pids.events.
type PIDsStats struct {
	Current, Peak int64
	Refused       int64 // forks that the limit forbade
}

// IOStats is a line of io.stat: one block device's traffic.
type IOStats struct {
	Major, Minor             uint32
	ReadBytes, WriteBytes    int64
	ReadOps, WriteOps        int64
	DiscardBytes, DiscardOps int64
}

// PressureStats is from cpu.pressure, memory.pressure and io.pressure; nil where
// the kernel does not measure it. They need no controller.
type PressureStats struct {
	CPU, Memory, IO *Pressure
}

// Pressure is the time in which processes waited for a resource
// (Documentation/accounting/psi.rst of the kernel).
type Pressure struct {
	Some Stall // at least one waited
	Full Stall // all that were not idle waited; nothing was done
}

// Stall is a share of time, in percent, over the last 10, 60 and 300 seconds,
// and the time in all.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	Total                time.Duration
}

// Error tells which operation on which cgroup failed.
type Error struct {
	Op   string // "find", "look at", "settle in", "leave", "create", "open", "enable memory", "set limits", "kill", "freeze", "thaw", "read cpu.stat", "wait", "remove"
	Path string // the folder; empty for "find"
	Err  error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Path == "" {
		return fmt.Sprintf("cgroup: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("cgroup: %s %s: %v", e.Op, e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Path returns the cgroup's folder.
func (g *Cgroup) Path() string { return g.path }

// File returns the open folder, for CLONE_INTO_CGROUP. It stays the Cgroup's:
// it is closed by Close.
func (g *Cgroup) File() *os.File { return g.dir }

// Missing returns the controllers that Create was asked for and the hierarchy
// does not have.
func (g *Cgroup) Missing() []string { return g.missing }

// Close closes the folder's file. The cgroup and its processes stay.
func (g *Cgroup) Close() error {
	if err := g.dir.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return &Error{Op: "close", Path: g.path, Err: err}
	}
	return nil
}
