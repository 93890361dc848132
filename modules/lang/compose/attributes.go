package compose

import (
	"reflect"
	"sort"
	"strings"
)

// Attribute is what becomes of one attribute of a Compose file.
type Attribute struct {
	// Path is the attribute with what it is in: ports.target. A * is a name
	// that the user chose.
	Path string

	// Becomes is what the source says in its place, in Markdown; empty where
	// nothing does.
	Becomes string

	// Lost is what cannot be said, and how to do without. Where Becomes is
	// set it is about some values only.
	Lost string
}

const (
	needsKernel = "ctst does not set it"
	swarm       = "it is for swarms"
	windows     = "it is for Windows"
	ownNetwork  = "a component has one address in the project's own network"
	oneHook     = "ctst runs nothing at that moment: make it a component with job = true, or a part of the command"
	hostNames   = "ctst answers names: give the program the address in a variable"
	groupsOf    = "a component has the groups of its user in the image's /etc/group"
)

// serviceAttributes is the table for services. Attributes that are lost as a
// whole need no entries for their parts.
var serviceAttributes = []Attribute{
	{"annotations", "", "they are for other runtimes; `labels` is free text"},
	{"attach", "", "every component's output is in ctst logs"},
	{"blkio_config.device_read_bps", "`io.read_bps`", "limits of a second device"},
	{"blkio_config.device_read_iops", "`io.read_iops`", "limits of a second device"},
	{"blkio_config.device_write_bps", "`io.write_bps`", "limits of a second device"},
	{"blkio_config.device_write_iops", "`io.write_iops`", "limits of a second device"},
	{"blkio_config.weight", "`io.weight`, on the scale of cgroup v2", ""},
	{"blkio_config.weight_device", "", "a component has one `io.weight`"},
	{"build", "`image = \"image://…\"` as a place holder", "ctst builds no images: build it elsewhere, and bring it in with ctst images import"},
	{"cap_add", "`capabilities`", "names that Linux does not have"},
	{"cap_drop", "`capabilities` without them", "names that Linux does not have"},
	{"cgroup", "", "every component has a cgroup of its own"},
	{"cgroup_parent", "", "ctst places the cgroups"},
	{"command", "`command`", ""},
	{"configs.gid", "", "files belong to root; the mode lets others read them"},
	{"configs.mode", "`mode` in `files`", "of a text that stands in the Compose file: those have 0444"},
	{"configs.source", "`files`, or `${secret.…}` for one that is external", "an external config: put its text into .containust/secrets"},
	{"configs.target", "the path in `files`", ""},
	{"configs.uid", "", "files belong to root; the mode lets others read them"},
	{"container_name", "", "a component is called as its service is"},
	{"cpu_count", "", windows + ": `cpu` is a number of CPUs"},
	{"cpu_percent", "", windows + ": `cpu` is a number of CPUs"},
	{"cpu_period", "`cpu`, with cpu_quota", ""},
	{"cpu_quota", "`cpu`", ""},
	{"cpu_rt_period", "", needsKernel + ": real-time shares need cgroup v1"},
	{"cpu_rt_runtime", "", needsKernel + ": real-time shares need cgroup v1"},
	{"cpu_shares", "`cpu_weight`, on the scale of cgroup v2", ""},
	{"cpus", "`cpu`", ""},
	{"cpuset", "", needsKernel + ": `cpu` limits how much, not which"},
	{"credential_spec", "", windows},
	{"depends_on.*.condition", "`CONNECT`; service_completed_successfully also `job = true`", "service_healthy where the service has no health check"},
	{"depends_on.*.required", "a service that is not there is left out", ""},
	{"depends_on.*.restart", "", "a component is not restarted together with what it depends on"},
	{"deploy.endpoint_mode", "", swarm},
	{"deploy.labels", "", swarm},
	{"deploy.mode", "", "there is one instance of a component"},
	{"deploy.placement", "", swarm},
	{"deploy.replicas", "0: the component is left out", "more than 1: there is one instance of a component"},
	{"deploy.resources.limits.cpus", "`cpu`", ""},
	{"deploy.resources.limits.devices", "", "devices are given by path: `devices`"},
	{"deploy.resources.limits.generic_resources", "", swarm},
	{"deploy.resources.limits.memory", "`memory`", ""},
	{"deploy.resources.limits.pids", "`pids`", ""},
	{"deploy.resources.reservations.cpus", "", "nothing is reserved; `cpu_weight` is the share under load"},
	{"deploy.resources.reservations.devices", "", "devices are given by path: `devices`"},
	{"deploy.resources.reservations.generic_resources", "", swarm},
	{"deploy.resources.reservations.memory", "", "nothing is reserved; `memory` is the limit"},
	{"deploy.resources.reservations.pids", "", "nothing is reserved; `pids` is the limit"},
	{"deploy.restart_policy.condition", "`restart`, unless restart is set", ""},
	{"deploy.restart_policy.delay", "", "the pause doubles from 100 ms to 10 s"},
	{"deploy.restart_policy.max_attempts", "`restart = \"on-failure:N\"`", "with another condition than on-failure"},
	{"deploy.restart_policy.window", "", "there is no such time"},
	{"deploy.rollback_config", "", swarm},
	{"deploy.update_config", "", swarm},
	{"develop", "", "it is for developing: run ctst run again after a change"},
	{"device_cgroup_rules", "", "devices are given by path: `devices`"},
	{"devices.permissions", "all three: rwm", "fewer than rwm"},
	{"devices.source", "`devices`", "what is no path below /dev"},
	{"devices.target", "the same path", "another path than the source"},
	{"dns", "", "ctst answers names itself and asks the servers of the machine"},
	{"dns_opt", "", "ctst answers names itself and asks the servers of the machine"},
	{"dns_search", "", "ctst answers names itself and asks the servers of the machine"},
	{"dockerfile", "", "ctst builds no images: build it elsewhere, and bring it in with ctst images import"},
	{"domainname", "", "`hostname` may have dots"},
	{"entrypoint", "`entrypoint`, and `command = []` where there is no command", ""},
	{"env_file.format", "read as it says", ""},
	{"env_file.path", "`env`: the values are taken over", "a file that is not there"},
	{"env_file.required", "a file that is not there is left out", ""},
	{"environment", "`env`", "names with blanks"},
	{"expose", "`ports`", "other protocols than TCP and UDP"},
	{"extends.file", "the service has what it extends", ""},
	{"extends.service", "the service has what it extends", ""},
	{"external_links", "", "components reach each other and the outside, not containers of other tools"},
	{"extra_hosts", "", hostNames},
	{"gpus", "", "devices are given by path: `devices`"},
	{"group_add", "", groupsOf},
	{"healthcheck.disable", "no `healthcheck`", ""},
	{"healthcheck.interval", "`healthcheck.interval`", ""},
	{"healthcheck.retries", "`healthcheck.retries`", ""},
	{"healthcheck.start_interval", "", "`interval` holds from the start on"},
	{"healthcheck.start_period", "`healthcheck.start_period`", ""},
	{"healthcheck.test", "`healthcheck.command`; CMD-SHELL with /bin/sh -c", "without a test: the one in the image is not read"},
	{"healthcheck.timeout", "`healthcheck.timeout`", ""},
	{"hostname", "`hostname`", ""},
	{"image", "`image = \"oci://registry/name:tag\"`, fully qualified", ""},
	{"init", "`init`", ""},
	{"ipc", "", "every component has an IPC namespace of its own"},
	{"isolation", "", windows},
	{"label_file", "`labels`: the values are taken over", "a file that is not there"},
	{"labels", "`labels`", ""},
	{"links", "`CONNECT`", "another host name than the service's"},
	{"log_driver", "", "output is kept by ctst: ctst logs"},
	{"log_opt", "", "output is kept by ctst: ctst logs"},
	{"logging", "", "output is kept by ctst: ctst logs"},
	{"mac_address", "", ownNetwork},
	{"mem_limit", "`memory`", ""},
	{"mem_reservation", "", "nothing is reserved; `memory` is the limit"},
	{"mem_swappiness", "", needsKernel + ": cgroup v2 has no such setting"},
	{"memswap_limit", "`memory_swap`: what is beyond the memory", ""},
	{"models", "", "ctst runs no models: run one as a component"},
	{"net", "", "use network_mode"},
	{"network_mode", "`network`: host and none; bridge is the project's network", "the network of another service or container"},
	{"networks.*.aliases", "", "a component has one host name, its own: use that"},
	{"networks.*.driver_opts", "", ownNetwork},
	{"networks.*.gw_priority", "", ownNetwork},
	{"networks.*.interface_name", "", ownNetwork},
	{"networks.*.ipv4_address", "", ownNetwork},
	{"networks.*.ipv6_address", "", ownNetwork},
	{"networks.*.link_local_ips", "", ownNetwork},
	{"networks.*.mac_address", "", ownNetwork},
	{"networks.*.priority", "", ownNetwork},
	{"networks.*.use_service_name_alias", "", "a component always has its own host name"},
	{"oom_kill_disable", "", needsKernel},
	{"oom_score_adj", "", needsKernel},
	{"pid", "", "every component has a PID namespace of its own"},
	{"pids_limit", "`pids`; without a limit the most that Linux has", ""},
	{"platform", "", "images are for this machine: import the one for it"},
	{"ports.app_protocol", "`protocol`, of the first port", "of other ports"},
	{"ports.host_ip", "the address in `EXPOSE`; without one 0.0.0.0", ""},
	{"ports.mode", "nothing: it is for swarms", ""},
	{"ports.name", "", "ports have no names"},
	{"ports.protocol", "`/udp`", "other protocols than TCP and UDP"},
	{"ports.published", "the host port in `EXPOSE`", "a port that Docker chooses: the container's own is taken"},
	{"ports.target", "`ports` and the port in `EXPOSE`", ""},
	{"post_start", "", oneHook},
	{"pre_start", "", oneHook},
	{"pre_stop", "", oneHook},
	{"privileged", "", "no component is: name what it needs with `capabilities` and `devices`"},
	{"profiles", "services of profiles that are not active are left out: --profile", ""},
	{"provider", "", "ctst runs no programs of other tools"},
	{"pull_policy", "", "an image is brought into the store once, and stays the same"},
	{"pull_refresh_after", "", "an image is brought into the store once, and stays the same"},
	{"read_only", "`readonly`", ""},
	{"restart", "`restart`", "always and unless-stopped for a job"},
	{"runtime", "", "ctst starts processes itself"},
	{"scale", "0: the component is left out", "more than 1: there is one instance of a component"},
	{"secrets.gid", "", "files belong to root; the mode lets others read them"},
	{"secrets.mode", "`mode` in `files`", "of a secret that is no file: those have 0400"},
	{"secrets.source", "`files` for a file, else `secrets` or `${secret.…}`", "an external one: put it into .containust/secrets"},
	{"secrets.target", "the path in `files`", ""},
	{"secrets.uid", "", "files belong to root; the mode lets others read them"},
	{"security_opt", "`seccomp`; no-new-privileges always holds", "AppArmor, SELinux and others"},
	{"shm_size", "`tmpfs = [\"/dev/shm:…\"]`", ""},
	{"stdin_open", "", "components read no standard input; ctst exec starts a command beside them"},
	{"stop_grace_period", "`stop_timeout`", ""},
	{"stop_signal", "`stop_signal`", "signals that programs are not stopped with"},
	{"storage_opt", "", needsKernel},
	{"sysctls", "", needsKernel},
	{"tmpfs", "`tmpfs`", "other options than size"},
	{"tty", "", "components have no terminal; ctst exec starts a command beside them"},
	{"ulimits.*", "`ulimits`", "a soft limit above the hard one"},
	{"umask", "", needsKernel},
	{"use_api_socket", "", "there is no daemon"},
	{"user", "`user`", ""},
	{"userns_mode", "", "ctst chooses the user namespace"},
	{"uts", "", "every component has a host name of its own"},
	{"volume_driver", "", "volumes are folders of the project"},
	{"volumes.bind.create_host_path", "nothing: a path that is missing is a remark", ""},
	{"volumes.bind.propagation", "rprivate is what holds", "other kinds"},
	{"volumes.bind.recursive", "", "how deep it reaches cannot be chosen"},
	{"volumes.bind.selinux", "", "nothing is relabelled"},
	{"volumes.consistency", "nothing: it changes nothing on Linux", ""},
	{"volumes.image", "", "an image cannot be mounted: bring it in as a component, or unpack it to a folder"},
	{"volumes.read_only", "`:ro`", ""},
	{"volumes.source", "`volumes`; a volume without a name gets one", "volumes of Docker: their content stays where it is"},
	{"volumes.target", "`volumes`", "a path with a colon"},
	{"volumes.tmpfs.mode", "", "a tmpfs is open to everyone in the component"},
	{"volumes.tmpfs.size", "`tmpfs`", ""},
	{"volumes.type", "`volumes`; tmpfs: `tmpfs`", "npipe, cluster and image"},
	{"volumes.volume.labels", "", "volumes have no labels"},
	{"volumes.volume.nocopy", "", "a new volume always starts with the image's content"},
	{"volumes.volume.subpath", "", "a volume is mounted as a whole"},
	{"volumes_from", "`volumes` of the other service", "of a container"},
	{"working_dir", "`workdir`", ""},
}

