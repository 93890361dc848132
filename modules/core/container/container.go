// Package container describes a container as data and the interface of what
// can run it. It is portable: nothing here touches the operating system.
//
// A [Config] says everything that a backend needs to know; it holds no open
// resources and can be stored, compared and sent. A [Backend] turns it into
// isolated processes: sdk/native does so on Linux, the virtual machine backend
// inside a guest.
package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

// Errors that backends match when a container's program, or that of an Exec,
// cannot be run: a shell's 127 and 126.
var (
	ErrCommandNotFound = errors.New("command not found")
	ErrNotExecutable   = errors.New("command cannot be executed")
)

// ID names a container within its backend: the component's name.
type ID string

// Config is all that a backend needs to create a container. Its JSON form is
// stable: its digest decides whether a container must be replaced.
type Config struct {
	Name     string   `json:"name"`
	Hostname string   `json:"hostname,omitempty"` // empty: Name
	Layers   []Layer  `json:"layers"`             // lowest first
	Args     []string `json:"args"`               // argv; Args[0] is looked up in PATH inside the root
	Env      []string `json:"env,omitempty"`      // KEY=value, each key once
	WorkDir  string   `json:"workdir,omitempty"`  // absolute, inside the root; empty: "/"
	User     string   `json:"user,omitempty"`     // name, uid or uid:gid, looked up in the image's own passwd

	ReadOnly bool    `json:"readonly"` // the root file system
	Mounts   []Mount `json:"mounts,omitempty"`
	Files    []File  `json:"files,omitempty"`

	Capabilities []string          `json:"capabilities,omitempty"` // added to an empty set: "CAP_NET_RAW" or "NET_RAW"
	Seccomp      string            `json:"seccomp,omitempty"`      // "default" or empty, "unconfined", or a profile's path
	Devices      []string          `json:"devices,omitempty"`
	Resources    Resources         `json:"resources,omitzero"`
	Network      Network           `json:"network"`
	Health       *Health           `json:"health,omitempty"`
	Restart      Restart           `json:"restart,omitzero"`
	Job          bool              `json:"job,omitempty"`
	StopSignal   string            `json:"stop_signal,omitempty"`  // empty: SIGTERM
	StopTimeout  time.Duration     `json:"stop_timeout,omitempty"` // zero: 10 s
	Init         bool              `json:"init,omitempty"`         // a small first process that reaps orphans and passes signals on
	Labels       map[string]string `json:"labels,omitempty"`

	// SeccompProfile is the text of the profile that Seccomp is the path of, so
	// that a changed file is a changed container. Empty: the backend reads the
	// file when it creates the container.
	SeccompProfile string `json:"seccomp_profile,omitempty"`
}

// Layer is one unpacked, immutable file system layer in a store.
type Layer struct {
	Digest string `json:"digest"`         // "sha256:" and 64 hex digits: the diff ID
	Path   string `json:"path,omitempty"` // the folder that holds it on this machine
}

// MountKind tells where a mount's content comes from.
type MountKind string

// The kinds of mounts that a configuration can ask for.
const (
	MountBind   MountKind = "bind"   // Source is an absolute host path
	MountVolume MountKind = "volume" // Source is the name of a volume that the project keeps
	MountTmpfs  MountKind = "tmpfs"  // Size in bytes, zero: the kernel's default
)

// Mount is something mounted over the root file system.
type Mount struct {
	Kind     MountKind `json:"kind"`
	Source   string    `json:"source,omitempty"`
	Target   string    `json:"target"` // absolute, inside the root
	ReadOnly bool      `json:"readonly,omitempty"`
	Size     int64     `json:"size,omitempty"`
}

// File is a file with content given by the configuration, and belongs to User.
type File struct {
	Path    string `json:"path"` // absolute, inside the root
	Content []byte `json:"content"`
	Mode    uint32 `json:"mode"` // permission bits
}

// Resources are limits. Zero values mean "no limit".
type Resources struct {
	Memory     int64    `json:"memory,omitempty"`      // bytes
	MemorySwap int64    `json:"memory_swap,omitempty"` // bytes of swap beside Memory; none with Memory alone
	CPUs       float64  `json:"cpus,omitempty"`        // hard limit, in processors
	CPUWeight  int      `json:"cpu_weight,omitempty"`  // 1–10000
	PIDs       int      `json:"pids,omitempty"`        // zero: 4096, where it can be enforced
	IO         *IO      `json:"io,omitempty"`
	Rlimits    []Rlimit `json:"rlimits,omitempty"`

	// Lenient lets the container run without those of the limits that this
	// machine cannot enforce; Info.Unenforced tells which. Rlimits always hold.
	Lenient bool `json:"lenient,omitempty"`
}

// IO limits block devices.
type IO struct {
	Device    string `json:"device,omitempty"` // empty: the one that holds the project's state
	Weight    int    `json:"weight,omitempty"`
	ReadBPS   int64  `json:"read_bps,omitempty"` // bytes per second
	WriteBPS  int64  `json:"write_bps,omitempty"`
	ReadIOPS  int64  `json:"read_iops,omitempty"`
	WriteIOPS int64  `json:"write_iops,omitempty"`
}

