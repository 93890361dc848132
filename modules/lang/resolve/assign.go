package resolve

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// maxFile bounds the text of one entry of `files`.
const maxFile = 1 << 20

// defaults returns a component with what holds when nothing is said.
func defaults(inst *instance) *stack.Component {
	return &stack.Component{
		Name: inst.name, Range: inst.def.name.Range, Where: map[string]token.Range{}, Hostname: inst.name,
		ReadOnly: true, PIDs: 4096, Network: "project", Restart: stack.Restart{Policy: "never"},
		StopSignal: "SIGTERM", StopTimeout: 10 * time.Second, Seccomp: "default",
	}
}

// assign evaluates every property of a component.
func (r *resolver) assign(inst *instance) {
	c := defaults(inst)
	inst.component = c
	for _, p := range schema.Properties() {
		s := inst.settings[p.Name]
		if s == nil {
			continue
		}
		out := r.merged(inst, p.Name)
		if out.rng.File != "" {
			c.Where[s.property.Name] = out.rng
		}
		switch {
		case out.set:
			r.set(inst, c, p.Name, out)
		case out.unset:
			unsetImage(inst, c, p.Name)
		}
	}
	r.requireImage(inst)
	if ports, ok := r.portsOf(inst, nil); ok {
		c.Ports = ports
	}
	if len(c.Ports) > 0 {
		c.Protocol = r.protocolOf(inst, c.Ports[0])
	}
	if _, written := inst.settings["connection_string"]; written {
		if text, ok := r.connectionOf(inst, nil); ok {
			c.ConnectionString = text
		}
	}
	r.mounts(c)
	r.combinations(c)
	r.checkArguments(inst)
}

// unsetImage takes away what the image brings.
func unsetImage(inst *instance, c *stack.Component, name string) {
	switch name {
	case "command":
		c.Command = []string{}
	case "entrypoint":
		c.Entrypoint = []string{}
	case "workdir":
		c.WorkDir = "/"
	case "user":
		c.User = "0"
	case "env":
		c.EnvClear, inst.noInject = true, true
	}
}

func (r *resolver) requireImage(inst *instance) {
	s := inst.settings["image"]
	switch {
	case inst.component.Image != "" || inst.checkOnly || inst.broken:
		return
	case s != nil && !r.merged(inst, "image").unset:
		return // it is there, and in error
	}
	r.report(diag.MissingProperty, inst.def.name.Range, fmt.Sprintf("component %q has no image", inst.name), "",
		"Give it one: image = \"file://./root\". Images are file://dir, tar://archive, image://name, oci://registry/name:tag or https://….tar.")
}

// set writes one property that was checked into the component.
func (r *resolver) set(inst *instance, c *stack.Component, name string, v outcome) {
	s := v.text.Value
	switch name {
	case "image":
		c.Image, c.ImageDir = s, v.unit.dir
	case "command":
		c.Command = texts(v.items)
	case "entrypoint":
		c.Entrypoint = texts(v.items)
	case "env":
		if v.unset {
			c.EnvClear, inst.noInject = true, true
		}
		r.setEnv(inst, c, v)
	case "workdir":
		c.WorkDir = s
	case "user":
		c.User = s
	case "hostname":
		c.Hostname = s
	case "volume":
		r.setVolumes(c, v)
	case "tmpfs":
		c.Tmpfs = []stack.Tmpfs{}
		for _, item := range v.items {
			t, _ := schema.ParseTmpfs(item.text.Value)
			c.Tmpfs = append(c.Tmpfs, stack.Tmpfs(t))
		}
	case "files":
		r.setFiles(c, v)
	case "secrets":
		r.setSecrets(inst, c, v)
	case "readonly":
		c.ReadOnly = s == "true"
	case "memory":
		c.Memory = v.integer
	case "memory_swap":
		c.MemorySwap = v.integer
	case "cpu":
		c.CPUs = v.decimal
		if r.opts.CPUs > 0 && c.CPUs > float64(r.opts.CPUs) {
			r.report(diag.MoreThanMachine, v.rng, fmt.Sprintf("cpu = %s, and the machine has %d", v.text.Shown, r.opts.CPUs), "", "For a share instead of a limit: cpu_weight = 1 to 10000.")
		}
	case "cpu_weight":
		c.CPUWeight = int(v.integer)
	case "pids":
		c.PIDs = int(v.integer)
	case "io":
		r.setIO(c, v)
	case "ulimits":
		r.setUlimits(c, v)
	case "network":
		c.Network = s
	case "offline":
		c.Offline = s == "true"
	case "egress":
		c.Egress = texts(v.items)
	case "restart_unhealthy":
		c.RestartUnhealthy = s == "true"
	case "restart":
		policy, _ := schema.ParseRestart(s)
		c.Restart = stack.Restart(policy)
	case "job":
		c.Job = s == "true"
	case "healthcheck":
		r.setHealth(c, v)
	case "stop_signal":
		c.StopSignal = s
	case "stop_timeout":
		c.StopTimeout = time.Duration(v.integer)
	case "capabilities":
		c.Capabilities = texts(v.items)
	case "seccomp":
		c.Seccomp = s
		if s != "default" && s != "unconfined" {
			c.Seccomp = hostPath(v.unit, s)
		}
	case "devices":
		c.Devices = texts(v.items)
	case "labels":
		c.Labels = map[string]string{}
		for _, e := range v.entries {
			if item := *e.lazy.done; item.kind != unset {
				c.Labels[e.key.Name] = item.text.Value
			}
		}
	case "init":
		c.Init = s == "true"
	case "distroless":
		setDistroless(c, v)
	}
}

