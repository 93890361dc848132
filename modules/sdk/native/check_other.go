//go:build !linux

package native

import (
	"context"
	"errors"

	"github.com/containust/containust/modules/core/container"
)

// Check says that native containers need Linux.
func Check(context.Context) []Requirement {
	return []Requirement{{
		Name: "operating system", Required: true, Err: errors.ErrUnsupported,
		Mend: "run ctst on Linux 5.19 or newer",
	}}
}

// Machine is what this machine can do for containers.
type Machine struct{}

// Examine looks at the machine.
func Examine(context.Context) *Machine { return &Machine{} }

// Lacks returns nothing: here no setting of a native container can be carried
// out, as Check says.
func (m *Machine) Lacks(container.Config, string) []Lack { return nil }
