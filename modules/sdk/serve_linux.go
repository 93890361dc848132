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

// Guard is the body of the process that Options.Supervisor names: the guardian
// of the project with this state folder. supervisor is the complete command of
// a process that calls Supervise for it. It returns when the project has
// nothing left to run.
func Guard(ctx context.Context, stateDir string, supervisor []string) error {
	ready, err := supervise.ReadyFile()
	if err != nil {
		return err
	}
	log := processLogger("guardian")
	return supervise.Guard(ctx, supervise.GuardOptions{
		StateDir: stateDir, Supervisor: supervisor, Ready: ready, Logger: log,
		Settle: func(ctx context.Context) func() error { return native.Delegate(ctx, projectID(stateDir), log) },
	})
}

// Supervise is the body of the process that a guardian runs: the supervisor of
// the project with this state folder.
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
			if !idmap.Confined() {
				return b, nil
			}
			n := noted{b, namespaceFile(stateDir)}
			if err := rootless.Note(n.file); err != nil {
				return nil, errors.Join(err, b.Close())
			}
			return n, nil
		},
	}
	if ready != nil {
		opts.Ready = ready
	}
	return supervise.Serve(ctx, opts)
}

// noted is the backend of an ordinary user's project, while a file says in which
// namespace it works.
type noted struct {
	supervise.ProjectBackend
	file string
}

func (n noted) Release(ctx context.Context) error {
	return errors.Join(n.ProjectBackend.Release(ctx), os.Remove(n.file))
}

// processLogger writes to the file that these processes have as their standard
// error.
func processLogger(name string) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", name)
}