// projectAttributes is the table for what is beside the services.
var projectAttributes = []Attribute{
	{"configs.*.content", "the text in `files`", ""},
	{"configs.*.driver", "", swarm},
	{"configs.*.driver_opts", "", swarm},
	{"configs.*.environment", "`${env.…}` in `files`", ""},
	{"configs.*.external", "`${secret.…}` in `files`", "put its text into .containust/secrets"},
	{"configs.*.file", "`source` in `files`", ""},
	{"configs.*.labels", "", swarm},
	{"configs.*.name", "nothing: it is the name outside of the project", ""},
	{"configs.*.template_driver", "", swarm},
	{"include", "what it includes is converted", ""},
	{"jobs", "", "ctst starts nothing at a time of day: leave that to cron or a systemd timer"},
	{"models", "", "ctst runs no models: run one as a component"},
	{"name", "nothing: a project is called as its file is", ""},
	{"networks.*.attachable", "", swarm},
	{"networks.*.driver", "bridge is what the project's network is", "other drivers"},
	{"networks.*.driver_opts", "", "there are no networks to configure: links take their place"},
	{"networks.*.enable_ipv4", "", "there are no networks to configure: links take their place"},
	{"networks.*.enable_ipv6", "", "there are no networks to configure: links take their place"},
	{"networks.*.external", "", "containers of other tools are not reached by name: use the host's address and a published port"},
	{"networks.*.internal", "`offline`", ""},
	{"networks.*.ipam", "", "ctst chooses the addresses"},
	{"networks.*.labels", "", "there are no networks to configure: links take their place"},
	{"networks.*.name", "nothing: it is the name outside of the project", ""},
	{"secrets.*.driver", "", swarm},
	{"secrets.*.driver_opts", "", swarm},
	{"secrets.*.environment", "`secrets`: the variable gets another name", ""},
	{"secrets.*.external", "`secrets`", "put it into .containust/secrets"},
	{"secrets.*.file", "`source` in `files`", ""},
	{"secrets.*.labels", "", swarm},
	{"secrets.*.name", "nothing: it is the name outside of the project", ""},
	{"secrets.*.template_driver", "", swarm},
	{"services", "components", ""},
	{"version", "nothing: Compose does not look at it either", ""},
	{"volumes.*.driver", "local is what a volume is", "other drivers"},
	{"volumes.*.driver_opts", "a bound folder becomes a host path", "others"},
	{"volumes.*.external", "a volume of the project", "its content stays where it is: copy it"},
	{"volumes.*.labels", "", "volumes have no labels"},
	{"volumes.*.name", "nothing: it is the name outside of the project", ""},
}

