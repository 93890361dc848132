package supervise_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/sdk/supervise"
)

// machine is a backend whose containers do what the test says. It writes down
// what was asked of it; the real backend has tests of its own on the kernel.
type machine struct {
	mu      sync.Mutex
	journal []string
	all     map[string]*process
	script  map[string]script
	pids    int
	slow    bool // nothing ends that is stopped, until the caller gives up
}

// script is how a container behaves.
type script struct {
	startError error
	exits      []int // codes with which its lives end at once; then it stays up
	probe      func() error
	update     func(container.Config) error
	stopCode   *int // with which it ends when it is stopped; nil: 143
}

type process struct {
	cfg   container.Config
	lives int
	exit  *container.ExitStatus
	ended chan struct{} // nil while it does not run
}

func newMachine(scripts map[string]script) *machine {
	return &machine{all: map[string]*process{}, script: scripts}
}

func (m *machine) note(format string, args ...any) {
	m.journal = append(m.journal, fmt.Sprintf(format, args...))
}

// notes returns what was asked, and forgets it.
func (m *machine) notes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	notes := m.journal
	m.journal = nil
	return notes
}

func (m *machine) Create(_ context.Context, cfg container.Config) (container.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all[cfg.Name] != nil {
		return "", fs.ErrExist
	}
	m.note("create %s", cfg.Name)
	m.all[cfg.Name] = &process{cfg: cfg}
	return container.ID(cfg.Name), nil
}

func (m *machine) Start(_ context.Context, id container.ID) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, s := m.all[string(id)], m.script[string(id)]
	m.note("start %s", id)
	if s.startError != nil {
		return 0, s.startError
	}
	m.pids++
	p.exit, p.ended = nil, make(chan struct{})
	if p.lives < len(s.exits) {
		p.exit = &container.ExitStatus{Code: s.exits[p.lives]}
		close(p.ended)
	}
	p.lives++
	return m.pids, nil
}

func (m *machine) Wait(ctx context.Context, id container.ID) (container.ExitStatus, error) {
	m.mu.Lock()
	p := m.all[string(id)]
	m.mu.Unlock()
	select {
	case <-p.ended:
	case <-ctx.Done():
		return container.ExitStatus{}, ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return *p.exit, nil
}

// end ends a container's process from outside.
func (m *machine) end(id container.ID, code int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.all[string(id)]; p != nil && p.ended != nil && p.exit == nil {
		p.exit = &container.ExitStatus{Code: code}
		close(p.ended)
	}
}

func (m *machine) Stop(ctx context.Context, id container.ID, _ container.StopOptions) error {
	m.mu.Lock()
	m.note("stop %s", id)
	if m.slow {
		m.mu.Unlock()
		<-ctx.Done()
		return ctx.Err()
	}
	code := 143
	if c := m.script[string(id)].stopCode; c != nil {
		code = *c
	}
	m.mu.Unlock()
	m.end(id, code)
	return nil
}

func (m *machine) Update(_ context.Context, cfg container.Config) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all[cfg.Name] == nil {
		return fs.ErrNotExist
	}
	m.note("update %s", cfg.Name)
	if update := m.script[cfg.Name].update; update != nil {
		if err := update(cfg); err != nil {
			return err
		}
	}
	m.all[cfg.Name].cfg = cfg
	return nil
}

func (m *machine) Remove(_ context.Context, id container.ID, _ container.RemoveOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("remove %s", id)
	delete(m.all, string(id))
	return nil
}

func (m *machine) Signal(_ context.Context, id container.ID, signal string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("signal %s %s", id, signal)
	return nil
}

func (m *machine) Pause(_ context.Context, id container.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("pause %s", id)
	return nil
}

func (m *machine) Resume(_ context.Context, id container.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.note("resume %s", id)
	return nil
}

func (m *machine) OpenRoot(context.Context, container.ID) (container.Root, error) {
	return container.Root{}, errors.ErrUnsupported
}

