package sdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sort"
	"sync"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/resolve"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
	"github.com/containust/containust/modules/storage/store"
)

// Engine works on one project.
type Engine struct {
	opts    Options
	project Project
	store   *state.Store
	client  *supervise.Client

	mu    sync.Mutex
	texts map[string][]byte // what the last load has fetched, by URL
	said  []string          // to Options.Notice
}

// Open finds the project and returns an engine for it. Nothing is read but what
// finding takes, and nothing is created.
func Open(opts Options) (*Engine, error) {
	project, err := Find(opts.File, opts.Dir, opts.StateDir)
	if err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	opts.Logger.Debug("project", "id", project.ID, "file", project.File, "state", project.StateDir)
	if opts.LookupEnv == nil {
		opts.LookupEnv = os.LookupEnv
	}
	if opts.CacheDir == "" {
		if opts.CacheDir, err = CacheDir(); err != nil {
			return nil, err
		}
	}
	var supervisor []string
	if len(opts.Supervisor) > 0 {
		supervisor = append(slices.Clone(opts.Supervisor), project.StateDir)
	}
	return &Engine{
		opts: opts, project: project,
		store:  state.NewStore(project.StateDir),
		client: supervise.NewClient(project.StateDir, supervisor),
	}, nil
}

// Close lets go of what a Plan with PlanOptions.Prepare started and no Apply used.
// What runs goes on.
func (e *Engine) Close() error { return e.client.Release(context.Background()) }

// Project returns where the project lies.
func (e *Engine) Project() Project { return e.project }

// Load reads and resolves the project's file. The stack is nil if there are
// errors among what was found. The digests of imports that are new are written
// to ctst.lock beside the file.
func (e *Engine) Load(ctx context.Context) (*stack.Stack, diag.List) {
	st, found, _ := e.load(ctx)
	return st, found
}

// load returns the digest of each file that was read or fetched too.
func (e *Engine) load(ctx context.Context) (*stack.Stack, diag.List, map[string]string) {
	im, err := e.openImports(false)
	if err != nil {
		return nil, diag.List{shown(err)}, nil
	}
	st, found := e.resolve(ctx, im)
	if err := im.record(); err != nil {
		return nil, append(found, shown(err)), nil
	}
	return st, found, im.inputs
}

func (e *Engine) resolve(ctx context.Context, im *imports) (*stack.Stack, diag.List) {
	st, found := resolve.Load(ctx, e.project.File, resolve.Options{
		ReadFile:     im.readFile,
		Fetch:        im.fetch,
		LookupEnv:    e.opts.LookupEnv,
		EnvFile:      e.opts.EnvFile,
		LookupSecret: resolve.SecretDir(e.project.StateDir + "/secrets"),
		CPUs:         runtime.NumCPU(),
	})
	e.mu.Lock()
	e.texts = im.texts
	e.mu.Unlock()
	return st, found
}

// openImages opens the store of images.
func (e *Engine) openImages() (*store.Store, error) {
	return store.Open(e.opts.CacheDir, store.Options{})
}

// Apply carries out what Plan found. While it goes on, events tell what happens.
// If components fail, the error matches supervise.ErrComponent, and everything
// that does not need them runs.
func (e *Engine) Apply(ctx context.Context, d *Deployment, opts ApplyOptions) error {
	if !d.imported {
		return errors.New("apply needs a plan that was made with Import")
	}
	if err := e.store.Make(); err != nil {
		return err
	}
	req := supervise.ApplyRequest{Project: e.project.Project, Desired: d.Desired, Rerun: opts.Rerun, Found: d.found}
	if opts.Exactly {
		key, err := e.store.Key()
		if err != nil {
			return err
		}
		req.Expect = plan.Fingerprint(key, plan.Components(key, d.Plan, d.Desired, d.current))
	}
	return e.client.Apply(ctx, req, opts.OnEvent)
}

// current returns the project's state: the supervisor's if there is one. If the
// state says that something runs, or is damaged, or the project has something on
// the machine, but no supervisor runs, one is started, which finds out what is
// true and cleans up.
func (e *Engine) current(ctx context.Context) (*state.State, error) {
	// Without starting one: it would wait a while for something to do.
	st, err := supervise.NewClient(e.project.StateDir, nil).State(ctx)
	if errors.Is(err, fs.ErrPermission) {
		return nil, &state.AccessError{Dir: e.project.StateDir, Err: err}
	}
	if errors.Is(err, fs.ErrNotExist) {
		st, err = e.withoutSupervisor(ctx)
	}
	if err == nil && st.SetAside != "" {
		e.notice(fmt.Sprintf("the project's state was damaged, and is set aside as %s; what runs was found again. Run the project to bring it to what its file wants", st.SetAside))
	}
	return st, err
}

func (e *Engine) withoutSupervisor(ctx context.Context) (*state.State, error) {
	st, err := e.store.Load()
	var damaged *state.DamagedError
	switch {
	case errors.As(err, &damaged):
		if len(e.opts.Supervisor) == 0 {
			return nil, err
		}
	case err != nil:
		return nil, err
	case !st.Active() && !onMachine(e.project.StateDir):
		return st, nil
	case len(e.opts.Supervisor) == 0 && !st.Active():
		return st, nil // who only looks leaves what is left where it is
	}
	e.opts.Logger.Debug("something is left without a supervisor; starting one")
	return e.client.State(ctx)
}

