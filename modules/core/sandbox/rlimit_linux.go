package sandbox

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/containust/containust/modules/core/capability"
	"golang.org/x/sys/unix"
)

// rlimitNames are in the order of the resources' numbers, which all machines
// that a launch supports share.
var rlimitNames = [...]string{
	unix.RLIMIT_CPU:        "cpu",
	unix.RLIMIT_FSIZE:      "fsize",
	unix.RLIMIT_DATA:       "data",
	unix.RLIMIT_STACK:      "stack",
	unix.RLIMIT_CORE:       "core",
	unix.RLIMIT_RSS:        "rss",
	unix.RLIMIT_NPROC:      "nproc",
	unix.RLIMIT_NOFILE:     "nofile",
	unix.RLIMIT_MEMLOCK:    "memlock",
	unix.RLIMIT_AS:         "as",
	unix.RLIMIT_LOCKS:      "locks",
	unix.RLIMIT_SIGPENDING: "sigpending",
	unix.RLIMIT_MSGQUEUE:   "msgqueue",
	unix.RLIMIT_NICE:       "nice",
	unix.RLIMIT_RTPRIO:     "rtprio",
	unix.RLIMIT_RTTIME:     "rttime",
}

// ParseRlimit returns the resource that name means: "nofile", as
// limits.conf(5) calls it, or "RLIMIT_NOFILE".
func ParseRlimit(name string) (int, error) {
	short := strings.TrimPrefix(strings.ToLower(name), "rlimit_")
	for resource, n := range rlimitNames {
		if n == short {
			return resource, nil
		}
	}
	return 0, fmt.Errorf("unknown resource limit %q: it must be one of %s", name, strings.Join(rlimitNames[:], ", "))
}

// check tells why the limit cannot be set, where hard is the caller's hard limit.
func (r Rlimit) check(hard uint64) error {
	e := &RlimitError{Name: rlimitName(r.Resource), Cur: r.Cur, Max: r.Max}
	if r.Cur > r.Max {
		return e
	}
	if r.Max <= hard {
		return nil
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var own [2]unix.CapUserData
	if err := unix.Capget(&header, &own[0]); err != nil {
		return fmt.Errorf("sandbox: raise the limit %s: %w", e.Name, err)
	}
	if own[0].Effective&(1<<capability.SYS_RESOURCE) == 0 {
		e.Most, e.Reason = hard, "this process has "+limitText(hard)+", and to raise that takes CAP_SYS_RESOURCE"
		return e
	}
	if r.Resource == unix.RLIMIT_NOFILE {
		return r.checkFiles(e)
	}
	return nil
}

// checkFiles knows the one limit that has a limit.
func (r Rlimit) checkFiles(e *RlimitError) error {
	text, err := os.ReadFile("/proc/sys/fs/nr_open")
	if err != nil {
		return fmt.Errorf("sandbox: raise the limit %s: %w", e.Name, err)
	}
	if e.Most, err = strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64); err != nil {
		return fmt.Errorf("sandbox: read fs.nr_open: %w", err)
	}
	if r.Max <= e.Most {
		return nil
	}
	e.Reason = "the sysctl fs.nr_open of this machine is " + limitText(e.Most)
	return e
}

func rlimitName(resource int) string {
	if resource >= 0 && resource < len(rlimitNames) {
		return rlimitNames[resource]
	}
	return fmt.Sprintf("%d", resource)
}
