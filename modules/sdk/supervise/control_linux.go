package supervise

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/containust/containust/modules/core/container"
)

// control carries out the requests that change how components run but not what
// they are; ok is false for any other.
func (srv *server) control(ctx context.Context, req request, p *peer, emit func(Event)) (result any, ok bool, err error) {
	switch req.Method {
	case "restart":
		return asked(req, func(params RestartRequest) error { return srv.s.Restart(ctx, params, emit) })
	case "signal":
		return asked(req, func(params SignalRequest) error { return srv.s.Signal(ctx, params, emit) })
	case "pause":
		return asked(req, func(params PauseRequest) error { return srv.s.Pause(ctx, params, emit) })
	case "root":
		var answer rootAnswer
		_, _, err := asked(req, func(name string) error {
			root, err := srv.s.OpenRoot(ctx, name)
			if err != nil {
				return err
			}
			answer = rootAnswer{UID: root.UID, GID: root.GID}
			return errors.Join(p.send(reply{Opened: &opened{}}, root.Dir), root.Dir.Close())
		})
		return answer, true, err
	}
	return nil, false, nil
}

// asked takes a request's parameters to what carries it out.
func asked[T any](req request, do func(params T) error) (result any, ok bool, err error) {
	var params T
	if err := json.Unmarshal(req.Params, &params); err != nil {
		return nil, true, err
	}
	return struct{}{}, true, do(params)
}

// rootAnswer is what comes beside a root file system.
type rootAnswer struct {
	UID uint32 `json:"uid"`
	GID uint32 `json:"gid"`
}

// Restart asks for [Supervisor.Restart].
func (c *Client) Restart(ctx context.Context, req RestartRequest, emit func(Event)) error {
	return c.call(ctx, exchange{method: "restart", params: req, emit: emit})
}

// Signal asks for [Supervisor.Signal].
func (c *Client) Signal(ctx context.Context, req SignalRequest, emit func(Event)) error {
	return c.call(ctx, exchange{method: "signal", params: req, emit: emit})
}

// Pause asks for [Supervisor.Pause].
func (c *Client) Pause(ctx context.Context, req PauseRequest, emit func(Event)) error {
	return c.call(ctx, exchange{method: "pause", params: req, emit: emit})
}

// OpenRoot asks for [Supervisor.OpenRoot].
func (c *Client) OpenRoot(ctx context.Context, name string) (container.Root, error) {
	var root container.Root
	var answer rootAnswer
	err := c.call(ctx, exchange{method: "root", params: name, result: &answer, opened: func(s container.Session) error {
		root.Dir = s.Master
		return nil
	}})
	root.UID, root.GID = answer.UID, answer.GID
	switch {
	case err == nil && root.Dir == nil:
		err = errors.New("understand the supervisor: it sent no root file system")
	case err != nil && root.Dir != nil:
		err = errors.Join(err, root.Dir.Close())
	}
	return root, err
}
