package native

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootfs"
)

// defaultPIDs is how many processes and threads a container has that says
// nothing of it, where that can be enforced.
const defaultPIDs = 4096

// controllers are enabled in every container's cgroup, as far as they are there:
// limits may come later, and their counters tell what it uses.
var controllers = []string{"memory", "cpu", "pids", "io"}

// limitsOf names the limits of a configuration, and what enforces each.
func limitsOf(r container.Resources) []struct{ setting, controller string } {
	var list []struct{ setting, controller string }
	for _, l := range []struct {
		setting, controller string
		set                 bool
	}{
		{"memory", "memory", r.Memory != 0},
		{"memory_swap", "memory", r.MemorySwap != 0},
		{"cpu", "cpu", r.CPUs != 0},
		{"cpu_weight", "cpu", r.CPUWeight != 0},
		{"pids", "pids", r.PIDs != 0},
		{"io", "io", r.IO != nil},
	} {
		if l.set {
			list = append(list, struct{ setting, controller string }{l.setting, l.controller})
		}
	}
	return list
}

// Machine is what this machine can do for containers, as far as that differs
// from machine to machine. See [Examine].
type Machine struct {
	controllers []string // that a container's cgroup can have
	none        error    // why there is no cgroup at all
}

// Examine looks at what a project that is started now would have. It changes
// nothing.
func Examine(ctx context.Context) *Machine {
	var m Machine
	m.controllers, m.none = controllersFor(ctx)
	return &m
}

// examine looks at what the project has.
func (b *Backend) examine() *Machine {
	var m Machine
	m.controllers, m.none = b.cgroups.controllers()
	return &m
}

// Lacks returns the settings of a container that this machine cannot carry out.
// stateDir is where its backend will keep its state; it need not exist.
func (m *Machine) Lacks(cfg container.Config, stateDir string) []Lack {
	var lacks []Lack
	for _, l := range limitsOf(cfg.Resources) {
		if !slices.Contains(m.controllers, l.controller) {
			lacks = append(lacks, m.withoutController(l.setting, l.controller))
			continue
		}
		if l.setting != "io" {
			continue
		}
		if _, err := ioLimits(cfg.Resources.IO, stateDir); err != nil {
			lacks = append(lacks, Lack{
				Setting: l.setting, Limit: true, Err: err,
				Mend: "name the device in io, or keep the state on a disk: ctst --state-dir",
			})
		}
	}
	return append(lacks, lackedDevices(cfg.Devices)...)
}

// lackedDevices finds devices that a container cannot have.
func lackedDevices(devices []string) []Lack {
	if len(devices) > 0 && idmap.Confined() {
		return []Lack{{
			Setting: "devices", Err: errors.New("an ordinary user can give a container no devices of the host"),
			Mend: "run it as root, or remove devices from the component",
		}}
	}
	var lacks []Lack
	for _, name := range devices {
		if _, err := rootfs.OpenDevice(name); err != nil {
			lacks = append(lacks, Lack{Setting: "devices", Err: err, Mend: "is it spelt right, and its kernel module loaded?"})
		}
	}
	return lacks
}

// lackedControllers returns the controllers that are missing, as limits.
func (m *Machine) lackedControllers() []Lack {
	var lacks []Lack
	for _, controller := range controllers {
		if !slices.Contains(m.controllers, controller) {
			lacks = append(lacks, m.withoutController(controller, controller))
		}
	}
	return lacks
}

// withoutController says why a limit cannot be enforced.
func (m *Machine) withoutController(setting, controller string) Lack {
	lack := Lack{Setting: setting, Limit: true}
	owned, err := ownedByV1(controller)
	switch {
	case err != nil:
		lack.Err, lack.Mend = err, "see ctst doctor"
	case m.none != nil:
		lack.Err, lack.Mend = m.none, "run ctst as root, or where systemd gives users cgroups of their own"
		if !idmap.Confined() {
			lack.Mend = "see ctst doctor"
		}
	case owned:
		lack.Err = fmt.Errorf("the %s controller is mounted as cgroup v1", controller)
		lack.Mend = "boot with systemd.unified_cgroup_hierarchy=1, or without systemd with cgroup_no_v1=all"
	case idmap.Confined():
		lack.Err = fmt.Errorf("the %s controller is not delegated to the user", controller)
		lack.Mend = "have it delegated (Delegate= of user@.service), or run ctst as root"
	default:
		lack.Err = fmt.Errorf("there is no %s controller", controller)
		lack.Mend = "boot a kernel that has it; some need cgroup_enable=" + controller
	}
	return lack
}

// ownedByV1 tells whether a controller belongs to a version 1 hierarchy
// (/proc/cgroups, see cgroups(7)).
func ownedByV1(controller string) (bool, error) {
	text, err := os.ReadFile("/proc/cgroups")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // the kernel has no version 1
	}
	if err != nil {
		return false, err
	}
	if controller == "io" {
		controller = "blkio"
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == controller {
			return f[1] != "0", nil
		}
	}
	return false, nil
}

