//go:build !linux

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
)

// Launch needs Linux.
func Launch(context.Context, Spec, Options) (*Process, error) {
	return nil, unsupported("launch")
}

// Prepare needs Linux.
func Prepare(context.Context, idmap.IDs, PrepareOptions) (*Namespaces, error) {
	return nil, unsupported("prepare namespaces")
}

// Enter needs Linux.
func Enter(context.Context, *os.File, []string, []string) (*Process, error) {
	return nil, unsupported("enter a user namespace")
}

// Exec needs Linux.
func Exec(context.Context, *Process, ExecSpec, Options) (*Process, error) {
	return nil, unsupported("exec")
}

// Resize needs Linux.
func Resize(*os.File, Terminal) error { return unsupported("resize a terminal") }

// Open needs Linux.
func Open(int, uint64) (*Process, error) { return nil, unsupported("open a process") }

// Process is a handle of a launched process; there are none on this platform.
type Process struct{}

// PID needs Linux.
func (p *Process) PID() int { return 0 }

// StartTime needs Linux.
func (p *Process) StartTime() (uint64, error) { return 0, unsupported("read a start time") }

// PIDFD needs Linux.
func (p *Process) PIDFD() *os.File { return nil }

// Terminal needs Linux.
func (p *Process) Terminal() *os.File { return nil }

// Wait needs Linux.
func (p *Process) Wait(context.Context) (container.ExitStatus, error) {
	return container.ExitStatus{}, unsupported("wait")
}

// Signal needs Linux.
func (p *Process) Signal(syscall.Signal) error { return unsupported("signal") }

// Close needs Linux.
func (p *Process) Close() error { return unsupported("close") }

// ParseRlimit needs Linux: other systems have other limits.
func ParseRlimit(string) (int, error) { return 0, unsupported("parse a resource limit") }

func unsupported(operation string) error {
	return fmt.Errorf("sandbox: %s: %w: it needs Linux", operation, errors.ErrUnsupported)
}
