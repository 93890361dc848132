//go:build !linux

package cgroup

import (
	"context"
	"errors"
)

// Find finds the v2 hierarchy. It needs Linux.
func Find() (*Hierarchy, error) { return nil, unsupported("find") }

// Create makes a cgroup. It needs Linux.
func Create(ctx context.Context, spec Spec, opts Options) (*Cgroup, error) {
	return nil, unsupported("create")
}

// Open opens a cgroup. It needs Linux.
func Open(spec Spec, opts Options) (*Cgroup, error) { return nil, unsupported("open") }

// Remove removes the cgroup. It needs Linux.
func (g *Cgroup) Remove(ctx context.Context) error { return unsupported("remove") }

// Kill kills all processes. It needs Linux.
func (g *Cgroup) Kill() error { return unsupported("kill") }

// Freeze stops all processes. It needs Linux.
func (g *Cgroup) Freeze(ctx context.Context) error { return unsupported("freeze") }

// Thaw lets all processes go on. It needs Linux.
func (g *Cgroup) Thaw(ctx context.Context) error { return unsupported("thaw") }

// Procs lists the processes. It needs Linux.
func (g *Cgroup) Procs() ([]int, error) { return nil, unsupported("procs") }

// Populated tells whether there are processes. It needs Linux.
func (g *Cgroup) Populated() (bool, error) { return false, unsupported("populated") }

// WaitEmpty waits until there are no processes. It needs Linux.
func (g *Cgroup) WaitEmpty(ctx context.Context) error { return unsupported("wait") }

// Stats reads the counters. It needs Linux.
func (g *Cgroup) Stats() (Stats, error) { return Stats{}, unsupported("stats") }

// OOMKills tells how many processes were killed. It needs Linux.
func (g *Cgroup) OOMKills() (int64, error) { return 0, unsupported("read memory.events") }

// Controllers returns those that are enabled. It needs Linux.
func (g *Cgroup) Controllers() ([]string, error) { return nil, unsupported("read cgroup.controllers") }

// Controllers returns those of a folder. It needs Linux.
func Controllers(dir string) ([]string, error) { return nil, unsupported("read cgroup.controllers") }

// SetLimits sets limits. It needs Linux.
func (g *Cgroup) SetLimits(limits Limits) error { return unsupported("set limits") }

// DeviceOf finds a file's block device. It needs Linux.
func DeviceOf(path string) (major, minor uint32, err error) {
	return 0, 0, unsupported("find the device of")
}

// Of finds a process's cgroup. It needs Linux.
func Of(pid int) (string, error) { return "", unsupported("find") }

// Of finds a process's cgroup. It needs Linux.
func (h *Hierarchy) Of(pid int) (string, error) { return "", unsupported("find") }

// Delegated looks whether the caller may make cgroups. It needs Linux.
func Delegated(dir string) error { return unsupported("look at") }

// Settle moves a process. It needs Linux.
func Settle(dir string, pid int) error { return unsupported("settle in") }

// Settled tells where Settle moved the calling process. It needs Linux.
func Settled() (dir string, ok bool) { return "", false }

// Leave undoes Settle. It needs Linux.
func Leave(dir, to string, pid int) error { return unsupported("leave") }

func unsupported(op string) error { return &Error{Op: op, Err: errors.ErrUnsupported} }
