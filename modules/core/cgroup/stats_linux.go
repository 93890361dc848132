package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stats reads the counters of the cgroup. Those of controllers that are not
// enabled in it are left out and named in Absent.
func (g *Cgroup) Stats() (Stats, error) {
	var s Stats
	failed := func(file string, err error) (Stats, error) {
		return Stats{}, &Error{Op: "read " + file, Path: g.path, Err: err}
	}
	cpu, err := readKeyed(g.path, "cpu.stat")
	if err != nil {
		return failed("cpu.stat", err)
	}
	s.CPU = CPUStats{
		Usage:     microseconds(cpu["usage_usec"]),
		User:      microseconds(cpu["user_usec"]),
		System:    microseconds(cpu["system_usec"]),
		Throttled: microseconds(cpu["throttled_usec"]),
	}
	for file, pressure := range map[string]**Pressure{
		"cpu.pressure": &s.Pressure.CPU, "memory.pressure": &s.Pressure.Memory, "io.pressure": &s.Pressure.IO,
	} {
		if *pressure, err = g.pressure(file); err != nil {
			return failed(file, err)
		}
	}
	enabled, err := readWords(g.path, "cgroup.controllers")
	if err != nil {
		return failed("cgroup.controllers", err)
	}
	for _, controller := range []struct {
		name string
		read func(*Stats) error
	}{
		{"cpu", func(*Stats) error { return nil }}, // cpu.stat has what there is
		{"memory", g.memoryStats},
		{"pids", g.pidsStats},
		{"io", g.ioStats},
	} {
		if !slices.Contains(enabled, controller.name) {
			s.Absent = append(s.Absent, controller.name)
			continue
		}
		if err := controller.read(&s); err != nil {
			return failed(controller.name+" counters", err)
		}
	}
	return s, nil
}

// OOMKills returns how many processes of the cgroup and of those in it the kernel
// killed for want of memory; zero where the memory controller is absent.
func (g *Cgroup) OOMKills() (int64, error) {
	events, err := readKeyed(g.path, "memory.events")
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, &Error{Op: "read memory.events", Path: g.path, Err: err}
	}
	return events["oom_kill"], nil
}

func microseconds(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

func (g *Cgroup) memoryStats(s *Stats) error {
	current, err := g.number("memory.current")
	if err != nil {
		return err
	}
	peak, err := g.optional("memory.peak")
	if err != nil {
		return err
	}
	swap, err := g.optional("memory.swap.current")
	if err != nil {
		return err
	}
	stat, err := readKeyed(g.path, "memory.stat")
	if err != nil {
		return err
	}
	events, err := readKeyed(g.path, "memory.events")
	if err != nil {
		return err
	}
	s.Memory = &MemoryStats{
		Current: current, Peak: peak, Swap: swap,
		Anonymous: stat["anon"], File: stat["file"], MajorFaults: stat["pgmajfault"],
		High: events["high"], Max: events["max"], OOM: events["oom"], OOMKills: events["oom_kill"],
	}
	return nil
}

func (g *Cgroup) pidsStats(s *Stats) error {
	current, err := g.number("pids.current")
	if err != nil {
		return err
	}
	peak, err := g.optional("pids.peak")
	if err != nil {
		return err
	}
	events, err := readKeyed(g.path, "pids.events")
	if err != nil {
		return err
	}
	s.PIDs = &PIDsStats{Current: current, Peak: peak, Refused: events["max"]}
	return nil
}

// pressure reads a pressure file; nil where the kernel measures none: it may be
// built without (no file) or booted with psi=0 (EOPNOTSUPP).
func (g *Cgroup) pressure(file string) (*Pressure, error) {
	text, err := os.ReadFile(filepath.Join(g.path, file))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	if err != nil {
		return nil, cause(err)
	}
	return ParsePressure(string(text))
}

// ParsePressure reads the lines of a pressure file, such as
// "some avg10=0.12 avg60=0.00 avg300=0.00 total=2500".
func ParsePressure(text string) (*Pressure, error) {
	var p Pressure
	for line := range strings.Lines(text) {
		var kind string
		var stall Stall
		var total int64
		_, err := fmt.Sscanf(line, "%s avg10=%g avg60=%g avg300=%g total=%d", &kind, &stall.Avg10, &stall.Avg60, &stall.Avg300, &total)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
		stall.Total = microseconds(total)
		switch kind {
		case "some":
			p.Some = stall
		case "full":
			p.Full = stall
		}
	}
	return &p, nil
}

func (g *Cgroup) ioStats(s *Stats) error {
	text, err := os.ReadFile(filepath.Join(g.path, "io.stat"))
	if err != nil {
		return cause(err)
	}
	s.IO, err = parseIOStat(string(text))
	return err
}

// parseIOStat reads lines such as
// "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=0 dios=0".
func parseIOStat(text string) ([]IOStats, error) {
	stats := []IOStats{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue // a device without any traffic
		}
		var device IOStats
		if _, err := fmt.Sscanf(fields[0], "%d:%d", &device.Major, &device.Minor); err != nil {
			return nil, fmt.Errorf("device %q: %w", fields[0], err)
		}
		counters := map[string]*int64{
			"rbytes": &device.ReadBytes, "wbytes": &device.WriteBytes, "dbytes": &device.DiscardBytes,
			"rios": &device.ReadOps, "wios": &device.WriteOps, "dios": &device.DiscardOps,
		}
		for _, field := range fields[1:] {
			key, value, _ := strings.Cut(field, "=")
			counter, ok := counters[key]
			if !ok {
				continue // other controllers add their own
			}
			n, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%s of device %q: %w", key, fields[0], err)
			}
			*counter = n
		}
		stats = append(stats, device)
	}
	return stats, nil
}

func (g *Cgroup) number(name string) (int64, error) {
	words, err := readWords(g.path, name)
	if err != nil {
		return 0, err
	}
	if len(words) != 1 {
		return 0, fmt.Errorf("%s: one number expected, found %q", name, words)
	}
	return strconv.ParseInt(words[0], 10, 64)
}

// optional reads a number that older kernels, or ones without swap, don't have.
func (g *Cgroup) optional(name string) (int64, error) {
	n, err := g.number(name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return n, err
}
