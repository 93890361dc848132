package native

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/sandbox"
	"github.com/containust/containust/modules/sdk/logfile"
	"github.com/containust/containust/modules/sdk/state"
)

// Options describe a backend.
type Options struct {
	Project  string // unique on this machine; names cgroups and interfaces
	StateDir string // logs, volumes, writable layers
	RunDir   string // records and generated files; best on a tmpfs

	// FindExit tells how a process ended that was neither our child nor seen to
	// end, if anybody knows; may be nil.
	FindExit func(pid int, after time.Time) (container.ExitStatus, bool, error)

	LogLimits logfile.Limits // of each output of each container
	Logger    *slog.Logger   // nil discards
}

// Backend runs a project's containers.
type Backend struct {
	opts    Options
	log     *slog.Logger
	boot    string
	net     projectNetwork
	ids     hostIDs
	cgroups placement
	proxies proxies // of exposed ports, in a user namespace
	filters filters

	// life ends with Close: whoever watches a process then lets go of it.
	life  context.Context
	letGo context.CancelFunc
	tasks sync.WaitGroup // watchers and pumps

	volumes sync.Mutex // held while one may be made

	mu         sync.Mutex
	containers map[string]*instance
}

// instance is one container.
type instance struct {
	operation sync.Mutex // held by what creates, starts, stops or removes it

	// Below here guarded by Backend.mu.
	record record
	run    *run // nil while nothing runs
}

// run is one life of a container's first process.
type run struct {
	process *sandbox.Process
	cgroup  *cgroup.Cgroup
	netns   *os.File      // for health checks; nil until the first one of an adopted process
	logs    []*pump       //
	done    chan struct{} // closed when it has ended and nothing of it is left
}

// record is what is kept about a container in RunDir/<name>/container.json.
type record struct {
	Config    container.Config `json:"config"`
	Boot      string           `json:"boot"`
	FirstID   uint32           `json:"first_id"` // of its idmap.Size host ids
	PID       int              `json:"pid,omitempty"`
	StartTime uint64           `json:"start_time,omitempty"`
	Cgroup    *cgroupRecord    `json:"cgroup,omitempty"` // nil: it has none
	User      userRecord       `json:"user,omitzero"`
	// Unenforced are the limits that do not hold for the current or last run.
	Unenforced []string `json:"unenforced,omitempty"`

	Started  time.Time             `json:"started,omitzero"`
	Finished time.Time             `json:"finished,omitzero"`
	Exit     *container.ExitStatus `json:"exit,omitempty"`
}

