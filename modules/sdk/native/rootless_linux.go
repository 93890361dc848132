package native

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/rootfs"
	"github.com/containust/containust/modules/core/rootless"
)

// In a user namespace, as an ordinary user has it, there is one map for all
// containers: theirs are the ids that exist there. The containers still have
// user namespaces of their own, so none has power over another.

// hostIDs say which ids of the host a container has.
type hostIDs struct {
	idmap.Project
	shared *idmap.IDs // by all containers; nil: each has a range of its own
}

func newHostIDs(project idmap.Project) (hostIDs, error) {
	ids := hostIDs{Project: project}
	if idmap.Confined() {
		own, err := idmap.Own()
		if err != nil {
			return ids, err
		}
		shared := own.Identity()
		ids.shared = &shared
		return ids, nil
	}
	look := &recentLook{}
	look.host() // the first container needs it soon
	ids.Host = look.host
	return ids, nil
}

// recentLook is what the host's ids were used for not long ago: the containers of
// a project are made at once.
type recentLook struct {
	mu    sync.Mutex
	began time.Time
	found *idmap.Host
}

// lookAge is how old a look may be. What took ids since is not seen, as what takes
// them right after a look is not.
const lookAge = time.Second

func (r *recentLook) host() *idmap.Host {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.found == nil || time.Since(r.began) > lookAge {
		r.began, r.found = time.Now(), idmap.Look()
	}
	return r.found
}

// from are the maps of a container whose range begins at first.
func (h hostIDs) from(first uint32) idmap.IDs {
	if h.shared != nil {
		return *h.shared
	}
	return idmap.Contiguous(first)
}

func (h hostIDs) Allocate(ctx context.Context, name string) (uint32, error) {
	if h.shared != nil {
		return 0, nil
	}
	return h.Project.Allocate(ctx, name)
}

func (h hostIDs) Claim(ctx context.Context, name string, first uint32, running bool) error {
	if h.shared != nil {
		return nil
	}
	return h.Project.Claim(ctx, name, first, running)
}

func (h hostIDs) Free(ctx context.Context, names ...string) error {
	if h.shared != nil {
		return nil
	}
	return h.Project.Free(ctx, names...)
}

func (h hostIDs) FreeAll(ctx context.Context) error {
	if h.shared != nil {
		return nil
	}
	return h.Project.FreeAll(ctx)
}

// reconnect restores what ended with an earlier backend: exposed ports, and when
// nothing of it was left that held the router's mount, the router with all its
// interfaces.
func (b *Backend) reconnect(ctx context.Context) error {
	lost := b.net.router == nil
	b.net.changed()
	for name, c := range b.containers {
		if !lost || c.run == nil || c.record.Config.Network.Mode != container.NetworkProject {
			continue
		}
		if _, err := b.net.reserve(ctx, name); err != nil {
			return err
		}
		ns, err := namespace.Open(c.record.PID, namespace.Network)
		if err != nil {
			return err
		}
		endpoint, err := b.net.attach(ctx, c.record.Config, ns, b.configs)
		if err == nil {
			err = endpoint.Close()
		}
		if err := errors.Join(err, ns.Close()); err != nil {
			return err
		}
	}
	return b.net.enforce(ctx, b.configs)
}

// checkIDs looks at the ids of an ordinary user.
func checkIDs() Requirement {
	r := Requirement{Name: "subordinate ids"}
	ids, err := idmap.Own()
	switch {
	case err != nil:
		r.Err = err
	case ids.UIDs.Last() == 0:
		r.Err = errors.New("none: root is the only user of containers, and their files are all root's")
		r.Mend = rootless.Alone()
	default:
		r.Found = fmt.Sprintf("%d users, %d groups", ids.UIDs.Last(), ids.GIDs.Last())
	}
	return r
}

// wayOut says what an ordinary user's network lacks.
func wayOut() Requirement {
	return Requirement{
		Name: "way out of the project",
		Err:  errors.New("an ordinary user's containers reach each other and nothing else; exposed tcp ports lead to them"),
		Mend: `run ctst as root, or give the component network = "host"`,
	}
}

// plan is what is mounted over a root file system, as far as the ids of a
// container allow.
func plan(ids idmap.IDs) rootfs.Plan {
	p := rootfs.Default()
	if _, ok := ids.GIDs.Host(5); ok {
		return p
	}
	for i := range p.Mounts {
		if p.Mounts[i].Type == "devpts" { // whose terminals cannot belong to the group tty then
			p.Mounts[i].Options = slices.DeleteFunc(p.Mounts[i].Options, func(o string) bool { return o == "gid=5" })
		}
	}
	return p
}

// presentGroups leaves out the groups that do not exist inside, where the only
// id is root's: no file there can belong to one.
func presentGroups(ids idmap.IDs, user rootfs.User) []uint32 {
	if ids.UIDs.Last() > 0 {
		return user.Groups
	}
	return nil
}
