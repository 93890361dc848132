package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// SetLimits makes these the cgroup's limits; those of before that are not among
// them end. A limit whose controller is not enabled in the cgroup is an error
// that matches ErrNoController, before anything is changed. After another error
// some limits may have changed: set the former ones again.
//
// Memory.max below what is used makes the kernel reclaim, and then kill.
func (g *Cgroup) SetLimits(limits Limits) error {
	if err := limits.check(); err != nil {
		return &Error{Op: "set limits", Path: g.path, Err: err}
	}
	enabled, err := g.Controllers()
	if err != nil {
		return err
	}
	for _, name := range limits.Controllers() {
		if !slices.Contains(enabled, name) {
			return &Error{Op: "set limits", Path: g.path, Err: noController(name)}
		}
	}
	settings, err := g.forgotten(limits, enabled)
	if err != nil {
		return &Error{Op: "set limits", Path: g.path, Err: err}
	}
	for _, s := range append(settings, limits.settings()...) {
		if !slices.Contains(enabled, s.controller) {
			continue
		}
		// What this kernel cannot limit has no limit to end.
		if err := g.set(s); err != nil && (s.asked || !errors.Is(err, fs.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// limitNew sets the limits of a cgroup that has none yet.
func (g *Cgroup) limitNew(limits Limits) error {
	for _, s := range limits.settings() {
		if !s.asked {
			continue
		}
		if err := g.set(s); err != nil {
			return err
		}
	}
	return nil
}

func (g *Cgroup) set(s setting) error {
	err := write(g.path, s.file, s.value+"\n")
	if s.file == "memory.swap.max" && s.value == "0" && errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel that cannot swap
	}
	if err != nil {
		return &Error{Op: "write " + strconv.Quote(s.value) + " to " + s.file, Path: g.path, Err: err}
	}
	return nil
}

// noController says how to get a controller.
func noController(name string) error {
	return fmt.Errorf("%w: %s; where version 1 owns it, boot with cgroup_no_v1=all; in a delegated cgroup, have it delegated", ErrNoController, name)
}

// forgotten returns what ends the limits of devices that are not among the new
// ones.
func (g *Cgroup) forgotten(limits Limits, enabled []string) ([]setting, error) {
	if !slices.Contains(enabled, "io") {
		return nil, nil
	}
	bounds, weights := map[string]bool{}, map[string]bool{}
	for _, device := range limits.IO {
		bounds[device.number()] = true
		weights[device.number()] = device.Weight != 0
	}
	var settings []setting
	for file, reset := range map[string]struct {
		keep  map[string]bool
		value string
	}{
		"io.max":    {bounds, IOLimits{}.bounds()},
		"io.weight": {weights, "default"},
	} {
		text, err := os.ReadFile(filepath.Join(g.path, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, cause(err)
		}
		for line := range strings.Lines(string(text)) {
			number, _, _ := strings.Cut(line, " ")
			if number != "default" && !reset.keep[number] {
				settings = append(settings, setting{"io", file, number + " " + reset.value, true})
			}
		}
	}
	return settings, nil
}

// DeviceOf returns the number of the block device that holds a file, or that it
// is itself (/dev/sda), as IOLimits wants it: of the whole disk, where that is a
// partition. A file system without a device of its own (tmpfs, overlay, network)
// is an error that matches fs.ErrNotExist.
func DeviceOf(path string) (major, minor uint32, err error) {
	failed := func(err error) (uint32, uint32, error) {
		return 0, 0, &Error{Op: "find the device of", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return failed(err)
	}
	device := st.Dev
	if st.Mode&unix.S_IFMT == unix.S_IFBLK {
		device = st.Rdev
	}
	// A link to the folder that describes the device; that of a partition lies
	// in its disk's.
	link := fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(device), unix.Minor(device))
	folder, err := filepath.EvalSymlinks(link)
	if err != nil {
		return failed(fmt.Errorf("its file system is on no block device: %w", cause(err)))
	}
	if _, err := os.Stat(filepath.Join(folder, "partition")); err == nil {
		folder = filepath.Dir(folder)
	}
	text, err := os.ReadFile(filepath.Join(folder, "dev"))
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d:%d", &major, &minor)
	}
	if err != nil {
		return failed(err)
	}
	return major, minor, nil
}