// Attributes returns the table: what becomes of each attribute of a service,
// and of each one beside the services. Extensions (x-…) are left out in
// silence, because Compose does nothing with them. The lists must not be
// changed.
func Attributes() (service, project []Attribute) { return serviceAttributes, projectAttributes }

// table finds attributes by path.
type table struct {
	rows    map[string]*Attribute
	parents map[string]bool // what rows are in
}

func newTable(list []Attribute) table {
	t := table{rows: map[string]*Attribute{}, parents: map[string]bool{}}
	for i := range list {
		path := list[i].Path
		t.rows[path] = &list[i]
		for at := strings.LastIndexByte(path, '.'); at >= 0; at = strings.LastIndexByte(path, '.') {
			path = path[:at]
			t.parents[path] = true
		}
	}
	return t
}

// found is an attribute that a file has.
type found struct {
	row   *Attribute // nil: Compose does not have it
	path  string     // of the row
	keys  []string   // where it stands, with names in place of * and the numbers of entries
	value any
}

// walk calls visit for what a value has, in order. An attribute with nothing in
// it does not count: it says what holds anyway.
func (t table) walk(value any, path string, keys []string, visit func(found)) {
	if empty(value) {
		return
	}
	if row := t.rows[path]; row != nil {
		visit(found{row, path, keys, value})
		return
	}
	dict, _ := value.(map[string]any)
	list, _ := value.([]any)
	switch {
	case path != "" && !t.parents[path] || dict == nil && list == nil:
		visit(found{nil, path, keys, value})
	case list != nil:
		for i, item := range list {
			t.walk(item, path, append(keys[:len(keys):len(keys)], index(i)), visit)
		}
	default:
		for _, key := range sorted(dict) {
			next := key
			if star := dotted(path, "*"); t.parents[star] || t.rows[star] != nil {
				next = "*"
			}
			if !strings.HasPrefix(key, "x-") || next == "*" {
				t.walk(dict[key], dotted(path, next), append(keys[:len(keys):len(keys)], key), visit)
			}
		}
	}
}

func dotted(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// empty tells whether a value says nothing.
func empty(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	switch v.Kind() {
	case reflect.Map, reflect.Slice:
		return v.Len() == 0
	default:
		return v.IsZero()
	}
}
