package sandbox

import (
	"fmt"
	"strings"

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

func rlimitName(resource int) string {
	if resource >= 0 && resource < len(rlimitNames) {
		return rlimitNames[resource]
	}
	return fmt.Sprintf("%d", resource)
}
