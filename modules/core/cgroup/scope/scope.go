// Package scope asks systemd for a cgroup that is the caller's own: a transient
// scope unit with Delegate=yes, in which systemd leaves everything to whoever
// asked.
//
//	if scope.Booted() {
//		dir, err := scope.Enter(ctx, scope.Spec{Name: "containust-shop", PIDs: []int{os.Getpid()}})
//		if err != nil {
//			return err
//		}
//		g, err := cgroup.Create(ctx, cgroup.Spec{Path: "web"}, cgroup.Options{Root: dir})
//		...
//	}
//
// On a machine that systemd runs, all cgroups belong to it, but those that it
// has handed out: made elsewhere they can lose their controllers, and an ordinary
// user can make none. The unit ends by itself with the last process in it.
//
// It is a package of its own because it speaks D-Bus, which cgroups do not need.
//
// Platform: Linux with systemd 238 and cgroup v2, alone or beside version 1;
// elsewhere Booted is false, and errors match errors.ErrUnsupported. Privileges:
// none. Root asks the system's manager, an ordinary user the user's own, which
// lives as long as the user is logged in, or always after
// `loginctl enable-linger`. In a user namespace as package rootless makes it that
// is so too. Functions may be called concurrently.
package scope

import (
	"errors"
	"fmt"
)

// ErrNoManager is what errors match where there is no manager to ask: systemd
// does not run this machine, or not for this user.
var ErrNoManager = errors.New("no systemd manager to ask")

// Spec describes a scope.
type Spec struct {
	// Name of the unit, without ".scope": letters, digits, and any of ":-_.". Who
	// asks for a scope that exists joins it, so the name must tell apart what
	// does not belong together.
	Name string
	// PIDs are the processes that move into it, at least one, of the caller's user.
	// Children that are not among them stay where they are.
	PIDs        []int
	Description string // what systemctl shows; empty: the name
	// Slice is the unit that it is below; empty: "machine.slice" for root,
	// "user.slice" for an ordinary user.
	Slice string
}

// Manager is a systemd that hands out cgroups.
type Manager struct {
	User        bool   // of this user; false: the system's
	Version     string // such as "252.39-1~deb12u2"
	Dir         string // its cgroup's folder
	Controllers []string
}

// Error tells which operation on which unit failed.
type Error struct {
	Op   string // "connect to", "ask", "start", "join"
	Unit string // with its suffix, or whom it was to be asked from
	Err  error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("systemd: %s %s: %v", e.Op, e.Unit, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
