//go:build !linux

package network

import (
	"context"
	"errors"
	"net"
	"os"
)

// CreateRouter makes a project's router. It needs Linux.
func CreateRouter(ctx context.Context, spec RouterSpec) (*Router, error) {
	return nil, unsupported("create router", spec.Project)
}

// OpenRouter opens a project's router. It needs Linux.
func OpenRouter(ctx context.Context, spec RouterSpec) (*Router, error) {
	return nil, unsupported("open router", spec.Project)
}

// RemoveRouter removes a project's router. It needs Linux.
func RemoveRouter(ctx context.Context, spec RouterSpec) error {
	return unsupported("remove router", spec.Project)
}

// Strays needs Linux.
func Strays(context.Context, []string) ([]string, error) { return nil, unsupported("list strays", "") }

// RemoveStray needs Linux.
func RemoveStray(_ context.Context, name string) error { return unsupported("remove", name) }

// Attach makes a container's namespace. It needs Linux.
func (r *Router) Attach(ctx context.Context, spec EndpointSpec, opts EndpointOptions) (*Endpoint, error) {
	return nil, unsupported("attach", spec.Name)
}

// Detach cuts an endpoint off. It needs Linux.
func (r *Router) Detach(ctx context.Context, name string) error {
	return unsupported("detach", name)
}

// SetRules replaces what may pass. It needs Linux.
func (r *Router) SetRules(ctx context.Context, rules Rules) error {
	return unsupported("set rules", r.spec.Project)
}

// None prepares a namespace with nothing but loopback. It needs Linux.
func None(ctx context.Context, opts EndpointOptions) (*Endpoint, error) {
	return nil, unsupported("create", "")
}

// DialIn connects from inside a namespace. It needs Linux.
func DialIn(ctx context.Context, ns *os.File, network, addr string) (net.Conn, error) {
	return nil, unsupported("dial", addr)
}

func unsupported(op, target string) error {
	return &Error{Op: op, Target: target, Err: errors.ErrUnsupported}
}

// Dropping lists chains of the firewall. It needs Linux.
func Dropping() ([]string, error) { return nil, unsupported("look at", "the firewall") }