func texts(items []value) []string {
	out := make([]string, 0, len(items))
	for _, item := range items {
		out = append(out, item.text.Value)
	}
	return out
}

// hostPath is a path of the host; a relative one belongs to the file that
// wrote it.
func hostPath(u *unit, p string) string {
	if filepath.IsAbs(p) || strings.HasPrefix(p, "/") {
		return filepath.Clean(p)
	}
	return filepath.Join(u.dir, filepath.FromSlash(p))
}

func (r *resolver) setEnv(inst *instance, c *stack.Component, v outcome) {
	inst.written = make(map[string]bool, len(v.entries))
	for _, e := range v.entries {
		inst.written[e.key.Name] = true
		item := *e.lazy.done
		if item.kind == unset {
			c.EnvUnset = append(c.EnvUnset, e.key.Name)
			continue
		}
		c.Env = append(c.Env, stack.EnvVar{Name: e.key.Name, Value: item.text})
	}
}

func (r *resolver) setVolumes(c *stack.Component, v outcome) {
	items := v.items
	if v.kind == text {
		items = []value{v.value}
	}
	for _, item := range items {
		parsed, _ := schema.ParseVolume(item.text.Value)
		volume := stack.Volume{Name: parsed.Name, Target: parsed.Target, ReadOnly: parsed.ReadOnly, Range: item.rng}
		if parsed.HostPath != "" {
			volume.HostPath = hostPath(item.unit, parsed.HostPath)
		}
		c.Volumes = append(c.Volumes, volume)
	}
}

func (r *resolver) setFiles(c *stack.Component, v outcome) {
	for _, e := range v.entries {
		item := *e.lazy.done
		if item.kind == unset {
			continue
		}
		f := stack.File{Target: path.Clean(e.key.Name), Mode: 0o444, Range: item.rng}
		if item.kind == mapping {
			if !r.setFileSource(&f, item, e.key.Range) {
				continue
			}
		} else {
			f.Text = item.text
			if len(f.Text.Value) > maxFile {
				r.report(diag.TooLarge, item.rng, fmt.Sprintf("the text of %s is larger than 1 MiB", f.Target), "", `Put it into a file: { source = "./file" }, or into a volume.`)
			}
			if f.Text.Secret() || hasSecret(item) {
				f.Mode = 0o400
			}
		}
		c.Files = append(c.Files, f)
	}
}

func hasSecret(v value) bool {
	for _, u := range v.uses {
		if u.kind == usesSecret {
			return true
		}
	}
	return false
}

func (r *resolver) setFileSource(f *stack.File, v value, key token.Range) bool {
	source := field(v, "source")
	if source == nil {
		r.report(diag.MissingKey, key, fmt.Sprintf("%s has no source", f.Target), `write { source = "./file" }`, "")
		return false
	}
	f.Source = hostPath(source.unit, source.text.Value)
	if mode := field(v, "mode"); mode != nil {
		f.Mode, _ = schema.ParseMode(mode.text.Value)
	}
	return true
}

// field returns the value of a key of a checked map, or nil.
func field(v value, name string) *value {
	for _, e := range v.entries {
		if e.key.Name == name && e.lazy.done != nil && e.lazy.done.kind != unset {
			return e.lazy.done
		}
	}
	return nil
}

