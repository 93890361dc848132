package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
)

// Reader reads what containers use.
type Reader struct {
	opts      Options
	hierarchy *cgroup.Hierarchy // nil: no cgroup of version 2 is there

	mu      sync.Mutex
	folders map[int]string // of cgroups, by the first process; found once
}

// Open returns a reader for the containers of this machine. It holds nothing that
// would have to be closed.
func Open(opts Options) (*Reader, error) {
	h, err := cgroup.Find()
	if err != nil && !errors.Is(err, cgroup.ErrNoHierarchy) {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return &Reader{opts: opts, hierarchy: h, folders: map[int]string{}}, nil
}

// Read reads all targets at nearly one moment, and returns the readings in their
// order.
func (r *Reader) Read(targets []Target) []Reading {
	readings := make([]Reading, len(targets))
	members := r.withoutCgroup(targets)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(targets)) {
		workers.Go(func() {
			var f files
			for i := int(next.Add(1)) - 1; i < len(targets); i = int(next.Add(1)) - 1 {
				readings[i] = r.read(&f, targets[i], members[targets[i].PID])
			}
		})
	}
	workers.Wait()
	r.forget(targets)
	return readings
}

// Processes returns the ids of a container's processes, on this machine.
func (r *Reader) Processes(t Target) ([]int, error) {
	if !t.Cgroup || r.hierarchy == nil {
		return r.withoutCgroup([]Target{t})[t.PID], nil
	}
	dir, err := r.folder(t.PID)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	text, err := (&files{}).read(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return numbers(text), nil
}

// read reads one target. members are its processes where it has no cgroup.
func (r *Reader) read(f *files, t Target, members []int) Reading {
	reading := Reading{Time: time.Now()}
	var err error
	if t.Cgroup && r.hierarchy != nil {
		var dir string
		if dir, err = r.folder(t.PID); err == nil {
			err = r.readCgroup(f, dir, &reading)
		}
	} else {
		reading.Approximate = []Measure{CPU, Memory, PIDs, Block}
		err = addProcesses(f, &reading, members)
	}
	if err == nil && t.Network {
		err = readNetwork(f, t.PID, &reading)
	}
	if !t.Network {
		reading.Missing = append(reading.Missing, Net)
	}
	if err == nil && !t.Cgroup && len(members) == 0 {
		err = fs.ErrNotExist
	}
	if errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH) {
		err = fs.ErrNotExist // files of a cgroup, or a process, that ended while they were open
	}
	if err != nil {
		r.mu.Lock()
		delete(r.folders, t.PID) // the id may be another container's next time
		r.mu.Unlock()
		return Reading{Time: reading.Time, Err: fmt.Errorf("metrics: read the container of process %d: %w", t.PID, err)}
	}
	return reading
}

// folder returns the cgroup of a target. A process of a container does not leave
// it.
func (r *Reader) folder(pid int) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if dir, ok := r.folders[pid]; ok {
		return dir, nil
	}
	dir, err := r.hierarchy.Of(pid)
	if err == nil {
		r.folders[pid] = dir
	}
	return dir, err
}

// forget drops the folders of what is no target any more: its process id may be
// somebody else's soon.
func (r *Reader) forget(targets []Target) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.folders) <= len(targets) {
		return
	}
	wanted := map[int]bool{}
	for _, t := range targets {
		wanted[t.PID] = true
	}
	for pid := range r.folders {
		if !wanted[pid] {
			delete(r.folders, pid)
		}
	}
}

// readCgroup reads the counters of a cgroup. What has no file because its
// controller is not there is added up over the processes.
func (r *Reader) readCgroup(f *files, dir string, reading *Reading) error {
	text, err := f.read(filepath.Join(dir, "cpu.stat"))
	if err != nil {
		return err
	}
	usage, _ := keyed(text, "usage_usec ")
	reading.CPU = time.Duration(usage) * time.Microsecond

	for _, m := range []struct {
		measure    Measure
		controller string
		read       func(*files, string, *Reading) error
	}{{Memory, "memory", readMemory}, {PIDs, "pids", readPIDs}, {Block, "io", readBlock}} {
		err := fs.ErrNotExist
		if slices.Contains(r.hierarchy.Controllers, m.controller) {
			err = m.read(f, dir, reading)
		}
		if errors.Is(err, fs.ErrNotExist) { // or it is not enabled in this one
			reading.Approximate = append(reading.Approximate, m.measure)
		} else if err != nil {
			return err
		}
	}
	if r.opts.Pressure {
		if err := readPressure(f, dir, &reading.Pressure); err != nil {
			return err
		}
	}
	if len(reading.Approximate) == 0 {
		return nil
	}
	if text, err = f.read(filepath.Join(dir, "cgroup.procs")); err != nil {
		return err
	}
	return addProcesses(f, reading, numbers(text))
}

func readMemory(f *files, dir string, reading *Reading) error {
	text, err := f.read(filepath.Join(dir, "memory.current"))
	if err != nil {
		return err
	}
	reading.Memory, _ = keyed(text, "")
	if text, err = f.read(filepath.Join(dir, "memory.stat")); err != nil {
		return err
	}
	reading.Reclaimable, _ = keyed(text, "inactive_file ")
	if text, err = f.read(filepath.Join(dir, "memory.events")); err != nil {
		return err
	}
	reading.OOMKills, _ = keyed(text, "oom_kill ")
	return nil
}

func readPIDs(f *files, dir string, reading *Reading) error {
	text, err := f.read(filepath.Join(dir, "pids.current"))
	n, _ := keyed(text, "")
	reading.PIDs = int(n)
	return err
}

func readBlock(f *files, dir string, reading *Reading) error {
	text, err := f.read(filepath.Join(dir, "io.stat"))
	reading.Block = Traffic{In: total(text, "rbytes="), Out: total(text, "wbytes=")}
	return err
}
