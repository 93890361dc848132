package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/schema"
)

// Diff lists the properties in which two specifications differ, by path. Layers
// are left out: the image's digest says more.
func Diff(old, new container.Config) []Reason {
	old.Layers, new.Layers = nil, nil
	if reflect.DeepEqual(old, new) {
		return nil // most of a large project, most of the time
	}
	before, after := properties(old), properties(new)
	paths := slices.Concat(slices.Collect(maps.Keys(before)), slices.Collect(maps.Keys(after)))
	slices.Sort(paths)
	var reasons []Reason
	for _, path := range slices.Compact(paths) {
		if !reflect.DeepEqual(before[path], after[path]) {
			reasons = append(reasons, Reason{Property: path, Old: before[path], New: after[path]})
		}
	}
	return reasons
}

// flat maps a property's path to its value, see [Reason].
type flat map[string]any

// set adds a property unless it has the value that stands for none.
func set[T comparable](f flat, path string, value, none T) {
	if value != none {
		f[path] = value
	}
}

// setList adds a list unless it is empty.
func (f flat) setList(path string, values []string) {
	if v := list(values); v != nil {
		f[path] = v
	}
}

// list is a list as a reason has it: nil when empty.
func list(values []string) any {
	if len(values) == 0 {
		return nil
	}
	return values
}

// properties are a specification as the language would say it. What has a
// default is always there, so that a change of it is no addition.
func properties(cfg container.Config) flat {
	f := flat{
		"readonly": cfg.ReadOnly, "job": cfg.Job, "init": cfg.Init, "offline": cfg.Network.Offline,
		"network":      string(cfg.Network.Mode),
		"seccomp":      orDefault(cfg.Seccomp, "default"),
		"restart":      restart(cfg.Restart),
		"stop_signal":  orDefault(cfg.StopSignal, "SIGTERM"),
		"stop_timeout": "10s",
	}
	if cfg.StopTimeout != 0 {
		f["stop_timeout"] = schema.FormatDuration(cfg.StopTimeout)
	}
	set(f, "hostname", orDefault(cfg.Hostname, cfg.Name), cfg.Name)
	set(f, "workdir", cfg.WorkDir, "")
	set(f, "user", cfg.User, "")
	set(f, "seccomp_profile", cfg.SeccompProfile, "")
	set(f, "restart_unhealthy", cfg.Restart.Unhealthy, false)
	f.setList("command", cfg.Args)
	f.setList("capabilities", cfg.Capabilities)
	f.setList("devices", cfg.Devices)
	f.setList("links", cfg.Network.Links)
	f.setList("expose", each(cfg.Network.Expose, exposure))
	for _, kv := range cfg.Env {
		name, value := cutVariable(kv)
		f["env."+name] = value
	}
	for name, value := range cfg.Labels {
		f["labels."+name] = value
	}
	f.mounts(cfg.Mounts)
	f.files(cfg.Files)
	f.resources(cfg.Resources)
	f.health(cfg.Health)
	return f
}

func orDefault(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func each[T any](values []T, text func(T) string) []string {
	var all []string
	for _, v := range values {
		all = append(all, text(v))
	}
	return all
}

func cutVariable(kv string) (name, value string) {
	name, value, _ = strings.Cut(kv, "=")
	return name, value
}

func (f flat) mounts(mounts []container.Mount) {
	var volumes, tmpfs []string
	for _, m := range mounts {
		text := m.Target
		if m.Kind == container.MountTmpfs && m.ReadOnly {
			continue // it is there for the secrets alone
		}
		if m.Kind == container.MountTmpfs {
			if m.Size != 0 {
				text += ":" + schema.FormatSize(m.Size)
			}
			tmpfs = append(tmpfs, text)
			continue
		}
		text = m.Source + ":" + text
		if m.ReadOnly {
			text += ":ro"
		}
		volumes = append(volumes, text)
	}
	f.setList("volumes", volumes)
	f.setList("tmpfs", tmpfs)
}

// SecretsDir is the folder of a container that holds its secrets, one a file.
const SecretsDir = "/run/secrets"

// files are told by their content's digest: the content may be long, or come
// from a file that is nobody else's business.
func (f flat) files(files []container.File) {
	var secrets []string
	for _, file := range files {
		name, ok := strings.CutPrefix(file.Path, SecretsDir+"/")
		if ok && string(file.Content) == "${secret."+name+"}" {
			secrets = append(secrets, name)
			continue
		}
		digest := sha256.Sum256(file.Content)
		text := "sha256:" + hex.EncodeToString(digest[:])
		if file.Mode != 0o444 {
			text += fmt.Sprintf(", mode %04o", file.Mode)
		}
		f["files."+file.Path] = text
	}
	f.setList("secrets", secrets)
}

func (f flat) resources(r container.Resources) {
	set(f, "memory", schema.FormatSize(r.Memory), schema.FormatSize(0))
	set(f, "memory_swap", schema.FormatSize(r.MemorySwap), schema.FormatSize(0))
	set(f, "cpu", r.CPUs, 0)
	set(f, "cpu_weight", r.CPUWeight, 0)
	set(f, "pids", r.PIDs, 0)
	if r.IO != nil {
		set(f, "io.device", r.IO.Device, "")
		set(f, "io.weight", r.IO.Weight, 0)
		set(f, "io.read_bps", schema.FormatSize(r.IO.ReadBPS), schema.FormatSize(0))
		set(f, "io.write_bps", schema.FormatSize(r.IO.WriteBPS), schema.FormatSize(0))
		set(f, "io.read_iops", int(r.IO.ReadIOPS), 0)
		set(f, "io.write_iops", int(r.IO.WriteIOPS), 0)
	}
	for _, l := range r.Rlimits {
		text := strconv.FormatInt(l.Soft, 10)
		if l.Hard != l.Soft {
			text += ":" + strconv.FormatInt(l.Hard, 10)
		}
		f["ulimits."+l.Name] = text
	}
}

func (f flat) health(h *container.Health) {
	if h == nil {
		return
	}
	f.setList("healthcheck.command", h.Command)
	set(f, "healthcheck.http", h.HTTP, "")
	set(f, "healthcheck.tcp", int(h.TCP), 0)
	f["healthcheck.interval"] = schema.FormatDuration(h.Interval)
	f["healthcheck.timeout"] = schema.FormatDuration(h.Timeout)
	f["healthcheck.retries"] = h.Retries
	f["healthcheck.start_period"] = schema.FormatDuration(h.StartPeriod)
}

func restart(r container.Restart) string {
	text := orDefault(string(r.Policy), string(container.RestartNever))
	if r.Max != 0 {
		text += ":" + strconv.Itoa(r.Max)
	}
	return text
}

// exposure is what EXPOSE would be given: "127.0.0.1:8080:80", with the
// protocol unless it is tcp.
func exposure(e container.Exposure) string {
	address := e.Address
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	text := fmt.Sprintf("%s:%d:%d", address, e.HostPort, e.ContainerPort)
	if e.Protocol != "" && e.Protocol != "tcp" {
		text += "/" + e.Protocol
	}
	return text
}
