package network

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
)

// Error tells which step on which object of the network failed.
type Error struct {
	Op     string // "create router", "attach", "set rules", …
	Target string // the project's, endpoint's or interface's name
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Target == "" {
		return fmt.Sprintf("network: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("network: %s %s: %v", e.Op, e.Target, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrNoPool is what creating a router matches when every address range that
// projects may have is used by a route of the host or another project.
var ErrNoPool = errors.New("no free address range for the project")

// ErrPoolFull is what an allocation matches that has more endpoints than the
// pool has addresses.
var ErrPoolFull = errors.New("no free address in the project's range")

// PortInUseError is an exposure whose host port is taken.
type PortInUseError struct {
	Address  netip.Addr
	Port     uint16
	Protocol string
	Owner    PortOwner
}

// PortOwner is who has a port; the zero value is "unknown".
type PortOwner struct {
	PID     int    // of the process that listens
	Command string // its name
	Project string // the other project that exposes it
}

// Error implements error.
func (e *PortInUseError) Error() string {
	s := fmt.Sprintf("port %s/%s is in use", netip.AddrPortFrom(e.Address, e.Port), e.Protocol)
	switch {
	case e.Owner.Project != "":
		s += " by project " + e.Owner.Project
	case e.Owner.PID != 0:
		s += fmt.Sprintf(" by %q (process %d)", e.Owner.Command, e.Owner.PID)
	}
	return s
}

// ExposeError is an exposure that cannot be made, for another reason than a
// port in use. An address family that is not supported matches
// errors.ErrUnsupported.
type ExposeError struct {
	Exposure Exposure
	Err      error
}

// Error implements error.
func (e *ExposeError) Error() string {
	return fmt.Sprintf("expose %s/%s: %v",
		netip.AddrPortFrom(e.Exposure.Address, e.Exposure.HostPort), e.Exposure.Protocol, e.Err)
}

// Unwrap returns the cause.
func (e *ExposeError) Unwrap() error { return e.Err }

func closeFile(f *os.File) error {
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return &Error{Op: "close", Target: f.Name(), Err: err}
	}
	return nil
}
