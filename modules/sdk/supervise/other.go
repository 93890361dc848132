//go:build !linux

package supervise

import (
	"context"
	"errors"
	"fmt"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

var errPlatform = fmt.Errorf("containers run natively on Linux only: %w", errors.ErrUnsupported)

// Client asks a project's supervisor. It needs Linux.
type Client struct{}

// NewClient returns a client whose methods all say that they need Linux.
func NewClient(string, []string) *Client { return &Client{} }

// Prepare does nothing.
func (*Client) Prepare(context.Context) {}

// Release has nothing to undo.
func (*Client) Release(context.Context) error { return nil }

// Running tells whether a supervisor answers.
func (*Client) Running() bool { return false }

// State needs Linux.
func (*Client) State(context.Context) (*state.State, error) { return nil, errPlatform }

// Apply needs Linux.
func (*Client) Apply(context.Context, ApplyRequest, func(Event)) error { return errPlatform }

// Stop needs Linux.
func (*Client) Stop(context.Context, StopRequest, func(Event)) error { return errPlatform }

// Remove needs Linux.
func (*Client) Remove(context.Context, RemoveRequest, func(Event)) error { return errPlatform }

// Wait needs Linux.
func (*Client) Wait(context.Context, WaitRequest, func(Event)) (map[string]container.ExitStatus, error) {
	return nil, errPlatform
}

// Restart needs Linux.
func (*Client) Restart(context.Context, RestartRequest, func(Event)) error { return errPlatform }

// Signal needs Linux.
func (*Client) Signal(context.Context, SignalRequest, func(Event)) error { return errPlatform }

// Pause needs Linux.
func (*Client) Pause(context.Context, PauseRequest, func(Event)) error { return errPlatform }

// OpenRoot needs Linux.
func (*Client) OpenRoot(context.Context, string) (container.Root, error) {
	return container.Root{}, errPlatform
}

// Exec needs Linux.
func (*Client) Exec(context.Context, ExecRequest, ExecIO) (container.ExitStatus, error) {
	return container.ExitStatus{}, errPlatform
}
