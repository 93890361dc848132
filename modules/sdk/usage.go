package sdk

import (
	"slices"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/observe/metrics"
	"github.com/containust/containust/modules/sdk/state"
)

// Usage is what a component uses. Rates are over the time between the two last
// measurements of a [Meter].
type Usage struct {
	CPU         float64           `json:"cpu"`      // processors: 1 is all of one
	CPUTime     time.Duration     `json:"cpu_time"` // since it was started
	Memory      int64             `json:"memory"`   // bytes, without cache that the kernel takes back first
	MemoryLimit int64             `json:"memory_limit,omitempty"`
	PIDs        int               `json:"pids"` // processes and threads
	Net         metrics.Traffic   `json:"net"`
	Block       metrics.Traffic   `json:"block"`
	NetRate     metrics.Rate      `json:"net_rate"`
	BlockRate   metrics.Rate      `json:"block_rate"`
	OOMKills    int64             `json:"oom_kills,omitempty"`
	Approximate []metrics.Measure `json:"approximate,omitempty"` // added up over its processes
	Missing     []metrics.Measure `json:"missing,omitempty"`     // nothing is known
}

// Meter measures what components use. It is not safe for concurrent use.
type Meter struct {
	reader *metrics.Reader
	before map[int]metrics.Reading // by the first process
}

// NewMeter returns a meter. It needs Linux; elsewhere the error matches
// errors.ErrUnsupported.
func NewMeter() (*Meter, error) {
	reader, err := metrics.Open(metrics.Options{})
	return &Meter{reader: reader}, err
}

// Measure fills in the Usage of those components that run. The rates of one that
// is measured for the first time are zero; nil stays the Usage of one that has
// just ended.
func (m *Meter) Measure(list []Component) {
	var targets []metrics.Target
	var running []*Component
	for i := range list {
		if c := &list[i]; c.PID != 0 {
			targets = append(targets, c.target())
			running = append(running, c)
		}
	}
	readings := map[int]metrics.Reading{}
	for i, r := range m.reader.Read(targets) {
		c := running[i]
		if c.Usage = nil; r.Err != nil {
			continue
		}
		rates := r.Since(m.before[c.PID])
		c.Usage = &Usage{
			CPU: rates.CPU, CPUTime: r.CPU, Memory: max(0, r.Memory-r.Reclaimable), PIDs: r.PIDs,
			Net: r.Net, Block: r.Block, NetRate: rates.Net, BlockRate: rates.Block,
			OOMKills: r.OOMKills, Approximate: r.Approximate, Missing: r.Missing,
		}
		if !slices.Contains(c.Unenforced, "memory") {
			c.Usage.MemoryLimit = c.limits.Memory
		}
		readings[c.PID] = r
	}
	m.before = readings
}

func (c *Component) target() metrics.Target {
	return metrics.Target{PID: c.PID, Cgroup: !c.NoCgroup, Network: c.network != container.NetworkHost}
}

// component is what List tells about a component.
func component(name string, c *state.Component) Component {
	return Component{
		Info: container.Info{
			ID: container.ID(name), Status: c.Status, Health: c.Health, PID: c.PID,
			Exit: c.Exit, Reason: c.Reason, Restarts: c.Restarts,
			Started: c.Started, Finished: c.Finished, Expose: c.Spec.Network.Expose,
			NoCgroup: c.NoCgroup, Unenforced: c.Unenforced, Paused: c.Paused, Address: c.Address,
		},
		Image: c.Image, DependsOn: c.DependsOn, Job: c.Spec.Job,
		limits: c.Spec.Resources, network: c.Spec.Network.Mode,
	}
}
