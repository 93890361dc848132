package scope

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/cgroup"
)

// Booted tells whether systemd runs this machine (sd_booted(3)).
func Booted() bool {
	var st unix.Stat_t
	return unix.Lstat("/run/systemd/system", &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
}

// Ask asks the manager that Enter would ask who it is. It changes nothing. None
// is an error that matches ErrNoManager.
func Ask(ctx context.Context) (Manager, error) {
	p, err := callersPeer()
	if err != nil {
		return Manager{}, err
	}
	return p.describe(ctx)
}

func (p peer) describe(ctx context.Context) (Manager, error) {
	failed := func(err error) (Manager, error) { return Manager{}, &Error{Op: "ask", Unit: p.name(), Err: err} }
	c, err := p.connect(ctx)
	if err != nil {
		return Manager{}, err
	}
	defer c.close()
	m := Manager{User: p.user}
	var group string
	for property, value := range map[string]*string{"Version": &m.Version, "ControlGroup": &group} {
		if err := c.property(ctx, managerPath, managerInterface, property, value); err != nil {
			return failed(err)
		}
	}
	h, err := cgroup.Find()
	if err != nil {
		return failed(err)
	}
	m.Dir = filepath.Join(h.Mount, group)
	text, err := os.ReadFile(filepath.Join(m.Dir, "cgroup.controllers"))
	if err != nil {
		return failed(err)
	}
	m.Controllers = strings.Fields(string(text))
	return m, nil
}

// Enter moves processes into the scope, which is started if it does not exist,
// and there into a leaf; see cgroup.Settle. It returns the scope's folder, which
// is the caller's to make cgroups in. Without a manager to ask the error matches
// ErrNoManager, without a cgroup v2 hierarchy cgroup.ErrNoHierarchy.
func Enter(ctx context.Context, spec Spec) (dir string, err error) {
	p, err := callersPeer()
	if err != nil {
		return "", err
	}
	return p.enter(ctx, spec)
}

// retryTime is between two attempts while a scope of the same name ends.
const retryTime = 10 * time.Millisecond

func (p peer) enter(ctx context.Context, spec Spec) (string, error) {
	unit := spec.Name + ".scope"
	failed := func(op string, err error) (string, error) { return "", &Error{Op: op, Unit: unit, Err: err} }
	if err := checkName(unit); err != nil {
		return failed("start", err)
	}
	h, err := cgroup.Find()
	if err != nil {
		return failed("start", err)
	}
	c, err := p.connect(ctx)
	if err != nil {
		return "", err
	}
	defer c.close()
	// Another of the same name is of an earlier process, where others live still,
	// or one that ends just now: how a wait for it ends is told as that, in
	// whichever call the time is up.
	another := false
	for {
		err := c.start(ctx, unit, p.properties(spec))
		if err == nil {
			return settle(spec.PIDs, unit)
		}
		op := "start"
		if isError(err, "UnitExists") {
			if err = c.join(ctx, unit, h.Mount, spec.PIDs); err == nil {
				return folder(spec.PIDs, unit)
			}
			op, another = "join", another || errors.Is(err, errEnding)
		}
		switch {
		case another && ctx.Err() != nil:
			return failed("join", fmt.Errorf("it does not end, and takes no process: %w", ctx.Err()))
		case !errors.Is(err, errEnding):
			return failed(op, err)
		}
		select {
		case <-time.After(retryTime):
		case <-ctx.Done(): // and the next call ends at once
		}
	}
}

// checkName holds a unit's name against systemd.unit(5), because systemd's own
// answer says only that it is invalid.
func checkName(unit string) error {
	for _, c := range strings.TrimSuffix(unit, ".scope") {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune(":-_.", c) {
			return fmt.Errorf("%q cannot be in the name of a unit: %w", c, fs.ErrInvalid)
		}
	}
	if len(unit) > 255 || unit == ".scope" {
		return fmt.Errorf("the name of a unit has 1 to 255 characters: %w", fs.ErrInvalid)
	}
	return nil
}

// settle moves the processes of a new scope into its leaf.
func settle(pids []int, unit string) (dir string, err error) {
	for _, pid := range pids {
		dir, err = cgroup.Of(pid)
		if err == nil && filepath.Base(dir) != unit {
			err = fmt.Errorf("the process %d is in %s: %w", pid, dir, fs.ErrNotExist)
		}
		if err == nil {
			err = cgroup.Settle(dir, pid)
		}
		if err != nil {
			return "", &Error{Op: "start", Unit: unit, Err: err}
		}
	}
	return dir, nil
}

// folder returns the scope's folder of processes that were moved into its leaf.
func folder(pids []int, unit string) (dir string, err error) {
	for _, pid := range pids {
		dir, err = cgroup.Of(pid)
		if err == nil && (filepath.Base(dir) != cgroup.Leaf || filepath.Base(filepath.Dir(dir)) != unit) {
			err = fmt.Errorf("the process %d is in %s: %w", pid, dir, fs.ErrNotExist)
		}
		if err != nil {
			return "", &Error{Op: "join", Unit: unit, Err: err}
		}
	}
	return filepath.Dir(dir), nil
}

// ids are process ids as D-Bus carries them.
func ids(pids []int) []uint32 {
	out := make([]uint32, len(pids))
	for i, pid := range pids {
		out[i] = uint32(pid)
	}
	return out
}

// property is one of a transient unit, as D-Bus carries it.
type property struct {
	Name  string
	Value dbus.Variant
}

func (p peer) properties(spec Spec) []property {
	slice, description := spec.Slice, spec.Description
	if slice == "" {
		slice = "machine.slice"
		if p.user {
			slice = "user.slice"
		}
	}
	if description == "" {
		description = spec.Name
	}
	return []property{
		{"Description", dbus.MakeVariant(description)},
		{"Slice", dbus.MakeVariant(slice)},
		{"Delegate", dbus.MakeVariant(true)},
		{"PIDs", dbus.MakeVariant(ids(spec.PIDs))},
		// One that failed is not kept for somebody to look at: nobody would.
		{"CollectMode", dbus.MakeVariant("inactive-or-failed")},
	}
}
