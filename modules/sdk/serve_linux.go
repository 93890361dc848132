package sdk

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/rootless"
	"github.com/containust/containust/modules/sdk/native"
	"github.com/containust/containust/modules/sdk/supervise"
)

// runBase holds what projects have on the machine while they run: for root on a
// tmpfs, for an ordinary user on one where there is a session's.
func runBase() (string, error) {
	if os.Geteuid() == 0 && !idmap.Confined() {
		return "/run/containust", nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "containust"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.Join(errors.New("where to keep what runs is not known: set XDG_RUNTIME_DIR or HOME"), err)
	}
	return filepath.Join(home, stateDirName, "run"), nil
}

// Supervise is the body of the process that Options.Supervisor names: the
// supervisor of the project with this state folder. It returns when the project
// has nothing left to run.
func Supervise(ctx context.Context, stateDir string) error {
	ready, err := supervise.ReadyFile()
	if err != nil {
		return err
	}
	base, err := runBase()
	if err != nil {
		return err
	}
	log := processLogger("supervisor")
	opts := supervise.ServeOptions{
		StateDir: stateDir, Logger: log,
		Open: func(ctx context.Context) (supervise.ProjectBackend, error) {
			leave := delegate(ctx, projectID(stateDir), log)
			b, err := native.Open(ctx, native.Options{
				Project: projectID(stateDir), StateDir: stateDir,
				RunDir: filepath.Join(base, projectID(stateDir)),
				FindExit: func(pid int, after time.Time) (container.ExitStatus, bool, error) {
					return supervise.FindExit(stateDir, pid, after)
				},
				Logger: log,
			})
			if err != nil {
				return nil, err
			}
			h := hosted{ProjectBackend: b, leave: leave}
			if idmap.Confined() {
				h.namespace = namespaceFile(stateDir)
				if err := rootless.Note(h.namespace); err != nil {
					return nil, errors.Join(err, b.Close())
				}
			}
			return h, nil
		},
	}
	if ready != nil {
		opts.Ready = ready
	}
	return supervise.Serve(ctx, opts)
}

// delegate moves this process, and its guardian, to where the project's cgroups
// can be.
func delegate(ctx context.Context, project string, log *slog.Logger) (leave func() error) {
	pids := []int{os.Getpid()}
	if guardian, ok := supervise.Guardian(); ok {
		pids = []int{guardian, os.Getpid()}
	}
	return native.Delegate(ctx, project, pids, log)
}

// hosted is a backend with what its process has on the machine for it.
type hosted struct {
	supervise.ProjectBackend
	namespace string       // the file that says in which namespace an ordinary user's project works
	leave     func() error // undoes delegate
}

func (h hosted) Release(ctx context.Context) error {
	err := errors.Join(h.ProjectBackend.Release(ctx), h.leave())
	if h.namespace != "" {
		err = errors.Join(err, os.Remove(h.namespace))
	}
	return err
}

// processLogger writes to the file that these processes have as their standard
// error.
func processLogger(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", name)
}