func (m *machine) Probe(_ context.Context, id container.ID, check container.Health) error {
	if check.HTTP != "" {
		return errors.New("no answer to " + check.HTTP)
	}
	if probe := m.script[string(id)].probe; probe != nil {
		return probe()
	}
	return nil
}

func (m *machine) Exec(_ context.Context, _ container.ID, opts container.ExecOptions) (container.ExecResult, error) {
	if opts.Args[0] == "missing" {
		return container.ExecResult{}, fmt.Errorf("%w: missing", container.ErrCommandNotFound)
	}
	_, err := fmt.Fprintf(opts.Stdout, "%v %v", opts.Args, opts.Env)
	return container.ExecResult{Exit: container.ExitStatus{Code: 5}}, err
}

func (m *machine) Logs(context.Context, container.ID, container.LogOptions) (io.ReadCloser, error) {
	return nil, errors.ErrUnsupported
}

func (m *machine) Inspect(ctx context.Context, id container.ID) (container.Info, error) {
	infos, err := m.List(ctx)
	i := slices.IndexFunc(infos, func(info container.Info) bool { return info.ID == id })
	if i < 0 {
		return container.Info{}, cmp.Or(err, fs.ErrNotExist)
	}
	return infos[i], err
}

func (m *machine) List(context.Context) ([]container.Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var infos []container.Info
	for name, p := range m.all {
		info := container.Info{ID: container.ID(name), Status: container.StatusCreated, Exit: p.exit}
		switch {
		case p.ended != nil && p.exit == nil:
			info.Status, info.PID, info.StartTime = container.StatusRunning, 1, 5
		case p.exit != nil:
			info.Status = container.StatusExited
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (m *machine) Available(context.Context) error { return nil }
func (m *machine) Release(context.Context) error   { return nil }
func (m *machine) Close() error                    { return nil }

// supervised is a supervisor over a machine.
type supervised struct {
	*supervise.Supervisor
	machine *machine
	store   *state.Store
	let     context.CancelFunc
}

func newSupervised(t *testing.T, m *machine) *supervised {
	t.Helper()
	return open(t, m, state.NewStore(t.TempDir()))
}

func open(t *testing.T, m *machine, store *state.Store) *supervised {
	t.Helper()
	return openOver(t, m, m, store)
}

func openBackend(t *testing.T, b container.Backend, m *machine) *supervised {
	t.Helper()
	return openOver(t, b, m, state.NewStore(t.TempDir()))
}

func openOver(t *testing.T, b container.Backend, m *machine, store *state.Store) *supervised {
	t.Helper()
	life, let := context.WithCancel(context.Background())
	t.Cleanup(let)
	s, err := supervise.NewSupervisor(life, b, store, discard)
	require.NoError(t, err)
	return &supervised{Supervisor: s, machine: m, store: store, let: let}
}

// component makes what a file wants of one component.
func component(name string, change func(*plan.Desired), dependsOn ...string) plan.Desired {
	d := plan.Desired{
		Config:    container.Config{Name: name, Args: []string{"/x"}, Network: container.Network{Mode: container.NetworkNone}},
		DependsOn: dependsOn,
	}
	if change != nil {
		change(&d)
	}
	d.Shown = d.Config
	return d
}

// apply applies and returns the events as "component type".
func (s *supervised) apply(t *testing.T, desired ...plan.Desired) ([]string, error) {
	t.Helper()
	var events []string
	err := s.Apply(t.Context(), supervise.ApplyRequest{Desired: desired}, func(e supervise.Event) {
		events = append(events, e.Component+" "+string(e.Type))
	})
	return events, err
}

func (s *supervised) status(name string) container.Status { return s.State().Components[name].Status }

// before tells whether one entry comes before another.
func before(list []string, first, second string) bool {
	i, j := slices.Index(list, first), slices.Index(list, second)
	return i >= 0 && j > i
}
