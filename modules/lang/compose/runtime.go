package compose

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/containust/containust/modules/lang/schema"
)

// resources writes the limits.
func (c *converter) resources(s *component) {
	limits := types.Resource{}
	if s.Deploy != nil && s.Deploy.Resources.Limits != nil {
		limits = *s.Deploy.Resources.Limits
	}
	if memory := max(int64(s.MemLimit), int64(limits.MemoryBytes)); memory > 0 {
		s.set("memory", quotedSize(memory))
		// Docker counts memory and swap together; -1 is no limit.
		if swap := int64(s.MemSwapLimit) - memory; s.MemSwapLimit > 0 && swap >= 0 {
			s.set("memory_swap", quotedSize(swap))
		}
	} else if s.MemSwapLimit > 0 {
		c.lose(s, "memswap_limit", c.at(s, "memswap_limit"), "it counts for Docker together with mem_limit, which is not set")
	}
	c.cpu(s, float64(max(s.CPUS, float32(limits.NanoCPUs))))
	if pids := max(s.PidsLimit, limits.Pids); pids > 0 {
		s.set("pids", strconv.FormatInt(min(pids, math.MaxInt32), 10))
	} else if s.PidsLimit < 0 {
		s.set("pids", "4194304") // PID_MAX_LIMIT of Linux
	}
	c.io(s)
	var ulimits []entry
	for _, name := range sorted(s.Ulimits) {
		u := s.Ulimits[name]
		text := strconv.Itoa(u.Single)
		if u.Single == 0 && (u.Soft != 0 || u.Hard != 0) {
			text = fmt.Sprintf("%d:%d", u.Soft, u.Hard)
		}
		at := c.model.place("services", s.Name, "ulimits", name)
		if !slices.Contains(schema.Ulimits(), name) {
			c.lose(s, "ulimits", at, "Linux has no limit %q", name)
			continue
		}
		if _, problem := schema.ParseUlimit(text); problem != nil {
			c.lose(s, "ulimits", at, "%s: %s", name, problem.Summary)
			continue
		}
		if strings.Contains(text, ":") {
			text = `"` + text + `"`
		}
		ulimits = append(ulimits, entry{name, text})
	}
	if ulimits != nil {
		s.set("ulimits", mapping(ulimits))
	}
}

func (c *converter) cpu(s *component, limit float64) {
	if limit <= 0 && s.CPUQuota > 0 {
		period := s.CPUPeriod
		if period <= 0 {
			period = 100_000 // microseconds, what Linux takes by itself
		}
		limit = float64(s.CPUQuota) / float64(period)
	}
	if rounded := math.Round(limit*1e6) / 1e6; rounded > 0 && rounded <= 1<<20 {
		s.set("cpu", strconv.FormatFloat(rounded, 'f', -1, 64))
	} else if limit > 0 {
		c.lose(s, "cpus", c.model.place("services", s.Name), "%g is no number of CPUs that a limit can have", limit)
	}
	if s.CPUShares > 0 {
		// 2 to 262144 of cgroup v1 are 1 to 10000 of cgroup v2.
		shares := min(max(s.CPUShares, 2), 262_144)
		s.set("cpu_weight", strconv.FormatInt(1+(shares-2)*9_999/262_142, 10))
	}
}

func (c *converter) io(s *component) {
	b := s.BlkioConfig
	if b == nil {
		return
	}
	var entries []entry
	if b.Weight > 0 {
		// 10 to 1000 of cgroup v1 are 1 to 10000 of cgroup v2.
		weight := min(max(int64(b.Weight), 10), 1_000)
		entries = append(entries, entry{"weight", strconv.FormatInt(1+(weight-10)*9_999/990, 10)})
	}
	device := ""
	for _, kind := range []struct {
		property, attribute string
		limits              []types.ThrottleDevice
	}{
		{"read_bps", "device_read_bps", b.DeviceReadBps},
		{"write_bps", "device_write_bps", b.DeviceWriteBps},
		{"read_iops", "device_read_iops", b.DeviceReadIOps},
		{"write_iops", "device_write_iops", b.DeviceWriteIOps},
	} {
		for i, limit := range kind.limits {
			at := c.at(s, "blkio_config."+kind.attribute)
			switch {
			case i > 0 || device != "" && limit.Path != device:
				c.lose(s, "blkio_config."+kind.attribute, at, "%s: the limits of a component are of one device", limit.Path)
			case !strings.HasPrefix(limit.Path, "/") || limit.Rate < 1:
				c.lose(s, "blkio_config."+kind.attribute, at, "%s: a limit has the path of a device, and a rate of at least 1", limit.Path)
			default:
				device = limit.Path
				entries = append(entries, entry{kind.property, strconv.FormatInt(int64(limit.Rate), 10)})
			}
		}
	}
	if device != "" {
		entries = slices.Insert(entries, 0, entry{"device", c.quote(device, tab)})
	}
	if entries != nil {
		s.set("io", mapping(entries))
	}
}

