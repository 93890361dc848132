package supervise

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/containust/containust/modules/core/container"
)

// UnknownError names a component that the project does not have.
type UnknownError struct{ Name string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the project has no component %q", e.Name)
}

// Unwrap returns fs.ErrNotExist.
func (e *UnknownError) Unwrap() error { return fs.ErrNotExist }

// PausedError names a component that is paused.
type PausedError struct{ Name string }

func (e *PausedError) Error() string {
	return fmt.Sprintf("%s is paused: ctst unpause %[1]s lets it go on", e.Name)
}

// NotRunningError names a component that does not run, and how it is instead.
type NotRunningError struct {
	Name   string
	Status container.Status
	Reason string
}

func (e *NotRunningError) Error() string {
	text := fmt.Sprintf("%s is not running: %s", e.Name, e.Status)
	if e.Reason != "" && !strings.Contains(e.Reason, string(e.Status)) {
		text += " (" + e.Reason + ")"
	}
	return text
}

// Unwrap returns [ErrNotRunning].
func (e *NotRunningError) Unwrap() error { return ErrNotRunning }