func (r *resolver) setSecrets(inst *instance, c *stack.Component, v outcome) {
	seen := map[string]token.Range{}
	for _, item := range v.items {
		name := item.text.Value
		if first, ok := seen[name]; ok {
			r.report(diag.DuplicateProperty, item.rng, fmt.Sprintf("secret %q stands twice in the list", name), "remove one of the two", "", diag.Related{Label: "first here", Range: first})
			continue
		}
		seen[name] = item.rng
		one := stack.Secret{Name: name, Range: item.rng, Text: stack.Text{Shown: "${secret." + name + "}"}}
		if !inst.checkOnly && !r.gaveUp {
			one.Text.Value, _ = r.secretExists(name, item.rng)
		}
		c.Secrets = append(c.Secrets, one)
	}
}

func (r *resolver) setIO(c *stack.Component, v outcome) {
	c.IO = &stack.IO{}
	numbers := map[string]*int64{"read_bps": &c.IO.ReadBPS, "write_bps": &c.IO.WriteBPS, "read_iops": &c.IO.ReadIOPS, "write_iops": &c.IO.WriteIOPS}
	for name, into := range numbers {
		if f := field(v.value, name); f != nil {
			*into = f.integer
		}
	}
	if f := field(v.value, "weight"); f != nil {
		c.IO.Weight = int(f.integer)
	}
	if f := field(v.value, "device"); f != nil {
		c.IO.Device = f.text.Value
	}
}

func (r *resolver) setUlimits(c *stack.Component, v outcome) {
	for _, e := range v.entries {
		item := *e.lazy.done
		if item.kind == unset {
			continue
		}
		if !slices.Contains(schema.Ulimits(), e.key.Name) {
			r.report(diag.UnknownKey, e.key.Range, fmt.Sprintf("%q is not a limit", e.key.Name), r.near(e.key.Name, schema.Ulimits()), "The limits are "+strings.Join(schema.Ulimits(), ", ")+".")
			continue
		}
		u, _ := schema.ParseUlimit(item.text.Value)
		c.Ulimits = append(c.Ulimits, stack.Ulimit{Name: e.key.Name, Soft: u.Soft, Hard: u.Hard})
	}
}

func (r *resolver) setHealth(c *stack.Component, v outcome) {
	h := &stack.Health{Interval: 10 * time.Second, Timeout: 3 * time.Second, Retries: 3}
	var ways []entry
	for _, e := range v.entries {
		item := *e.lazy.done
		if item.kind == unset {
			continue
		}
		switch e.key.Name {
		case "command":
			h.Command = texts(item.items)
			ways = append(ways, e)
			if len(h.Command) == 0 {
				r.report(diag.BadText, item.rng, "the command is empty", "write the program and its arguments", "")
			}
		case "http":
			h.HTTP = item.text.Value
			ways = append(ways, e)
		case "tcp":
			h.TCP = uint16(item.integer)
			ways = append(ways, e)
		case "interval", "timeout":
			d := time.Duration(item.integer)
			if d <= 0 {
				r.report(diag.BadDuration, item.rng, fmt.Sprintf("healthcheck.%s is 0", e.key.Name), "it must be longer", "")
			}
			if e.key.Name == "interval" {
				h.Interval = d
			} else {
				h.Timeout = d
			}
		case "retries":
			h.Retries = int(item.integer)
		case "start_period":
			h.StartPeriod = time.Duration(item.integer)
		}
	}
	switch {
	case len(ways) == 0:
		r.report(diag.MissingKey, v.rng, "the health check does not say what to check", "set one of command, http and tcp", "")
	case len(ways) > 1:
		r.report(diag.Alternatives, ways[1].key.Range, fmt.Sprintf("%q and %q are one setting", ways[0].key.Name, ways[1].key.Name), "keep one of the two", "",
			diag.Related{Label: "the other", Range: ways[0].key.Range})
	default:
		c.Health = h
	}
}

func setDistroless(c *stack.Component, v outcome) {
	if v.kind == boolean {
		if v.text.Value == "true" {
			c.Distroless = &stack.Distroless{}
		}
		return
	}
	c.Distroless = &stack.Distroless{}
	if f := field(v.value, "include"); f != nil {
		c.Distroless.Include = texts(f.items)
	}
	if f := field(v.value, "binaries"); f != nil {
		c.Distroless.Binaries = texts(f.items)
	}
}
