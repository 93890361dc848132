// Package supervise keeps a project's containers as its file wants them, for
// exactly as long as it has any.
//
// A running project has two processes of its own. The supervisor ([Serve])
// starts, watches, restarts and stops containers, is the only writer of the
// project's state, and answers commands on a unix socket in the state folder.
// The guardian, a program of some hundred bytes that is made in memory, starts the
// supervisor, starts it again when it dies, and reaps what a dead supervisor left.
// [Client] reaches a project's supervisor and brings both up when there is none.
//
// Either may be killed at any moment: containers go on. What runs is found again
// by the next supervisor from what the backend has recorded.
//
// The types are portable; a supervisor runs on Linux.
package supervise

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/event"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
)

// Event is something that happened to a component, see package event.
type Event = event.Event

// The types of events, see package event.
const (
	EventConfigured = event.Configured
	EventCreated    = event.Created
	EventStarting   = event.Starting
	EventRunning    = event.Running
	EventHealthy    = event.Healthy
	EventUnhealthy  = event.Unhealthy
	EventReady      = event.Ready
	EventDone       = event.Done
	EventExited     = event.Exited
	EventRestart    = event.Restart
	EventFailed     = event.Failed
	EventSkipped    = event.Skipped
	EventStopping   = event.Stopping
	EventStopped    = event.Stopped
	EventRemoved    = event.Removed
	EventUpdated    = event.Updated
	EventPaused     = event.Paused
	EventResumed    = event.Resumed
	EventSignal     = event.Signal
	EventOOM        = event.OOM
	EventLimit      = event.Limit
	EventAdopted    = event.Adopted
	EventRecovered  = event.Recovered
	EventKept       = event.Kept
	EventWaiting    = event.Waiting
)

// ApplyRequest is everything a supervisor needs to bring the project to what
// its file wants.
type ApplyRequest struct {
	Project state.Project  `json:"project"`
	Desired []plan.Desired `json:"desired"`
	Rerun   []string       `json:"rerun,omitempty"` // jobs to run again though nothing changed
	Found   plan.Found     `json:"found,omitempty"` // what components lack of what they were started with
	// Expect, if not empty, is the plan.Fingerprint of what may be done; if
	// something else would be, nothing is, and the error matches [ErrMoved].
	Expect string `json:"expect,omitempty"`
}

// StopRequest asks to stop components and what depends on them.
type StopRequest struct {
	Names   []string      `json:"names,omitempty"`   // empty: all
	Timeout time.Duration `json:"timeout,omitempty"` // zero: each component's own; negative: kill at once
}

// RemoveRequest asks to remove stopped components from the project.
type RemoveRequest struct {
	Names []string `json:"names,omitempty"` // empty: all
	Force bool     `json:"force,omitempty"` // stop them first
}

// ExecRequest asks for a process inside a running component. Its standard
// streams travel beside it as file descriptors, or its terminal beside an answer.
type ExecRequest struct {
	Name    string   `json:"name"`
	Args    []string `json:"args"`
	Env     []string `json:"env,omitempty"`
	WorkDir string   `json:"workdir,omitempty"`
	User    string   `json:"user,omitempty"`

	Terminal *TerminalSize `json:"terminal,omitempty"` // nil: the standard streams
}

// TerminalSize is how large a terminal is at first.
type TerminalSize struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// ExecIO is how the caller has to do with the process of an ExecRequest.
type ExecIO struct {
	Stdio  [3]*os.File                   // borrowed; without a terminal
	Opened func(container.Session) error // gets the terminal, which is then its own

	Signals <-chan os.Signal // passed on to the process; may be nil
}

// WaitRequest asks to be told when components have ended for good.
type WaitRequest struct {
	Names []string `json:"names,omitempty"` // empty: all
}

// Errors that callers tell apart; they keep their identity over the socket.
var (
	// ErrNotRunning says that the component does not run.
	ErrNotRunning = errors.New("not running")
	// ErrComponent says that components failed; events said which, and why.
	ErrComponent = errors.New("a component failed")
	// ErrMoved says that the project is no longer as it was when it was planned
	// what to do with it; nothing was done.
	ErrMoved = errors.New("the project changed since it was planned what to do; nothing was done")
	// ErrLost says that the supervisor ended before it had answered.
	ErrLost = errors.New("the connection to the project's supervisor was lost")
)

// kinds gives each error that crosses the socket its name there.
var kinds = map[string]error{
	"not-running":       ErrNotRunning,
	"component":         ErrComponent,
	"moved":             ErrMoved,
	"command-not-found": container.ErrCommandNotFound,
	"not-executable":    container.ErrNotExecutable,
	"not-exist":         fs.ErrNotExist,
	"unsupported":       errors.ErrUnsupported,
}

// remoteError is an error as it came over the socket.
type remoteError struct {
	Message string   `json:"message"`
	Kinds   []string `json:"kinds,omitempty"`
}

func newRemoteError(err error) *remoteError {
	r := &remoteError{Message: err.Error()}
	for kind, target := range kinds {
		if errors.Is(err, target) {
			r.Kinds = append(r.Kinds, kind)
		}
	}
	return r
}

// Error returns the message as the supervisor had it.
func (e *remoteError) Error() string { return e.Message }

// Unwrap returns the sentinels that the error matched over there.
func (e *remoteError) Unwrap() []error {
	var matched []error
	for _, kind := range e.Kinds {
		if target := kinds[kind]; target != nil {
			matched = append(matched, target)
		}
	}
	return matched
}