// supported finds what this machine cannot carry out and the configuration does
// not let it leave out.
func (b *Backend) supported(cfg container.Config) error {
	lacks := slices.DeleteFunc(b.examine().Lacks(cfg, b.opts.StateDir), func(l Lack) bool { return l.Limit && cfg.Resources.Lenient })
	if len(lacks) == 0 {
		return nil
	}
	return &LackError{Container: cfg.Name, Lacks: lacks}
}

// limits are those of a container's cgroup.
func (b *Backend) limits(r container.Resources) (cgroup.Limits, error) {
	l := cgroup.Limits{
		Memory: r.Memory, Swap: r.MemorySwap, OOMGroup: r.Memory != 0,
		CPUs: r.CPUs, CPUWeight: r.CPUWeight, PIDs: int64(cmp.Or(r.PIDs, defaultPIDs)),
	}
	if r.Memory != 0 && r.MemorySwap == 0 {
		l.Swap = cgroup.NoSwap // or the limit would be as large as the host's swap
	}
	if r.IO == nil {
		return l, nil
	}
	device, err := ioLimits(r.IO, b.opts.StateDir)
	if err != nil && !r.Lenient {
		return l, err
	}
	if err == nil {
		l.IO = []cgroup.IOLimits{device}
	}
	return l, nil
}

// ioLimits are those of the device that the limits are for. Without one it is
// that of the state folder.
func ioLimits(io *container.IO, stateDir string) (cgroup.IOLimits, error) {
	path := io.Device
	if path == "" {
		path = nearest(stateDir)
	}
	major, minor, err := cgroup.DeviceOf(path)
	return cgroup.IOLimits{
		Major: major, Minor: minor, Weight: io.Weight,
		ReadBPS: io.ReadBPS, WriteBPS: io.WriteBPS, ReadIOPS: io.ReadIOPS, WriteIOPS: io.WriteIOPS,
	}, err
}

// nearest is a folder, or the first of those above it that exists.
func nearest(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}

// createCgroup makes a container's cgroup, and returns the limits that do not
// hold. Where there is no place for one it is nil: the container is in the
// caller's, and ends with its first process.
func (b *Backend) createCgroup(ctx context.Context, cfg container.Config) (*cgroup.Cgroup, []string, error) {
	limits, err := b.limits(cfg.Resources)
	if err != nil {
		return nil, nil, err
	}
	if b.cgroups.missing != nil {
		unenforced, err := b.unenforced(cfg, nil)
		return nil, unenforced, err
	}
	spec := cgroup.Spec{Path: b.cgroups.path(cfg.Name), Controllers: controllers, Limits: limits, Lenient: true}
	g, err := cgroup.Create(ctx, spec, b.cgroups.options)
	if errors.Is(err, cgroup.ErrBusy) {
		// Where the program itself is in the hierarchy's root, as inside another
		// engine's container, no controller can be enabled.
		spec.Controllers, spec.Limits = nil, cgroup.Limits{}
		g, err = cgroup.Create(ctx, spec, b.cgroups.options)
	}
	if err != nil {
		return nil, nil, err
	}
	unenforced, err := b.unenforced(cfg, g)
	if err != nil {
		return nil, nil, errors.Join(err, g.Remove(ctx), g.Close())
	}
	return g, unenforced, nil
}

// unenforced are the limits of a configuration that do not hold in a cgroup. It
// is an error if there are some and the configuration is not lenient.
func (b *Backend) unenforced(cfg container.Config, g *cgroup.Cgroup) ([]string, error) {
	var have []string
	if g != nil {
		var err error
		if have, err = g.Controllers(); err != nil {
			return nil, err
		}
	}
	var names []string
	for _, l := range limitsOf(cfg.Resources) {
		missing := !slices.Contains(have, l.controller)
		if l.setting == "io" && !missing {
			_, err := ioLimits(cfg.Resources.IO, b.opts.StateDir)
			missing = err != nil
		}
		if missing {
			names = append(names, l.setting)
		}
	}
	if len(names) > 0 && !cfg.Resources.Lenient {
		return nil, fmt.Errorf("%s: limits cannot be enforced: %s: %w", cfg.Name, strings.Join(names, ", "), cgroup.ErrNoController)
	}
	return names, nil
}

// updateLimits gives a running container the limits of a configuration, and
// returns those that do not hold.
func (b *Backend) updateLimits(cfg container.Config, g *cgroup.Cgroup) ([]string, error) {
	if g == nil {
		return b.unenforced(cfg, nil)
	}
	limits, err := b.limits(cfg.Resources)
	if err != nil {
		return nil, err
	}
	have, err := g.Controllers()
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(limits.Controllers(), func(name string) bool { return slices.Contains(have, name) })
	if err := g.SetLimits(limits.Without(missing...)); err != nil {
		return nil, err
	}
	return b.unenforced(cfg, g)
}

// outOfMemory tells whether a container's end, which is no good one, came for
// want of memory.
func (b *Backend) outOfMemory(name string, g *cgroup.Cgroup, exit container.ExitStatus) bool {
	if g == nil || exit.Code == 0 && !exit.Unknown {
		return false
	}
	kills, err := g.OOMKills()
	if err != nil {
		b.log.Error("look for the reason of an end", "container", name, "error", err)
	}
	return kills > 0
}
