//go:build !linux

package native

import (
	"context"
	"errors"
)

// Check says that native containers need Linux.
func Check(context.Context) []Requirement {
	return []Requirement{{
		Name: "operating system", Required: true, Err: errors.ErrUnsupported,
		Mend: "run ctst on Linux 5.19 or newer",
	}}
}