// Open takes over what an earlier backend of the project recorded.
func Open(ctx context.Context, opts Options) (*Backend, error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	b := &Backend{
		opts: opts, log: opts.Logger, boot: strings.TrimSpace(string(boot)),
		containers: map[string]*instance{},
	}
	if b.ids, err = newHostIDs(idmap.Project{Name: opts.Project, Holder: opts.RunDir}); err != nil {
		return nil, err
	}
	b.cgroups = placeCgroups(opts.Project)
	if b.cgroups.missing != nil {
		b.log.Warn("containers have no cgroups", "reason", b.cgroups.missing)
	}
	b.life, b.letGo = context.WithCancel(context.Background())
	for _, dir := range []string{b.containersDir(), opts.StateDir + "/logs", opts.StateDir + "/volumes"} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	// Nearly every container has it, and the first needs it soon.
	b.tasks.Go(func() { _, _ = b.filters.program(container.Config{}, 0) })
	if err := b.noteProject(); err != nil {
		return nil, err
	}
	b.net = projectNetwork{
		spec: network.RouterSpec{Project: opts.Project, Pin: filepath.Join(opts.RunDir, "router")},
		file: filepath.Join(opts.StateDir, "network.json"),
	}
	if idmap.Confined() {
		b.proxies.dial = b.dial
		b.net.proxies = &b.proxies
		b.net.spec.Isolated = true
		b.net.spec.Registry = filepath.Join(filepath.Dir(opts.RunDir), "networks.json")
	}
	if err := b.net.open(ctx); err != nil {
		return nil, err
	}
	err = b.adopt(ctx)
	if err == nil {
		err = b.sweep(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if b.net.proxies != nil {
		// Containers that go on without a network are better than none.
		if err := b.reconnect(ctx); err != nil {
			b.log.Error("connect containers again", "error", err)
		}
	}
	return b, nil
}

// containersDir holds a folder of records and generated files per container. It
// is inside a folder that only its owner may enter: FIFOs and files in it have
// modes for the processes inside.
func (b *Backend) containersDir() string { return filepath.Join(b.opts.RunDir, "containers") }

func (b *Backend) dir(name string) string { return filepath.Join(b.containersDir(), name) }

func (b *Backend) recordFile(name string) string {
	return filepath.Join(b.dir(name), "container.json")
}

// adopt reads the records and finds the processes that are still there.
func (b *Backend) adopt(ctx context.Context) error {
	entries, err := os.ReadDir(b.containersDir())
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		text, err := os.ReadFile(b.recordFile(name))
		var rec record
		if err == nil {
			err = json.Unmarshal(text, &rec)
		}
		if err != nil || rec.Boot != b.boot {
			// A creation that was interrupted, or of a time before a reboot.
			if err := os.RemoveAll(b.dir(name)); err != nil {
				return err
			}
			continue
		}
		c := &instance{record: rec}
		b.containers[name] = c
		if err := b.adoptIDs(ctx, rec); err != nil {
			return fmt.Errorf("take over %s: %w", name, err)
		}
		if rec.PID == 0 {
			continue
		}
		if err := b.adoptProcess(name, c); err != nil {
			return fmt.Errorf("take over %s: %w", name, err)
		}
	}
	return nil
}

// adoptIDs claims the ids of a container, in case the registry was lost. What
// somebody else has taken since is a matter of the next start.
func (b *Backend) adoptIDs(ctx context.Context, rec record) error {
	err := b.ids.Claim(ctx, rec.Config.Name, rec.FirstID, rec.PID != 0)
	var taken *idmap.TakenError
	if errors.As(err, &taken) {
		b.log.Error("the ids of a container are not its own any more", "container", rec.Config.Name, "error", taken)
		return nil
	}
	return err
}

func (b *Backend) adoptProcess(name string, c *instance) error {
	group, err := openCgroup(c.record.Cgroup)
	if err != nil {
		return err
	}
	process, err := sandbox.Open(c.record.PID, c.record.StartTime)
	if errors.Is(err, sandbox.ErrNotProcess) {
		exit := b.missedExit(c.record)
		exit.OutOfMemory = b.outOfMemory(name, group, exit)
		b.noteEnd(name, c, exit)
		return b.cleanUp(context.Background(), name, &run{cgroup: group})
	}
	if err != nil {
		return err
	}
	r := &run{process: process, cgroup: group, done: make(chan struct{})}
	if r.logs, err = b.startPumps(name); err != nil {
		return errors.Join(err, process.Close())
	}
	c.run = r
	b.tasks.Go(func() { b.watch(name, c, r) })
	return nil
}

// missedExit finds out how a process ended that nobody of us saw end.
func (b *Backend) missedExit(rec record) container.ExitStatus {
	if b.opts.FindExit != nil {
		exit, ok, err := b.opts.FindExit(rec.PID, rec.Started)
		if err != nil {
			b.log.Error("find exit", "container", rec.Config.Name, "error", err)
		}
		if ok {
			return exit
		}
	}
	return container.ExitStatus{Unknown: true}
}

// save writes a container's record. b.mu is held.
func (b *Backend) save(c *instance) error {
	text, err := json.Marshal(c.record)
	if err != nil {
		return err
	}
	return state.WriteFile(b.recordFile(c.record.Config.Name), text, 0o600)
}

// instance returns a known container.
func (b *Backend) instance(id container.ID) (*instance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.containers[string(id)]
	if c == nil {
		return nil, fmt.Errorf("container %q: %w", id, fs.ErrNotExist)
	}
	return c, nil
}

// running returns a container's current run, or an error if nothing runs.
func (b *Backend) running(id container.ID) (*instance, *run, error) {
	c, err := b.instance(id)
	if err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.run == nil {
		return nil, nil, fmt.Errorf("container %q is not running", id)
	}
	return c, c.run, nil
}

// Inspect returns what is known about a container.
func (b *Backend) Inspect(_ context.Context, id container.ID) (container.Info, error) {
	c, err := b.instance(id)
	if err != nil {
		return container.Info{}, err
	}
	address := b.net.known(string(id))
	b.mu.Lock()
	defer b.mu.Unlock()
	return c.info(address), nil
}

// List returns all containers, by name.
func (b *Backend) List(context.Context) ([]container.Info, error) {
	addresses := b.net.allKnown()
	b.mu.Lock()
	defer b.mu.Unlock()
	infos := make([]container.Info, 0, len(b.containers))
	for name, c := range b.containers {
		infos = append(infos, c.info(addresses[name]))
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].ID < infos[j].ID })
	return infos, nil
}

