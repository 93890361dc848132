package sdk

import (
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
)

// Options say which project an engine works on. The zero value is the project
// of the current folder.
type Options struct {
	File     string // the root .ctst file; empty: found as Find does
	Dir      string // where to look for it; empty: the current folder
	StateDir string // empty: .containust beside the file
	CacheDir string // empty: $CONTAINUST_CACHE_DIR, else ~/.containust/cache

	// Offline: nothing is asked of the network; imports come from the cache.
	Offline    bool
	HTTPClient *http.Client // fetches imports; nil: see fetch.Options

	// Supervisor is the command that calls Supervise with the state folder, which
	// is appended as the last argument. It begins with the path of a program. Empty: what needs a supervisor
	// that does not run yet is an error.
	Supervisor []string

	LookupEnv func(string) (string, bool) // of ${env.X}; nil: os.LookupEnv
	EnvFile   map[string]string           // of ${env.X} that LookupEnv does not have, see package envfile
	Logger    *slog.Logger                // nil discards
	Notice    func(text string)           // what a person should know that is no error; nil: Logger is told
}

// PlanOptions say how thoroughly to plan.
type PlanOptions struct {
	// Import brings missing sources into the store; what this version cannot do
	// and a source that is not there are then errors, and warnings otherwise.
	// Applying needs it.
	Import bool

	// AllowUnenforcedLimits makes limits that this machine cannot enforce
	// warnings: the components run without them.
	AllowUnenforcedLimits bool

	// Update fetches the imports again, whatever ctst.lock says, and makes it
	// say what they are now.
	Update bool

	// Prepare says that Apply follows at once: where nothing of the project runs,
	// its processes are started while the plan is made. Close lets them go if
	// Apply does not follow after all.
	Prepare bool

	Progress func(Progress) // of imports; nil: none
}

// Progress tells how far the import of a component's image has come.
type Progress struct {
	Component string
	Source    string
	Bytes     int64
	Total     int64 // 0: not known
	Done      bool
}

// Deployment is what a file wants, and what has to change for it.
type Deployment struct {
	Stack    *stack.Stack
	Desired  []plan.Desired // in the stack's order
	Plan     *plan.Plan
	Warnings diag.List
	Refused  bool // warnings say why it could not be applied as it is

	imported bool
	inputs   map[string]string // .ctst file -> digest
	current  *state.State      // what it was compared with
	found    plan.Found
}

// ApplyOptions say how to apply. The zero value works.
type ApplyOptions struct {
	Rerun   []string              // jobs to run again though nothing changed
	Exactly bool                  // or nothing: an error that matches supervise.ErrMoved if the project changed since the plan
	OnEvent func(supervise.Event) // called in order, from one goroutine; nil: none
}

// StopOptions choose what to stop. The zero value stops everything, each
// component with its own signal and timeout.
type StopOptions struct {
	Names   []string              // and what depends on them; empty: all
	Timeout time.Duration         // zero: each component's own; negative: kill at once
	OnEvent func(supervise.Event) // nil: none
}

// RemoveOptions choose what to remove from the project.
type RemoveOptions struct {
	Names   []string // empty: all
	Force   bool     // stop them first
	Volumes bool     // and the project's named volumes, with all that is in them
	OnEvent func(supervise.Event)
}

// ExecOptions describe a process to start inside a running component.
type ExecOptions struct {
	Args    []string
	Env     []string // KEY=value, over the component's own
	WorkDir string   // empty: the component's
	User    string   // empty: the component's

	Stdin, Stdout, Stderr *os.File            // nil: /dev/null
	Terminal              *container.Terminal // instead of the three; nil: none
	Signals               <-chan os.Signal    // passed on to the process; may be nil
}

// LogOptions choose what Logs returns.
type LogOptions struct {
	Names  []string    // empty: all
	Follow bool        // until the context ends or nothing runs any more
	Tail   int         // only so many last lines of each component; zero: all
	After  LogPosition // only what was written after it; nil: all
	Stdout bool        // which streams; neither: both
	Stderr bool

	// Only lines that began at Since or later, and at Until or earlier. Zero: no
	// bound. Following ends when Until has passed.
	Since, Until time.Time
}

// LogPosition is a moment in what a project's components write, see
// [Engine.LogPosition].
type LogPosition map[string]int64

// LogLine is one line that a component wrote.
type LogLine struct {
	Component string
	Stderr    bool
	Time      time.Time // when it began, as exactly as the index has it: to 10 ms
	Text      []byte    // without the newline; valid until the next line

	Open    bool  // it goes on: a longer line comes in pieces, and what ends a stream need not be a line
	More    bool  // another line is at hand
	Skipped int64 // bytes before it that are gone: following was too slow for what was written
}

// Project is where a project lies.
type Project struct {
	state.Project
	Dir      string // of the file
	StateDir string
}

// Component is what List tells about one component.
type Component struct {
	container.Info
	Image     state.Image `json:"image"`
	DependsOn []string    `json:"depends_on,omitempty"`
	Job       bool        `json:"job,omitempty"`
	Usage     *Usage      `json:"usage,omitempty"` // filled in by a Meter

	limits  container.Resources
	network container.NetworkMode
}
