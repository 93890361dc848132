package sdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/observe/metrics"
	"github.com/containust/containust/modules/sdk/logfile"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
)

// ErrNothingRuns says that the project has no container that could be controlled.
var ErrNothingRuns = errors.New("nothing of the project runs")

// Restart stops components, dependents first, and starts them again as they are;
// without names all but jobs. What needs them and is not named goes on. A Timeout
// of zero is each component's own. The error matches [ErrNothingRuns] if the
// project is down, and supervise.ErrComponent if a component did not start.
func (e *Engine) Restart(ctx context.Context, opts StopOptions) error {
	err := e.control(ctx, opts.Names, func() error {
		return e.client.Restart(ctx, supervise.RestartRequest{Names: opts.Names, Timeout: opts.Timeout}, opts.OnEvent)
	})
	if errors.Is(err, supervise.ErrNotRunning) {
		return ErrNothingRuns // what was stopped alone could have been started
	}
	return err
}

// Signal sends a signal, such as "HUP" or "15", to the first processes of
// components; empty is SIGKILL, which ends all processes of each for good. The
// error matches supervise.ErrNotRunning if one does not run: then none gets it.
func (e *Engine) Signal(ctx context.Context, names []string, signal string, onEvent func(supervise.Event)) error {
	return e.control(ctx, names, func() error {
		return e.client.Signal(ctx, supervise.SignalRequest{Names: names, Signal: signal}, onEvent)
	})
}

// Pause freezes components, without names all that run. The error matches
// errors.ErrUnsupported where containers have no cgroups.
func (e *Engine) Pause(ctx context.Context, names []string, onEvent func(supervise.Event)) error {
	return e.control(ctx, names, func() error {
		return e.client.Pause(ctx, supervise.PauseRequest{Names: names}, onEvent)
	})
}

// Resume lets paused components go on, without names all of them.
func (e *Engine) Resume(ctx context.Context, names []string, onEvent func(supervise.Event)) error {
	return e.control(ctx, names, func() error {
		return e.client.Pause(ctx, supervise.PauseRequest{Names: names, Resume: true}, onEvent)
	})
}

// control asks the supervisor for something about components that it must have.
func (e *Engine) control(ctx context.Context, names []string, ask func() error) error {
	st, err := e.current(ctx)
	if err != nil {
		return err
	}
	if err := known(st, names); err != nil {
		return err
	}
	if !e.client.Running() {
		if len(names) > 0 {
			c := st.Components[names[0]]
			return &supervise.NotRunningError{Name: names[0], Status: c.Status, Reason: c.Reason}
		}
		return ErrNothingRuns
	}
	return ask()
}

// Inspection is all that is known about a component.
type Inspection struct {
	Component
	// Spec is what its container was made from; secrets are shown as references.
	Spec     container.Config `json:"spec"`
	PIDs     []int            `json:"pids,omitempty"` // of its processes, on this machine
	Stopped  bool             `json:"stopped"`        // it ended because it was told to
	Pressure *Pressure        `json:"pressure,omitempty"`
	Paths    Paths            `json:"paths"`
}

// Pressure is the share of time, in percent over the last 10 seconds, in which
// processes of a component waited for a resource.
type Pressure struct {
	CPU    float64 `json:"cpu"`
	Memory float64 `json:"memory"`
	IO     float64 `json:"io"`
}

// Paths are where what belongs to a component lies on this machine.
type Paths struct {
	State  string `json:"state"`
	Stdout string `json:"stdout"`
	Stderr string `json:"stderr"`
	// Root is its root file system as this machine's root can see it; only while it
	// runs, and what is in there may be a trap for who follows links.
	Root     string            `json:"root,omitempty"`
	Writable string            `json:"writable,omitempty"` // the layer it writes to
	Volumes  map[string]string `json:"volumes,omitempty"`  // by name
}

// Inspect returns all that is known about a component.
func (e *Engine) Inspect(ctx context.Context, name string) (Inspection, error) {
	st, err := e.current(ctx)
	if err != nil {
		return Inspection{}, err
	}
	if err := known(st, []string{name}); err != nil {
		return Inspection{}, err
	}
	c := st.Components[name]
	in := Inspection{Component: component(name, c), Spec: c.Spec, Stopped: c.Stopped, Paths: e.paths(name, c)}
	if c.PID == 0 {
		return in, nil
	}
	meter, err := NewMeter()
	if err != nil {
		return in, err
	}
	list := []Component{in.Component}
	meter.Measure(list)
	time.Sleep(inspectTime)
	meter.Measure(list)
	in.Component = list[0]
	reader, err := metrics.Open(metrics.Options{Pressure: true})
	if err != nil {
		return in, err
	}
	// It may end at any moment, and then has no processes and no pressure.
	target := in.target()
	if in.PIDs, err = reader.Processes(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return in, err
	}
	if p := reader.Read([]metrics.Target{target})[0].Pressure; p.CPU != nil && p.Memory != nil && p.IO != nil {
		in.Pressure = &Pressure{CPU: p.CPU.Some.Avg10, Memory: p.Memory.Some.Avg10, IO: p.IO.Some.Avg10}
	}
	return in, nil
}

// inspectTime is how long Inspect measures.
const inspectTime = 50 * time.Millisecond

func (e *Engine) paths(name string, c *state.Component) Paths {
	dir := e.project.StateDir
	p := Paths{State: dir, Stdout: logfile.Path(dir, name, false), Stderr: logfile.Path(dir, name, true)}
	if c.PID != 0 {
		p.Root = fmt.Sprintf("/proc/%d/root", c.PID)
	}
	if !c.Spec.ReadOnly {
		p.Writable = filepath.Join(dir, "containers", name, "upper")
	}
	for _, m := range c.Spec.Mounts {
		if m.Kind == container.MountVolume {
			if p.Volumes == nil {
				p.Volumes = map[string]string{}
			}
			p.Volumes[m.Source] = filepath.Join(dir, "volumes", m.Source)
		}
	}
	return p
}

// ours are the entries of a state folder that Containust makes. The user's own
// are secrets, and whatever else is there.
var ours = []string{
	"containers", "events.jsonl", "images", "key", "lock", "logs", "network.json", "run", "state.json", "volumes",
}

// Clear removes the project's state folder after [Engine.Remove] has removed its
// components: volumes, logs and all that is known about it. It returns what it
// left there, because somebody else has made it; the folder stays for that.
func (e *Engine) Clear(ctx context.Context) (left []string, err error) {
	st, err := e.current(ctx)
	if err != nil {
		return nil, err
	}
	if len(st.Components) > 0 {
		return nil, errors.New("the project's folder can be removed only when it has no components left: remove all of them")
	}
	dir := e.project.StateDir
	lock, err := state.Acquire(dir, "lock")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if !slices.Contains(ours, entry.Name()) && !temporary(entry.Name()) {
			left = append(left, entry.Name())
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return left, err
		}
	}
	if len(left) > 0 {
		return left, nil
	}
	return nil, os.Remove(dir)
}

// temporary tells whether a file is one that was about to take the place of one of
// ours, or an older one.
func temporary(name string) bool {
	return slices.ContainsFunc(ours, func(our string) bool {
		return len(name) > len(our) && (name[:len(our)+1] == our+"." || len(name) > len(our)+2 && name[:len(our)+2] == "."+our+".")
	})
}