// Rlimit is a resource limit of setrlimit(2); -1 is unlimited.
type Rlimit struct {
	Name string `json:"name"` // "nofile", as ulimit names it
	Soft int64  `json:"soft"`
	Hard int64  `json:"hard"`
}

// NetworkMode tells which network a container sees.
type NetworkMode string

// The network modes.
const (
	NetworkProject NetworkMode = "project" // its own namespace, linked along CONNECT
	NetworkNone    NetworkMode = "none"    // its own namespace with nothing but loopback
	NetworkHost    NetworkMode = "host"    // the host's namespace
)

// Network says what a container is called, what it reaches and where it is
// reached.
type Network struct {
	Mode    NetworkMode `json:"mode"`
	Offline bool        `json:"offline,omitempty"` // reaches its links, never the outside
	Links   []string    `json:"links,omitempty"`   // names of the containers it may reach
	Expose  []Exposure  `json:"expose,omitempty"`
}

// Exposure is a host port that leads to a container's port.
type Exposure struct {
	Address       string `json:"address"` // host address to listen on
	HostPort      uint16 `json:"host_port"`
	ContainerPort uint16 `json:"container_port"`
	Protocol      string `json:"protocol"` // "tcp" or "udp"
}

// Health says how to find out whether a running container does its work.
// Exactly one of Command, HTTP and TCP is set.
type Health struct {
	Command     []string      `json:"command,omitempty"` // run inside; healthy when it exits 0
	HTTP        string        `json:"http,omitempty"`    // ":8080/path"; healthy on a status below 400
	TCP         uint16        `json:"tcp,omitempty"`     // healthy when a connection is accepted
	Interval    time.Duration `json:"interval"`
	Timeout     time.Duration `json:"timeout"`
	Retries     int           `json:"retries"`
	StartPeriod time.Duration `json:"start_period,omitempty"`
}

// Restart says what happens when a container's process ends by itself.
type Restart struct {
	Policy RestartPolicy `json:"policy,omitempty"` // empty: never
	Max    int           `json:"max,omitempty"`    // of on-failure; zero: no bound

	Unhealthy bool `json:"unhealthy,omitempty"` // what is unhealthy has failed, and is restarted as the policy says
}

// RestartPolicy names when to restart.
type RestartPolicy string

// The restart policies.
const (
	RestartNever         RestartPolicy = "never"
	RestartOnFailure     RestartPolicy = "on-failure"
	RestartAlways        RestartPolicy = "always"
	RestartUnlessStopped RestartPolicy = "unless-stopped"
)

// Status is where a container is in its life.
type Status string

// The states of a container. See docs/architecture for the transitions.
const (
	StatusCreated   Status = "created"
	StatusStarting  Status = "starting"
	StatusRunning   Status = "running"
	StatusStopping  Status = "stopping"
	StatusExited    Status = "exited"
	StatusCompleted Status = "completed"
	StatusFailed    Status = "failed"
)

// HealthStatus is what the health check last found.
type HealthStatus string

// The health states; empty where there is no health check.
const (
	HealthStarting  HealthStatus = "starting"
	HealthHealthy   HealthStatus = "healthy"
	HealthUnhealthy HealthStatus = "unhealthy"
)

// Info is what is known about a container now.
type Info struct {
	ID       ID           `json:"id"`
	Status   Status       `json:"status"`
	Health   HealthStatus `json:"health,omitempty"`
	PID      int          `json:"pid,omitempty"`     // on the host, while running
	Exit     *ExitStatus  `json:"exit,omitempty"`    // of the last run
	Reason   string       `json:"reason,omitempty"`  // why it failed
	Restarts int          `json:"restarts"`          // since it was created
	Started  time.Time    `json:"started,omitzero"`  // of the current or last run
	Finished time.Time    `json:"finished,omitzero"` // of the last run
	Address  string       `json:"address,omitempty"` // in the project's network
	Expose   []Exposure   `json:"expose,omitempty"`

	// Paused: its processes are frozen.
	Paused bool `json:"paused,omitempty"`
	// StartTime of the process PID, in clock ticks since boot: tells whether that
	// is another one now.
	StartTime uint64 `json:"start_time,omitempty"`

	// NoCgroup: while it runs it shares the cgroup of who started it.
	NoCgroup bool `json:"no_cgroup,omitempty"`

	// Unenforced are the limits that its configuration has and that do not hold,
	// as the language names them: "memory".
	Unenforced []string `json:"unenforced,omitempty"`
}

// LimitHits counts how often a container ran into its limits.
type LimitHits struct {
	Memory   int64 // memory had to be taken back, for want of more
	PIDs     int64 // a process could not be made
	OOMKills int64 // processes that the kernel killed for want of memory
}

// ExitStatus is how a process ended.
type ExitStatus struct {
	Code    int  `json:"code"`              // exit code; 128+Signal when killed
	Signal  int  `json:"signal,omitempty"`  // the signal that ended it, or 0
	Unknown bool `json:"unknown,omitempty"` // it ended while nobody could see how

	// OutOfMemory: the kernel killed it, or a process of its container, for want
	// of memory.
	OutOfMemory bool `json:"out_of_memory,omitempty"`
}

