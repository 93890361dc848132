// Package idmap gives containers user and group ids of their own: ranges of
// host ids that nobody else uses, maps of user namespaces, and mounts that show
// files with mapped owners.
//
//	project := idmap.Project{Name: "shop", Holder: "/run/containust/shop"}
//	first, err := project.Allocate(ctx, "web")
//	ids := idmap.Contiguous(first)
//	ns, err := sandbox.Prepare(ctx, ids, sandbox.PrepareOptions{})
//	defer ns.Close()
//	layer, err := rootfs.Folder("/srv/images/web", rootfs.Bind{})
//	err = idmap.Mount(layer, ns.User, false) // root's files belong to the container's root
//
// A range is 65,536 ids of those that systemd sets aside for containers,
// 524288–1879048191 (its "UIDS-GIDS" page). The file [DefaultRegistry] says
// which project has which; what /etc/subuid, /etc/subgid and running processes
// use is left alone. Subordinate ids that come from another source than these
// two files are not known.
//
// Maps are portable. What touches the host needs Linux and root, but for [Own],
// [Caller] and the maps that this returns: 5.12 for [Mount], with a file system
// that can do it; elsewhere errors match errors.ErrUnsupported. All functions are safe for concurrent use, also by
// several processes.
package idmap

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Range maps Count ids from Container on inside a user namespace to as many
// from Host on outside. See user_namespaces(7).
type Range struct {
	Container uint32 `json:"container"`
	Host      uint32 `json:"host"`
	Count     uint32 `json:"count"`
}

// Map is what a user namespace does to ids of one kind. Ids that are in no
// range do not exist inside.
type Map []Range

// IDs are the two maps of a user namespace.
type IDs struct {
	UIDs Map `json:"uids"`
	GIDs Map `json:"gids"`
}

// Size is the number of ids that a container has: 0–65535 inside.
const Size = 1 << 16

// Contiguous maps a container's ids to the Size host ids from first on.
func Contiguous(first uint32) IDs {
	m := Map{{Host: first, Count: Size}}
	return IDs{UIDs: m, GIDs: m}
}

// Single maps one user and one group: uid and gid inside are hostUID and
// hostGID outside, and nobody else exists.
func Single(uid, gid, hostUID, hostGID uint32) IDs {
	return IDs{
		UIDs: Map{{Container: uid, Host: hostUID, Count: 1}},
		GIDs: Map{{Container: gid, Host: hostGID, Count: 1}},
	}
}

// Identity returns the maps of a namespace inside of one with the maps ids, in
// which everybody is who it is there.
func (ids IDs) Identity() IDs {
	same := func(m Map) Map {
		out := make(Map, len(m))
		for i, r := range m {
			out[i] = Range{Container: r.Container, Host: r.Container, Count: r.Count}
		}
		return out
	}
	return IDs{UIDs: same(ids.UIDs), GIDs: same(ids.GIDs)}
}

// Everybody tells whether these are the maps of the machine's first user
// namespace, in which all ids exist.
func (ids IDs) Everybody() bool {
	all := func(m Map) bool { return len(m) == 1 && m[0] == Range{Count: invalid} }
	return all(ids.UIDs) && all(ids.GIDs)
}

// maxRanges is how many lines the kernel takes (Linux 4.15).
const maxRanges = 340

// invalid is the id that system calls take for "none".
const invalid = math.MaxUint32

// Check tells why the kernel would refuse the map.
func (m Map) Check() error {
	if len(m) == 0 || len(m) > maxRanges {
		return fmt.Errorf("an id map has 1 to %d ranges, not %d", maxRanges, len(m))
	}
	for i, r := range m {
		switch {
		case r.Count == 0:
			return fmt.Errorf("range %q of an id map is empty", r)
		case uint64(r.Container)+uint64(r.Count) > invalid || uint64(r.Host)+uint64(r.Count) > invalid:
			return fmt.Errorf("range %q of an id map goes beyond %d", r, invalid-1)
		}
		for _, other := range m[:i] {
			if overlap(r.Container, r.Count, other.Container, other.Count) || overlap(r.Host, r.Count, other.Host, other.Count) {
				return fmt.Errorf("ranges %q and %q of an id map overlap", other, r)
			}
		}
	}
	return nil
}

func overlap(a, countA, b, countB uint32) bool {
	return uint64(a) < uint64(b)+uint64(countB) && uint64(b) < uint64(a)+uint64(countA)
}

// Parse reads a map as /proc/PID/uid_map shows it and String writes it. An
// empty text is a namespace without a map, and an empty Map.
func Parse(text string) (Map, error) {
	var m Map
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			return nil, fmt.Errorf("id map: %q has %d numbers, not 3", strings.TrimSpace(line), len(fields))
		}
		var n [3]uint32
		for i, field := range fields {
			v, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("id map: %q is no id", field)
			}
			n[i] = uint32(v)
		}
		m = append(m, Range{Container: n[0], Host: n[1], Count: n[2]})
	}
	if len(m) == 0 {
		return nil, nil
	}
	return m, m.Check()
}

// String is the range as a line of /proc/PID/uid_map.
func (r Range) String() string { return fmt.Sprintf("%d %d %d", r.Container, r.Host, r.Count) }

// String is the map as /proc/PID/uid_map takes it, a line a range.
func (m Map) String() string {
	var b strings.Builder
	for _, r := range m {
		b.WriteString(r.String() + "\n")
	}
	return b.String()
}

// Last returns the highest id that exists inside; of an empty map, 0.
func (m Map) Last() uint32 {
	last := uint32(0)
	for _, r := range m {
		last = max(last, r.Container+r.Count-1)
	}
	return last
}

// Host returns what an id inside is outside, or false where it does not exist.
func (m Map) Host(id uint32) (uint32, bool) {
	for _, r := range m {
		if overlap(id, 1, r.Container, r.Count) {
			return r.Host + (id - r.Container), true
		}
	}
	return 0, false
}

// Container returns what a host id is inside, or false where it is nobody.
func (m Map) Container(id uint32) (uint32, bool) {
	for _, r := range m {
		if overlap(id, 1, r.Host, r.Count) {
			return r.Container + (id - r.Host), true
		}
	}
	return 0, false
}

// Host returns who a user and a group inside are outside. It fails where one
// of them does not exist inside.
func (ids IDs) Host(uid, gid uint32) (hostUID, hostGID uint32, err error) {
	hostUID, ok := ids.UIDs.Host(uid)
	if !ok {
		return 0, 0, fmt.Errorf("user %d: %w", uid, ErrNotMapped)
	}
	if hostGID, ok = ids.GIDs.Host(gid); !ok {
		return 0, 0, fmt.Errorf("group %d: %w", gid, ErrNotMapped)
	}
	return hostUID, hostGID, nil
}

// ErrNotMapped is matched where an id is in no range of a map.
var ErrNotMapped = errors.New("no such id inside")
