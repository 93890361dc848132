package sdk

import (
	"fmt"
	"slices"
	"strings"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/storage/store"
)

// wanted makes specifications of a stack's components.
type wanted struct {
	components map[string]*stack.Component
	links      map[string][]stack.Link     // by the component that they lead from
	exposures  map[string][]stack.Exposure // by component
}

func newWanted(st *stack.Stack) *wanted {
	w := &wanted{
		components: make(map[string]*stack.Component, len(st.Components)),
		links:      map[string][]stack.Link{}, exposures: map[string][]stack.Exposure{},
	}
	for _, c := range st.Components {
		w.components[c.Name] = c
	}
	for _, l := range st.Links {
		w.links[l.From] = append(w.links[l.From], l)
	}
	for _, x := range st.Exposures {
		w.exposures[x.Component] = append(w.exposures[x.Component], x)
	}
	return w
}

// component makes the specification of a component that has its image, and
// returns what keeps it from being run, and warnings.
func (w *wanted) component(c *stack.Component, img store.Image) (d plan.Desired, refusals []diag.Diagnostic) {
	cfg := container.Config{
		Name: c.Name, Hostname: c.Hostname, WorkDir: first(c.WorkDir, img.Config.WorkDir), User: first(c.User, img.Config.User),
		ReadOnly: c.ReadOnly, Capabilities: c.Capabilities, Seccomp: c.Seccomp, Devices: c.Devices,
		Resources: resources(c), Health: health(c.Health), Job: c.Job,
		Restart:    container.Restart{Policy: container.RestartPolicy(c.Restart.Policy), Max: c.Restart.Max, Unhealthy: c.RestartUnhealthy},
		StopSignal: first(c.StopSignal, img.Config.StopSignal), StopTimeout: c.StopTimeout, Init: c.Init, Labels: c.Labels,
		Network: container.Network{
			Mode: container.NetworkMode(c.Network), Offline: c.Offline,
			Links: w.reachable(c.Name), Expose: w.exposed(c.Name),
		},
	}
	entrypoint, command := c.Entrypoint, c.Command
	if entrypoint == nil {
		entrypoint = img.Config.Entrypoint
		if command == nil {
			command = img.Config.Cmd
		}
	}
	cfg.Args = slices.Concat(entrypoint, command)
	// An image that is not there may have one.
	if len(cfg.Args) == 0 && img.Digest != "" {
		refusals = append(refusals, diag.Diagnostic{
			Code: NoCommand, Severity: diag.Error, Range: c.Range,
			Summary: fmt.Sprintf("nothing says what %s is to run", c.Name),
			Detail:  `its image has no command of its own: write command = ["/path/in/image", "argument"]`,
		})
	}
	for _, l := range img.Layers {
		cfg.Layers = append(cfg.Layers, container.Layer{Digest: l.DiffID.String(), Path: l.Path})
	}
	refusals = append(refusals, unsupported(c)...)
	refusals = append(refusals, mounts(&cfg, c)...)

	d = plan.Desired{
		Config: cfg, Shown: cfg, Image: state.Image{Source: c.Image, Digest: img.Digest.String()},
		DependsOn: w.dependencies(c.Name), Injected: w.injected(c),
	}
	d.Config.Env, d.Shown.Env = environment(img.Config.Env, c)
	var found []diag.Diagnostic
	d.Config.Files, d.Shown.Files, found = files(c)
	refusals = append(refusals, found...)
	d.Config.SeccompProfile, d.Shown.SeccompProfile, found = profile(c)
	return d, append(refusals, found...)
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// environment returns the image's variables with the component's over them: as
// they are, and as they may be shown.
func environment(base []string, c *stack.Component) (real, shown []string) {
	set := map[string]bool{}
	for _, v := range c.Env {
		set[v.Name] = true
	}
	for _, name := range c.EnvUnset {
		set[name] = true
	}
	if c.EnvClear {
		base = nil
	}
	for _, kv := range base {
		if name, _, _ := strings.Cut(kv, "="); !set[name] {
			real, shown = append(real, kv), append(shown, kv)
		}
	}
	for _, v := range c.Env {
		real = append(real, v.Name+"="+v.Value.Value)
		shown = append(shown, v.Name+"="+v.Value.Shown)
	}
	return real, shown
}

// reachable are the components that name may reach.
func (w *wanted) reachable(name string) []string {
	var to []string
	for _, l := range w.links[name] {
		if c := w.components[l.To]; c != nil && !c.Job && c.Network == string(container.NetworkProject) {
			to = append(to, l.To)
		}
	}
	slices.Sort(to)
	return to
}

// exposed are the host ports that lead to name.
func (w *wanted) exposed(name string) []container.Exposure {
	var all []container.Exposure
	for _, x := range w.exposures[name] {
		all = append(all, container.Exposure{
			Address: x.Address, HostPort: x.HostPort, ContainerPort: x.Port, Protocol: x.Protocol,
		})
	}
	return all
}

// dependencies are the components that must be ready before name starts.
func (w *wanted) dependencies(name string) []string {
	var on []string
	for _, l := range w.links[name] {
		if !l.NoWait {
			on = append(on, l.To)
		}
	}
	slices.Sort(on)
	return slices.Compact(on)
}

// injected tells of which component each variable tells that a CONNECT gave.
func (w *wanted) injected(c *stack.Component) map[string]string {
	var from map[string]string
	targets := map[string]string{} // by prefix
	for _, l := range w.links[c.Name] {
		targets[l.Prefix] = l.To
	}
	for _, v := range c.Env {
		for _, suffix := range []string{"_HOST", "_PORT", "_CONNECTION_STRING"} {
			prefix, ok := strings.CutSuffix(v.Name, suffix)
			if ok && v.Injected && targets[prefix] != "" {
				if from == nil {
					from = map[string]string{}
				}
				from[v.Name] = targets[prefix]
			}
		}
	}
	return from
}

func resources(c *stack.Component) container.Resources {
	r := container.Resources{
		Memory: c.Memory, MemorySwap: c.MemorySwap, CPUs: c.CPUs, CPUWeight: c.CPUWeight,
	}
	if _, ok := c.Where["pids"]; ok {
		r.PIDs = c.PIDs // the default holds where it can be enforced
	}
	if c.IO != nil {
		r.IO = &container.IO{
			Device: c.IO.Device, Weight: c.IO.Weight, ReadBPS: c.IO.ReadBPS, WriteBPS: c.IO.WriteBPS,
			ReadIOPS: c.IO.ReadIOPS, WriteIOPS: c.IO.WriteIOPS,
		}
	}
	for _, u := range c.Ulimits {
		r.Rlimits = append(r.Rlimits, container.Rlimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	return r
}

func health(h *stack.Health) *container.Health {
	if h == nil {
		return nil
	}
	return &container.Health{
		Command: h.Command, HTTP: h.HTTP, TCP: h.TCP, Interval: h.Interval, Timeout: h.Timeout,
		Retries: h.Retries, StartPeriod: h.StartPeriod,
	}
}
