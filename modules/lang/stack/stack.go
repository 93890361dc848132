// Package stack is the resolved form of a .ctst file: components with nothing
// left to look up. Package resolve makes it; the engine and every tool that
// wants to know what a file means reads it.
//
//	st, found := resolve.Load(ctx, "app.ctst", opts)
//	for _, c := range st.Components {
//		fmt.Println(c.Name, c.Image)
//	}
//
// A Stack is inert data. All paths in it are absolute, all defaults are filled
// in, all references are replaced. It is the same on every platform, needs no
// privileges, and may be read from any number of goroutines.
package stack

import (
	"time"

	"github.com/containust/containust/modules/lang/token"
)

// Stack is everything that one root file deploys.
type Stack struct {
	Name       string       // the project's name: the root file's stem
	File       string       // the root file, as it was named
	Components []*Component // the deployed ones, in source order
	Links      []Link       // each ordered pair once, in source order
	Exposures  []Exposure
}

// Component returns the deployed component of that name, or nil.
func (s *Stack) Component(name string) *Component {
	for _, c := range s.Components {
		if c.Name == name {
			return c
		}
	}
	return nil
}

// Component is one container to run.
type Component struct {
	Name  string
	Range token.Range            // of its name where it is defined
	Where map[string]token.Range // property name -> where its value was written

	Image      string   // the source URI as written, references replaced
	ImageDir   string   // the folder that a relative path in Image belongs to
	Entrypoint []string // nil: the image's own
	Command    []string // nil: the image's own
	Env        []EnvVar // what the user wrote, in order, then what CONNECT injected
	EnvUnset   []string // variables of the image that must not be there
	EnvClear   bool     // none of the image's variables must be there
	WorkDir    string
	User       string
	Hostname   string // never empty

	Ports            []Port
	Protocol         string // never empty when there are ports
	ConnectionString Text

	Volumes  []Volume
	Tmpfs    []Tmpfs
	Files    []File
	Secrets  []Secret
	ReadOnly bool

	Memory, MemorySwap int64   // bytes; 0: none
	CPUs               float64 // 0: none
	CPUWeight          int     // 0: the kernel's
	PIDs               int
	IO                 *IO
	Ulimits            []Ulimit

	Network string   // project, none, host
	Offline bool     //
	Egress  []string // nil: everything (nothing when Offline); empty: nothing

	Restart          Restart
	RestartUnhealthy bool
	Job              bool
	Health           *Health
	StopSignal       string // "SIGTERM"
	StopTimeout      time.Duration

	Capabilities []string
	Seccomp      string // default, unconfined, or a path
	Devices      []string
	Labels       map[string]string
	Init         bool
	Distroless   *Distroless // nil: off
}

// Text is a string that may hold secrets.
type Text struct {
	Value string // with the secrets in place; never print or store it when Secret
	Shown string // the same with ${secret.x} in place of each secret's value
}

// Secret tells whether the text holds a secret.
func (t Text) Secret() bool { return t.Value != t.Shown }

// String returns the form that may be shown.
func (t Text) String() string { return t.Shown }

// Secret is a file /run/secrets/<Name>.
type Secret struct {
	Name  string
	Range token.Range // in the list
	Text  Text        // empty where secrets are only checked
}

// EnvVar is one environment variable.
type EnvVar struct {
	Name     string
	Value    Text
	Injected bool // by CONNECT
}

// Port is one port that a component listens on.
type Port struct {
	Number   uint16
	Protocol string // tcp or udp
}

// Volume is a named volume or a host path mounted into the component.
type Volume struct {
	Name     string // of a named volume; empty for a host path
	HostPath string // absolute, or relative to nothing: see Name
	Target   string // absolute, inside the component
	ReadOnly bool
	Range    token.Range
}

// Tmpfs is a writable file system in memory.
type Tmpfs struct {
	Target string
	Size   int64 // bytes; 0: the kernel's default
}

// File is a read-only file in the component.
type File struct {
	Target string
	Text   Text   // the content, unless Source is set
	Source string // absolute host path to copy from
	Mode   uint32 // permission bits
	Range  token.Range
}

// IO limits block devices; 0 means no limit.
type IO struct {
	Device              string
	Weight              int
	ReadBPS, WriteBPS   int64 // bytes per second
	ReadIOPS, WriteIOPS int64
}

// Ulimit is a resource limit; -1 is unlimited.
type Ulimit struct {
	Name       string // nofile
	Soft, Hard int64
}

// Restart is the restart policy.
type Restart struct {
	Policy string // never, on-failure, always, unless-stopped
	Max    int    // of on-failure; 0: no bound
}

// Health is a health check. Exactly one of Command, HTTP and TCP is set.
type Health struct {
	Command     []string
	HTTP        string // ":8080/path"
	TCP         uint16
	Interval    time.Duration
	Timeout     time.Duration
	Retries     int
	StartPeriod time.Duration
}

// Distroless says what to keep beyond the entry point's own needs.
type Distroless struct {
	Include  []string // globs
	Binaries []string
}

// Link says that From may reach To and, unless NoWait, starts after it.
type Link struct {
	From, To string
	Prefix   string // of the injected variables: "DB" for DB_HOST; empty: none
	NoWait   bool
	Implied  bool        // made by a reference such as ${db.host}, not by a CONNECT
	Range    token.Range // of the statement or reference that made it
}

// Exposure is a host port that leads to a component's port.
type Exposure struct {
	Address   string // host address; 127.0.0.1 unless written otherwise
	HostPort  uint16
	Component string
	Port      uint16
	Protocol  string // tcp or udp
	Range     token.Range
}
