package network

import (
	"context"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/internal/hostfile"
	"github.com/containust/containust/modules/core/namespace"
)

// registry is the host's allocation file, locked while it is held. It says
// what the kernel does not: which project a port or a setting belongs to. When
// it is lost, the next SetRules of each project writes its entry again.
type registry struct {
	*hostfile.File[registryEntry]
}

// registryEntry is what a project has.
type registryEntry struct {
	Pin        string        `json:"pin"`
	Pool       Pool          `json:"pool"`
	Ports      []exposedPort `json:"ports,omitempty"`
	Forwarding []string      `json:"forwarding,omitempty"` // interfaces that forward because we said so
}

// exposedPort is a host port in use.
type exposedPort struct {
	Address  netip.Addr `json:"address"`
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"`
}

// conflicts tells whether both cannot be had: the same, or one is all
// addresses.
func (p exposedPort) conflicts(q exposedPort) bool {
	return p.Port == q.Port && p.Protocol == q.Protocol &&
		(p.Address == q.Address || p.Address.IsUnspecified() || q.Address.IsUnspecified())
}

// openRegistry locks and reads the file. The caller closes it.
func openRegistry(ctx context.Context, path string) (*registry, error) {
	if path == "" {
		path = DefaultRegistry
	}
	f, err := hostfile.Open(ctx, path, registryEntry.alive)
	if err != nil {
		return nil, &Error{Op: "open registry", Err: err}
	}
	return &registry{f}, nil
}

// alive tells whether an entry holds anything. A router is made and removed
// under the lock: an entry without one is what a crash left.
func (e registryEntry) alive() (bool, error) {
	if len(e.Forwarding) > 0 {
		return true, nil
	}
	ns, err := namespace.OpenPinned(e.Pin, namespace.Network)
	if err != nil {
		return !notExist(err), nil
	}
	return true, ns.Close()
}

// portOwner returns the project other than the given one that exposes a port.
func (r *registry) portOwner(project string, port exposedPort) (string, bool) {
	for other, entry := range r.Projects {
		if other != project && slices.ContainsFunc(entry.Ports, port.conflicts) {
			return other, true
		}
	}
	return "", false
}

// forwards tells whether a project other than the given one has an interface
// forward.
func (r *registry) forwards(project, link string) bool {
	for other, entry := range r.Projects {
		if other != project && slices.Contains(entry.Forwarding, link) {
			return true
		}
	}
	return false
}

// removeEmpty removes a folder that nothing is in. One that is in use, or gone,
// is left as it is; there is nothing to do about another failure, and nothing
// depends on it.
func removeEmpty(dir string) { _ = unix.Rmdir(dir) }
