package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// ErrNoController is what setting a limit matches that needs a controller which
// the hierarchy does not have.
var ErrNoController = errors.New("cgroup v2 controller is missing")

// NoSwap as Limits.Swap allows none.
const NoSwap = -1

// Limits bound what the processes of a cgroup and of those in it use together
// (cgroup-v2.rst, "Controllers"). Zero values are what the kernel has without
// asking: no bound, and equal weights.
type Limits struct {
	Memory     int64 // bytes; when they are reached and nothing can be reclaimed, processes are killed
	MemoryHigh int64 // bytes; above it processes are slowed down and their memory reclaimed
	Swap       int64 // bytes of swap, beside Memory; NoSwap: none
	OOMGroup   bool  // where memory is out, all processes are killed at once

	CPUs      float64 // processors, as 0.5; from 0.01
	CPUWeight int     // 1–10000, to be compared with those beside; the kernel's is 100
	CPUSet    string  // the processors to run on, as "0-3,6"
	MemSet    string  // the memory nodes to use, as "0"

	PIDs int64 // processes and threads

	IO       []IOLimits // by device
	IOWeight int        // 1–10000, as CPUWeight, on devices without a weight of their own
}

// IOLimits bound the traffic of one block device: a whole one, not a partition
// (see [DeviceOf]).
type IOLimits struct {
	Major, Minor        uint32
	ReadBPS, WriteBPS   int64 // bytes per second
	ReadIOPS, WriteIOPS int64 // operations per second
	Weight              int   // 1–10000; the kernel's is 100
}

// Controllers returns those that the limits need.
func (l Limits) Controllers() []string {
	var names []string
	for _, s := range l.settings() {
		if s.asked && !slices.Contains(names, s.controller) {
			names = append(names, s.controller)
		}
	}
	return names
}

// Without returns the limits that need none of the controllers.
func (l Limits) Without(controllers ...string) Limits {
	for _, name := range controllers {
		switch name {
		case "memory":
			l.Memory, l.MemoryHigh, l.Swap, l.OOMGroup = 0, 0, 0, false
		case "cpu":
			l.CPUs, l.CPUWeight = 0, 0
		case "cpuset":
			l.CPUSet, l.MemSet = "", ""
		case "pids":
			l.PIDs = 0
		case "io":
			l.IO, l.IOWeight = nil, 0
		}
	}
	return l
}

// cpuPeriod is the time in which a cgroup may use its quota, in microseconds:
// the kernel's default.
const cpuPeriod = 100_000

// minCPUs is the smallest quota that the kernel takes, 1 ms, in that period.
const minCPUs = 0.01

// A setting is a value for one of the kernel's files.
type setting struct {
	controller  string
	file, value string
	asked       bool // it is not the kernel's own value
}

// settings returns what to write, in the order to write it in.
func (l Limits) settings() []setting {
	list := []setting{
		{"memory", "memory.oom.group", zeroOne(l.OOMGroup), l.OOMGroup},
		{"memory", "memory.swap.max", swap(l.Swap), l.Swap != 0},
		{"memory", "memory.high", bound(l.MemoryHigh), l.MemoryHigh != 0},
		{"memory", "memory.max", bound(l.Memory), l.Memory != 0},
		{"cpu", "cpu.max", cpuMax(l.CPUs), l.CPUs != 0},
		{"cpu", "cpu.weight", weight(l.CPUWeight), l.CPUWeight != 0},
		{"cpuset", "cpuset.cpus", l.CPUSet, l.CPUSet != ""},
		{"cpuset", "cpuset.mems", l.MemSet, l.MemSet != ""},
		{"pids", "pids.max", bound(l.PIDs), l.PIDs != 0},
		{"io", "io.weight", "default " + weight(l.IOWeight), l.IOWeight != 0},
	}
	for _, device := range l.IO {
		number := device.number()
		if device.Weight != 0 {
			list = append(list, setting{"io", "io.weight", number + " " + weight(device.Weight), true})
		}
		list = append(list, setting{"io", "io.max", number + " " + device.bounds(), true})
	}
	return list
}

func (l IOLimits) number() string { return fmt.Sprintf("%d:%d", l.Major, l.Minor) }

func (l IOLimits) bounds() string {
	return fmt.Sprintf("rbps=%s wbps=%s riops=%s wiops=%s",
		bound(l.ReadBPS), bound(l.WriteBPS), bound(l.ReadIOPS), bound(l.WriteIOPS))
}

func bound(n int64) string {
	if n == 0 {
		return "max"
	}
	return strconv.FormatInt(n, 10)
}

func swap(n int64) string {
	if n == NoSwap {
		return "0"
	}
	return bound(n)
}

func cpuMax(cpus float64) string {
	quota := "max"
	if cpus != 0 {
		quota = strconv.FormatInt(int64(cpus*cpuPeriod+0.5), 10)
	}
	return fmt.Sprintf("%s %d", quota, cpuPeriod)
}

func weight(n int) string {
	if n == 0 {
		return "100"
	}
	return strconv.Itoa(n)
}

func zeroOne(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// check finds values that no kernel takes, before any is written.
func (l Limits) check() error {
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("limits: "+format+": %w", append(args, fs.ErrInvalid)...)
	}
	amounts := []struct {
		name  string
		value int64
	}{{"memory", l.Memory}, {"high memory", l.MemoryHigh}, {"processes", l.PIDs}}
	weights := []int{l.CPUWeight, l.IOWeight}
	seen := map[string]bool{}
	for _, device := range l.IO {
		for _, value := range []int64{device.ReadBPS, device.WriteBPS, device.ReadIOPS, device.WriteIOPS} {
			amounts = append(amounts, struct {
				name  string
				value int64
			}{"traffic of device " + device.number(), value})
		}
		weights = append(weights, device.Weight)
		if seen[device.number()] {
			return wrong("device %s is there twice", device.number())
		}
		seen[device.number()] = true
	}
	for _, amount := range amounts {
		if amount.value < 0 {
			return wrong("%d for %s is below zero", amount.value, amount.name)
		}
	}
	for _, w := range weights {
		if w < 0 || w > 10000 {
			return wrong("weight %d is not from 1 to 10000", w)
		}
	}
	if l.Swap < NoSwap {
		return wrong("%d for swap is below zero", l.Swap)
	}
	// Not as l.CPUs < minCPUs: that is false for what is not a number.
	if l.CPUs != 0 && !(l.CPUs >= minCPUs && l.CPUs <= maxCPUs) {
		return wrong("%v processors are not from %v to %d", l.CPUs, minCPUs, maxCPUs)
	}
	for _, set := range []string{l.CPUSet, l.MemSet} {
		if strings.Trim(set, "0123456789,-") != "" {
			return wrong("%q is no set such as 0-3,6", set)
		}
	}
	return nil
}

// maxCPUs is more than any machine has, and little enough for a number of
// microseconds.
const maxCPUs = 1 << 20
