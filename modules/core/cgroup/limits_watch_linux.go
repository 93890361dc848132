package cgroup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// LimitHits counts how often processes of a cgroup, and of those in it, ran into
// its limits.
type LimitHits struct {
	Memory   int64 // the kernel had to take memory back, for want of more
	PIDs     int64 // a process could not be made
	OOMKills int64 // processes that the kernel killed for want of memory
}

// WatchLimits calls fn with the hits since it was last called, whenever there are
// any, until ctx ends or the cgroup is removed. Without the controllers it returns
// at once. The kernel reports each change of memory.events and pids.events as a
// modification (cgroup-v2.rst), so that nothing is done while nothing happens.
func (g *Cgroup) WatchLimits(ctx context.Context, fn func(LimitHits)) (err error) {
	failed := func(err error) error { return &Error{Op: "watch limits", Path: g.path, Err: err} }
	if !anyOf(g.path, "memory.events", "pids.events") {
		return nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return failed(err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	defer func() { err = errors.Join(err, events.Close()) }()
	for name, mask := range map[string]uint32{"memory.events": unix.IN_MODIFY, "pids.events": unix.IN_MODIFY, ".": unix.IN_DELETE_SELF} {
		_, err := unix.InotifyAddWatch(fd, filepath.Join(g.path, name), mask)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return failed(err)
		}
	}
	stop := context.AfterFunc(ctx, func() {
		// Ends the read below. It cannot fail on a descriptor of the poller.
		_ = events.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	var last LimitHits // of a cgroup that was just made
	buffer := make([]byte, 4096)
	for {
		// Watch first, then look: a change in between is not lost.
		now, ok := g.limitHits()
		if !ok {
			return nil // it is removed
		}
		if now != last {
			fn(LimitHits{Memory: now.Memory - last.Memory, PIDs: now.PIDs - last.PIDs, OOMKills: now.OOMKills - last.OOMKills})
			last = now
		}
		if _, err := events.Read(buffer); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return failed(err)
		}
	}
}

func anyOf(dir string, names ...string) bool {
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// limitHits reads the counters. It is false when none can be read any more.
func (g *Cgroup) limitHits() (hits LimitHits, ok bool) {
	if memory, err := readKeyed(g.path, "memory.events"); err == nil {
		hits.Memory, hits.OOMKills, ok = memory["max"], memory["oom_kill"], true
	}
	if pids, err := readKeyed(g.path, "pids.events"); err == nil {
		hits.PIDs, ok = pids["max"], true
	}
	return hits, ok
}