// notice tells a person something, once.
func (e *Engine) notice(text string) {
	e.mu.Lock()
	said := slices.Contains(e.said, text)
	e.said = append(e.said, text)
	e.mu.Unlock()
	switch {
	case said:
	case e.opts.Notice != nil:
		e.opts.Notice(text)
	default:
		e.opts.Logger.Warn(text)
	}
}

// List returns the project's components, by name.
func (e *Engine) List(ctx context.Context) ([]Component, error) {
	st, err := e.current(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Component, 0, len(st.Components))
	for name, c := range st.Components {
		list = append(list, component(name, c))
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list, nil
}

// known checks that the project has the named components.
func known(st *state.State, names []string) error {
	for _, name := range names {
		if st.Components[name] == nil {
			return &supervise.UnknownError{Name: name}
		}
	}
	return nil
}

// Stop stops components, and what depends on them first.
func (e *Engine) Stop(ctx context.Context, opts StopOptions) error {
	st, err := e.current(ctx)
	if err != nil {
		return err
	}
	if err := known(st, opts.Names); err != nil {
		return err
	}
	if !e.client.Running() {
		return nil // nothing runs
	}
	return e.client.Stop(ctx, supervise.StopRequest{Names: opts.Names, Timeout: opts.Timeout}, opts.OnEvent)
}

// Remove forgets stopped components and deletes what belongs to them. Named
// volumes stay, unless opts says otherwise; then nothing may run afterwards.
func (e *Engine) Remove(ctx context.Context, opts RemoveOptions) error {
	st, err := e.current(ctx)
	if err != nil {
		return err
	}
	if err := known(st, opts.Names); err != nil {
		return err
	}
	if len(st.Components) > 0 {
		err := e.client.Remove(ctx, supervise.RemoveRequest{Names: opts.Names, Force: opts.Force}, opts.OnEvent)
		if err != nil {
			return err
		}
	}
	if !opts.Volumes {
		return nil
	}
	if st, err = e.current(ctx); err != nil {
		return err
	}
	if len(st.Components) > 0 {
		return errors.New("volumes can be removed only when the project has no components left: remove all of them")
	}
	return os.RemoveAll(e.project.StateDir + "/volumes")
}

// Exec runs a process inside a running component and waits for it. The error
// matches container.ErrCommandNotFound or container.ErrNotExecutable if there
// is no such program, and supervise.ErrNotRunning if the component does not
// run.
func (e *Engine) Exec(ctx context.Context, name string, opts ExecOptions) (container.ExitStatus, error) {
	var none container.ExitStatus
	st, err := e.current(ctx)
	if err != nil {
		return none, err
	}
	if err := known(st, []string{name}); err != nil {
		return none, err
	}
	if c := st.Components[name]; !c.Active() {
		return none, &supervise.NotRunningError{Name: name, Status: c.Status, Reason: c.Reason}
	}
	req := supervise.ExecRequest{Name: name, Args: opts.Args, Env: opts.Env, WorkDir: opts.WorkDir, User: opts.User}
	if t := opts.Terminal; t != nil {
		if t.Opened == nil || opts.Stdin != nil || opts.Stdout != nil || opts.Stderr != nil {
			return none, errors.New("exec: a terminal takes a function that gets it, and no standard streams")
		}
		req.Terminal = &supervise.TerminalSize{Rows: t.Rows, Cols: t.Cols}
		return e.client.Exec(ctx, req, supervise.ExecIO{Opened: t.Opened, Signals: opts.Signals})
	}
	stdio := [3]*os.File{opts.Stdin, opts.Stdout, opts.Stderr}
	for i, f := range stdio {
		if f != nil {
			continue
		}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			return none, err
		}
		defer null.Close()
		stdio[i] = null
	}
	return e.client.Exec(ctx, req, supervise.ExecIO{Stdio: stdio, Signals: opts.Signals})
}

// Wait returns when none of the named components (all, without names) runs or
// will be restarted, with how each ended. onEvent may be nil.
func (e *Engine) Wait(ctx context.Context, names []string, onEvent func(supervise.Event)) (map[string]container.ExitStatus, error) {
	// A supervisor ends when there is nothing to wait for any more, maybe before
	// it has heard the question: it is asked again, but none is started for it.
	supervisor := supervise.NewClient(e.project.StateDir, nil)
	for try := 1; ; try++ {
		st, err := e.current(ctx)
		if err != nil {
			return nil, err
		}
		if err := known(st, names); err != nil {
			return nil, err
		}
		exits, err := supervisor.Wait(ctx, supervise.WaitRequest{Names: names}, onEvent)
		if errors.Is(err, fs.ErrNotExist) {
			if st, err = e.store.Load(); err != nil {
				return nil, err
			}
			if !st.Active() {
				return ends(st), nil
			}
			err = supervise.ErrLost
		}
		if try == 3 || !errors.Is(err, supervise.ErrLost) {
			return exits, err
		}
	}
}

// ends tells how components have ended.
func ends(st *state.State) map[string]container.ExitStatus {
	exits := map[string]container.ExitStatus{}
	for name, c := range st.Components {
		if c.Exit != nil {
			exits[name] = *c.Exit
		}
	}
	return exits
}

// checkFile says clearly that a project's state belongs to another file.
func (e *Engine) checkFile(st *state.State) error {
	if had := st.Project.File; had != "" && had != e.project.File && len(st.Components) > 0 {
		if _, err := os.Stat(had); err == nil {
			return fmt.Errorf("%s belongs to %s: remove its components first (ctst rm -f %s), or keep this one's state elsewhere (--state-dir DIR)",
				e.project.StateDir, had, had)
		}
	}
	return nil
}
