package state

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// Holder is who holds a lock, or changes a project.
type Holder struct {
	PID     int       `json:"pid"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// String names the holder for a person: "ctst run -d (process 4711, since 12:30:05)".
func (h Holder) String() string {
	if h.Command == "" {
		return "another process"
	}
	return fmt.Sprintf("%s (process %d, since %s)", h.Command, h.PID, h.Since.Local().Format(time.TimeOnly))
}

// LockedError says who holds a lock. It matches [ErrLocked].
type LockedError struct {
	Path   string
	Holder Holder // zero where it has not said so yet
}

// Error implements error.
func (e *LockedError) Error() string { return fmt.Sprintf("%s is held by %s", e.Path, e.Holder) }

// Unwrap returns ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// CommandLine is how a person reads a command's arguments: the program without
// its folder, and not too much of the rest.
func CommandLine(args []string) string {
	if len(args) == 0 {
		return ""
	}
	const most = 80
	text := args[0][strings.LastIndexAny(args[0], `/\`)+1:]
	if len(args) > 1 {
		text += " " + strings.Join(args[1:], " ")
	}
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most-1]) + "…"
	}
	return text
}