// health writes the health check. What is left out has Docker's value, not that
// of .ctst.
func (c *converter) health(s *component) error {
	h := s.HealthCheck
	if h == nil || h.Disable {
		return nil
	}
	var command []string
	switch {
	case len(h.Test) == 0:
		c.lose(s, "healthcheck.test", c.at(s, "healthcheck"), "the health check of an image is not read: write it down with command, http or tcp")
		return nil
	case h.Test[0] == "NONE":
		return nil
	case h.Test[0] == "CMD":
		command = h.Test[1:]
	case h.Test[0] == "CMD-SHELL":
		command = []string{"/bin/sh", "-c", strings.Join(h.Test[1:], " ")}
	default:
		return c.at(s, "healthcheck.test").errorf("services.%s.healthcheck.test: it starts with CMD, CMD-SHELL or NONE", s.Name)
	}
	if len(command) == 0 {
		return c.at(s, "healthcheck.test").errorf("services.%s.healthcheck.test: there is no command", s.Name)
	}
	lead := tab + tab
	entries := []entry{{"command", c.list(command, lead, len(lead)+len("start_period = "))}}
	for _, d := range []struct {
		name     string
		value    *types.Duration
		fallback time.Duration
	}{{"interval", h.Interval, 30 * time.Second}, {"timeout", h.Timeout, 30 * time.Second}, {"start_period", h.StartPeriod, 0}} {
		value := d.fallback
		if d.value != nil && *d.value > 0 {
			value = time.Duration(*d.value)
		}
		if value > 0 {
			entries = append(entries, entry{d.name, `"` + schema.FormatDuration(value) + `"`})
		}
	}
	if h.Retries != nil && *h.Retries > 0 {
		entries = append(entries, entry{"retries", strconv.FormatUint(min(*h.Retries, math.MaxInt32), 10)})
	}
	s.set("healthcheck", mapping(entries))
	return nil
}

// lifecycle writes how a component starts again and stops.
func (c *converter) lifecycle(s *component) {
	policy, at := c.restart(s)
	if s.job {
		s.set("job", "true")
		if policy == "always" || policy == "unless-stopped" {
			c.lose(s, "restart", at, "a job ends: %s becomes on-failure", policy)
			policy = "on-failure"
		}
	}
	if policy != "" && policy != "never" {
		s.set("restart", c.quote(policy, tab))
	}
	if s.Init != nil && *s.Init {
		s.set("init", "true")
	}
	if s.StopSignal != "" {
		c.text(s, "stop_signal", "stop_signal", signalName(s.StopSignal))
	}
	if s.StopGracePeriod != nil {
		text := schema.FormatDuration(time.Duration(*s.StopGracePeriod))
		if _, problem := schema.ParseDuration(text); problem != nil {
			c.lose(s, "stop_grace_period", c.at(s, "stop_grace_period"), "%s", problem.Summary)
		} else {
			s.set("stop_timeout", `"`+text+`"`)
		}
	}
}

// restart returns the restart policy, and where it stands.
func (c *converter) restart(s *component) (string, place) {
	at := c.at(s, "restart")
	switch policy, count, _ := strings.Cut(s.Restart, ":"); {
	case s.Restart == "no":
		return "never", at
	case policy == "on-failure" && (count == "" || count == "0"):
		return policy, at
	case s.Restart != "":
		if _, problem := schema.ParseRestart(s.Restart); problem != nil {
			c.lose(s, "restart", at, "%s", problem.Summary)
			return "", at
		}
		return s.Restart, at
	case s.Deploy == nil || s.Deploy.RestartPolicy == nil:
		return "", at
	}
	at = c.at(s, "deploy.restart_policy")
	r := s.Deploy.RestartPolicy
	attempts := uint64(0)
	if r.MaxAttempts != nil {
		attempts = min(*r.MaxAttempts, math.MaxInt32-1)
	}
	switch r.Condition {
	case "none":
		return "never", at
	case "on-failure":
		if attempts > 0 {
			return "on-failure:" + strconv.FormatUint(attempts, 10), at
		}
		return "on-failure", at
	case "", "any":
		if attempts > 0 {
			c.lose(s, "deploy.restart_policy.max_attempts", at, "only on-failure counts")
		}
		return "always", at
	}
	c.lose(s, "deploy.restart_policy.condition", at, "there is no restart policy %q", r.Condition)
	return "", at
}