// String says how the process ended, as a person would: "exited with code 3".
func (e ExitStatus) String() string {
	text := fmt.Sprintf("exited with code %d", e.Code)
	switch {
	case e.Unknown:
		text = "ended, how is not known"
	case e.Signal != 0:
		text = fmt.Sprintf("ended by signal %d", e.Signal)
	}
	if e.OutOfMemory {
		text += ", out of memory"
	}
	return text
}

// StopOptions say how to stop a container; zero values take its Config's.
type StopOptions struct {
	Timeout time.Duration // until it is killed; negative: kill at once
}

// RemoveOptions say what goes with a container.
type RemoveOptions struct {
	Force bool // stop it first
}

// ExecOptions describe a process to start inside a running container.
type ExecOptions struct {
	Args    []string
	Env     []string // KEY=value, over the container's own
	WorkDir string   // empty: the container's
	User    string   // empty: the container's

	// The process's standard streams; nil is /dev/null. The caller keeps and
	// closes them.
	Stdin, Stdout, Stderr *os.File

	// Terminal gives the process a terminal instead of the streams, which must
	// be nil.
	Terminal *Terminal

	// Signals are passed on to the process; may be nil.
	Signals <-chan syscall.Signal
}

// Terminal is a terminal of the container's that a process gets as its standard
// streams and its controlling terminal.
type Terminal struct {
	Rows, Cols uint16 // at first, in characters; zero: not known

	// Opened is called once the process runs; it must not be nil. An error of
	// it ends the process, and is returned.
	Opened func(Session) error
}

// Session is a process on a terminal, as who uses it sees it.
type Session struct {
	// Master is the user's end of the terminal, see pty(7): what is written is
	// typed, and what is read was printed. When nobody has the terminal open any
	// more, reading fails with EIO. The receiver closes it; the process then
	// gets a SIGHUP.
	Master *os.File

	// PID and StartTime name the process on this machine, as sandbox.Open takes
	// them.
	PID       int
	StartTime uint64
}

// ExecResult is how a process started by Exec ended.
type ExecResult struct {
	Exit ExitStatus
}

// Root is the root file system of a running container.
type Root struct {
	Dir      *os.File // opened with O_PATH; the receiver closes it
	UID, GID uint32   // of the container's user, as this machine numbers them
}

// LogOptions choose what Logs returns.
type LogOptions struct {
	Follow bool // go on until the context ends
	Tail   int  // only the last lines; zero: all
	Stderr bool // the standard error stream instead of the standard output

	// Only lines that began at Since or later, and at Until or earlier. Zero: no
	// bound.
	Since, Until time.Time
}

// Backend runs containers. Methods are safe for concurrent use.
type Backend interface {
	// Create prepares a container that does not run yet. An ID that exists is
	// an error that matches fs.ErrExist.
	Create(ctx context.Context, cfg Config) (ID, error)
	// Start starts a created or exited container and returns its first
	// process's id on the host.
	Start(ctx context.Context, id ID) (pid int, err error)
	// Wait returns how the container's first process ended. It returns at once
	// for a container that does not run.
	Wait(ctx context.Context, id ID) (ExitStatus, error)
	// Update changes what a container can change without a restart: its links,
	// exposures, limits (but rlimits), health check, restart policy and stop
	// behaviour. The rest of cfg must be as it was created. After an error the
	// container is as it was.
	Update(ctx context.Context, cfg Config) error
	// Stop sends the stop signal, waits, and then kills all of the container's
	// processes. Stopping what does not run is not an error.
	Stop(ctx context.Context, id ID, opts StopOptions) error
	// Signal sends a signal, as StopSignal names one, to the first process of a
	// running container. One that the process would not notice is an error.
	Signal(ctx context.Context, id ID, signal string) error
	// Pause freezes all processes of a running container, and Resume lets them go
	// on. Where that is not possible the error matches errors.ErrUnsupported.
	Pause(ctx context.Context, id ID) error
	Resume(ctx context.Context, id ID) error
	// OpenRoot opens the root file system of a running container, as its processes
	// see it.
	OpenRoot(ctx context.Context, id ID) (Root, error)
	// Exec runs a process inside a running container and waits for its end.
	Exec(ctx context.Context, id ID, opts ExecOptions) (ExecResult, error)
	// Probe makes one health check of a running container; nil is healthy.
	Probe(ctx context.Context, id ID, check Health) error
	// Remove deletes a container that does not run, and all that belongs to it
	// but named volumes.
	Remove(ctx context.Context, id ID, opts RemoveOptions) error
	// Logs returns what the container wrote. The caller closes it.
	Logs(ctx context.Context, id ID, opts LogOptions) (io.ReadCloser, error)
	// Inspect returns what is known about one container. Health and Restarts are
	// the business of who supervises it, and stay zero.
	Inspect(ctx context.Context, id ID) (Info, error)
	// List returns all containers as Inspect does, by name.
	List(ctx context.Context) ([]Info, error)
	// Available is nil where this backend can work, or says why not.
	Available(ctx context.Context) error
}