// info is what is known about a container. Backend.mu is held.
func (c *instance) info(address network.Addresses) container.Info {
	info := container.Info{
		ID: container.ID(c.record.Config.Name), Status: container.StatusCreated,
		Exit: c.record.Exit, Started: c.record.Started, Finished: c.record.Finished,
		Expose: c.record.Config.Network.Expose,
	}
	if address.IPv4.IsValid() && c.record.Config.Network.Mode == container.NetworkProject {
		info.Address = address.IPv4.String()
	}
	switch {
	case c.run != nil:
		info.Status, info.PID, info.StartTime = container.StatusRunning, c.record.PID, c.record.StartTime
		info.NoCgroup, info.Unenforced = c.run.cgroup == nil, c.record.Unenforced
	case c.record.Exit != nil:
		info.Status = container.StatusExited
	}
	return info
}

// Wait returns how the container's first process ended.
func (b *Backend) Wait(ctx context.Context, id container.ID) (container.ExitStatus, error) {
	c, err := b.instance(id)
	if err != nil {
		return container.ExitStatus{}, err
	}
	b.mu.Lock()
	r := c.run
	b.mu.Unlock()
	if r != nil {
		select {
		case <-r.done:
		case <-ctx.Done():
			return container.ExitStatus{}, ctx.Err()
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if c.record.Exit == nil {
		return container.ExitStatus{}, fmt.Errorf("container %q was not started", id)
	}
	return *c.record.Exit, nil
}

// Available is nil where native containers can run, or says what is missing.
func (b *Backend) Available(ctx context.Context) error {
	for _, r := range Check(ctx) {
		if r.Err != nil && r.Required {
			return fmt.Errorf("%s: %w; %s", r.Name, r.Err, r.Mend)
		}
	}
	return nil
}

// Release removes the project's network, cgroup, ids and records. Nothing may run.
func (b *Backend) Release(ctx context.Context) error {
	b.proxies.close()
	if err := b.net.remove(ctx); err != nil {
		return err
	}
	if err := b.removeProjectCgroup(ctx); err != nil {
		return err
	}
	return errors.Join(b.ids.FreeAll(ctx), os.RemoveAll(b.opts.RunDir))
}

// Close lets go of everything; containers go on.
func (b *Backend) Close() error {
	b.letGo()
	for _, r := range b.runs() {
		for _, p := range r.logs {
			p.stop()
		}
	}
	b.tasks.Wait()
	b.proxies.close()
	err := b.net.close()
	for _, r := range b.runs() {
		err = errors.Join(err, r.close())
	}
	return err
}

// runs returns the runs that have not ended.
func (b *Backend) runs() []*run {
	b.mu.Lock()
	defer b.mu.Unlock()
	var runs []*run
	for _, c := range b.containers {
		if c.run != nil {
			runs = append(runs, c.run)
		}
	}
	return runs
}

// close frees what a run holds. Backend.mu is held, or nobody else has the run.
func (r *run) close() (err error) {
	if r.process != nil {
		err = r.process.Close()
	}
	if r.cgroup != nil {
		err = errors.Join(err, r.cgroup.Close())
	}
	if r.netns != nil {
		err = errors.Join(err, r.netns.Close())
	}
	return err
}