// signalNumbers are those of the signals that programs are stopped with, which
// are the same on all platforms that Docker runs on.
var signalNumbers = map[string]string{
	"1": "SIGHUP", "2": "SIGINT", "3": "SIGQUIT", "6": "SIGABRT", "9": "SIGKILL", "10": "SIGUSR1", "12": "SIGUSR2", "14": "SIGALRM", "15": "SIGTERM", "28": "SIGWINCH",
}

func signalName(s string) string {
	if name, ok := signalNumbers[s]; ok {
		return name
	}
	if upper := strings.ToUpper(s); !strings.HasPrefix(upper, "SIG") {
		return "SIG" + upper
	}
	return strings.ToUpper(s)
}

// docker is the set of capabilities that Docker gives by itself.
var docker = []string{
	"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
}

// security writes what a component may do: what Docker would let it do, with
// comments that say how to give it less.
func (c *converter) security(s *component) {
	s.setList(c, "capabilities", c.capabilities(s))
	s.comments["capabilities"] = "What Docker gives to everyone. Better the few that are needed by name, or [] for none."
	if len(s.CapAdd) > 0 || len(s.CapDrop) > 0 {
		s.comments["capabilities"] = `As the file says, where Docker's set ("docker") is the start. Better only the few that are needed.`
	}
	c.securityOptions(s)
	c.devices(s)
	if s.ReadOnly {
		s.comments["tmpfs"] = "Docker mounts no tmpfs by itself. Without this line there are /tmp, /run and /var/tmp."
	} else {
		s.set("readonly", "false")
		s.comments["readonly"] = "As for Docker. Without these lines only volumes, /tmp, /run and /var/tmp can be written."
	}
	s.setList(c, "tmpfs", s.tmpfs)
	if s.tmpfs != nil {
		delete(s.comments, "tmpfs")
	}
}

func (c *converter) capabilities(s *component) []string {
	list := []string{"docker"}
	for i, name := range s.CapDrop {
		switch bare := bareCapability(name); {
		case bare == "ALL":
			list = nil
		case !c.isCapability(bare):
			c.lose(s, "cap_drop", c.item(s, "cap_drop", i, len(s.CapDrop)), "there is no capability %s", name)
		case slices.Contains(docker, bare):
			if slices.Contains(list, "docker") {
				list = slices.Clone(docker)
			}
			list = slices.DeleteFunc(list, func(has string) bool { return has == bare })
		}
	}
	for i, name := range s.CapAdd {
		switch bare := bareCapability(name); {
		case bare == "ALL":
			list = slices.DeleteFunc(slices.Clone(schema.Lookup("capabilities").Type.Elem.Values), func(name string) bool { return name == "docker" })
		case !c.isCapability(bare):
			c.lose(s, "cap_add", c.item(s, "cap_add", i, len(s.CapAdd)), "there is no capability %s", name)
		case !slices.Contains(list, bare) && !(slices.Contains(list, "docker") && slices.Contains(docker, bare)):
			list = append(list, bare)
		}
	}
	return list
}

func bareCapability(name string) string {
	return strings.TrimPrefix(strings.ToUpper(name), "CAP_")
}

func (c *converter) isCapability(name string) bool {
	return name != "DOCKER" && schema.Lookup("capabilities").Type.Elem.Check(name) == nil
}

func (c *converter) securityOptions(s *component) {
	for i, option := range s.SecurityOpt {
		at := c.item(s, "security_opt", i, len(s.SecurityOpt))
		name, value, _ := strings.Cut(strings.Replace(option, "=", ":", 1), ":")
		switch {
		case name == "no-new-privileges" && value != "false":
		case name == "no-new-privileges":
			c.lose(s, "security_opt", at, "no program gains privileges from its file")
		case name == "seccomp" && value == "unconfined":
			s.set("seccomp", `"unconfined"`)
			s.comments["seccomp"] = "As the file says: no system call is filtered."
		case name == "seccomp" && value != "":
			s.set("seccomp", c.quote(c.hostPath(value), tab))
		default:
			c.lose(s, "security_opt", at, "%s has no counterpart", option)
		}
	}
}

func (c *converter) devices(s *component) {
	var list []string
	for i, d := range s.Devices {
		at := c.item(s, "devices", i, len(s.Devices))
		switch {
		case schema.Lookup("devices").Type.Elem.Check(d.Source) != nil:
			c.lose(s, "devices", at, "%s is no path below /dev", d.Source)
			continue
		case d.Target != "" && d.Target != d.Source:
			c.lose(s, "devices", at, "%s has the same path inside, not %s", d.Source, d.Target)
		case d.Permissions != "" && d.Permissions != "rwm":
			c.lose(s, "devices", at, "%s is given whole, not only for %s", d.Source, d.Permissions)
		}
		if !slices.Contains(list, d.Source) {
			list = append(list, d.Source)
		}
	}
	if list != nil {
		s.setList(c, "devices", list)
	}
}
