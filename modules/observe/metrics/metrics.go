// Package metrics reads what containers use: processor time, memory, tasks, and
// traffic of network and block devices.
//
//	reader, err := metrics.Open(metrics.Options{})
//	targets := []metrics.Target{{PID: pid, Cgroup: true, Network: true}}
//	before := reader.Read(targets)
//	time.Sleep(time.Second)
//	now := reader.Read(targets)
//	rates := now[0].Since(before[0])
//	fmt.Printf("%.1f %%, %d bytes\n", 100*rates.CPU, now[0].Memory)
//
// Counters are those of the container's cgroup (version 2) and of its network
// namespace. Where the cgroup lacks a controller, or the container has none of its
// own, the values are added up over its processes in /proc: what a process used
// that ended and was not waited for is missing then, and memory that several
// processes share counts several times. [Reading.Approximate] says which these
// are.
//
// Platform: Linux 5.14; elsewhere Open's error matches errors.ErrUnsupported.
// Privileges: who may see the processes, so root, or the user whose containers
// they are. A Reader is safe for concurrent use. Reading costs about 40 µs a
// container.
package metrics

import (
	"time"

	"github.com/containust/containust/modules/core/cgroup"
)

// Options say what to read. The zero value works.
type Options struct {
	Pressure bool // also Reading.Pressure, which costs half as much again
}

// Target is a container to read.
type Target struct {
	PID     int  // of its first process, on this machine
	Cgroup  bool // it has a cgroup of its own
	Network bool // it has a network namespace of its own
}

// Measure names what a container uses.
type Measure string

// The measures.
const (
	CPU    Measure = "cpu"
	Memory Measure = "memory"
	PIDs   Measure = "pids"
	Net    Measure = "net"
	Block  Measure = "block"
)

// Reading is what a container has used until a moment, or uses then.
type Reading struct {
	Time   time.Time
	CPU    time.Duration // processor time of all its processes since it was started
	Memory int64         // bytes; what the limit is for, the page cache included
	// Reclaimable is the part of Memory that the kernel takes back first: cache of
	// files that were not read lately. Zero where Memory is approximate.
	Reclaimable int64
	PIDs        int     // tasks: processes and their threads
	Net         Traffic // of its interfaces but loopback; none with the host's network
	Block       Traffic
	OOMKills    int64 // processes killed for want of memory
	Pressure    cgroup.PressureStats

	// Approximate are the measures that were added up over processes; Missing are
	// those about which nothing is known.
	Approximate, Missing []Measure

	// Err is why nothing else is known; it matches fs.ErrNotExist if the container
	// has ended.
	Err error
}

// Traffic counts bytes since a container was started, as it sees them.
type Traffic struct {
	In  int64 `json:"in"`  // received, or read
	Out int64 `json:"out"` // sent, or written
}

// Rates are what a container used in the time between two readings.
type Rates struct {
	Over       time.Duration // between the readings; zero: nothing is known
	CPU        float64       // in processors: 1 is all of one
	Net, Block Rate
}

// Rate is in bytes per second.
type Rate struct {
	In  float64 `json:"in"`
	Out float64 `json:"out"`
}

// Since returns the rates from an earlier reading to this one; none without one. A
// counter that went back, as approximate ones may, is a rate of zero.
func (r Reading) Since(before Reading) Rates {
	over := r.Time.Sub(before.Time)
	if over <= 0 || before.Time.IsZero() || r.Err != nil || before.Err != nil {
		return Rates{}
	}
	rate := func(now, then int64) float64 { return float64(max(0, now-then)) / over.Seconds() }
	return Rates{
		Over:  over,
		CPU:   max(0, (r.CPU-before.CPU).Seconds()) / over.Seconds(),
		Net:   Rate{rate(r.Net.In, before.Net.In), rate(r.Net.Out, before.Net.Out)},
		Block: Rate{rate(r.Block.In, before.Block.In), rate(r.Block.Out, before.Block.Out)},
	}
}
