package native

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/seccomp"
)

// filters are the system call filters that were compiled. A default one takes
// longer to compile than to install.
type filters struct {
	mu       sync.Mutex
	compiled map[filterKey]seccomp.Program
}

// filterKey is what a program depends on.
type filterKey struct {
	custom  bool   // with a profile of its own
	profile string // that one's text
	open    bool   // unconfined
	guarded bool
	caps    capability.Set
}

// prepareFilter reads the profile of a configuration into it, unless it is
// there, and finds out whether it can be used.
func (b *Backend) prepareFilter(cfg *container.Config) error {
	if custom(*cfg) && cfg.SeccompProfile == "" {
		text, err := seccomp.ReadFile(cfg.Seccomp)
		if err != nil {
			return fmt.Errorf("read the system call profile: %w", err)
		}
		cfg.SeccompProfile = string(text)
	}
	caps, err := capabilities(cfg.Capabilities)
	if err != nil {
		return err
	}
	program, err := b.filters.program(*cfg, caps)
	if err != nil {
		return err
	}
	if len(program.Unknown) > 0 {
		b.log.Warn("the system call profile names what is no system call", "container", cfg.Name, "names", strings.Join(program.Unknown, ", "))
	}
	return nil
}

// custom tells whether the configuration has a profile of its own.
func custom(cfg container.Config) bool {
	return cfg.Seccomp != "" && cfg.Seccomp != "default" && cfg.Seccomp != "unconfined"
}

// program returns the filter of a configuration.
func (f *filters) program(cfg container.Config, caps capability.Set) (seccomp.Program, error) {
	key := filterKey{caps: caps, open: cfg.Seccomp == "unconfined", guarded: writesHost(cfg)}
	if key.open && !key.guarded {
		return seccomp.Program{}, nil
	}
	if custom(cfg) {
		key.custom, key.profile = true, cfg.SeccompProfile
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	program, ok := f.compiled[key]
	if ok {
		return program, nil
	}
	profile := seccomp.Default()
	if key.open {
		profile.DefaultAction, profile.Entries = seccomp.Allow, nil
	}
	if custom(cfg) {
		var err error
		if profile, err = seccomp.Parse([]byte(key.profile)); err != nil {
			return seccomp.Program{}, fmt.Errorf("%s: %w", cfg.Seccomp, err)
		}
	}
	if key.guarded {
		// In front: of two entries without conditions the first counts.
		profile.Entries = append(noSetID(), profile.Entries...)
	}
	program, err := profile.Compile(seccomp.Options{Capabilities: caps})
	if err != nil {
		return seccomp.Program{}, err
	}
	if f.compiled == nil {
		f.compiled = map[filterKey]seccomp.Program{}
	}
	f.compiled[key] = program
	return program, nil
}

// writesHost tells whether a container can write to a path of the host.
func writesHost(cfg container.Config) bool {
	return slices.ContainsFunc(cfg.Mounts, func(m container.Mount) bool {
		return m.Kind == container.MountBind && !m.ReadOnly
	})
}

// noSetID are the entries that keep a container from making files set-user-id or
// set-group-id. What it writes to a path of the host belongs to a user of the
// host: with such a file, anybody there who can reach the path would become that
// user. The mount is nosuid, but only inside.
//
// The mode of openat2 is in memory that a filter cannot see, and so is all that
// io_uring does. Programs know what to do without these two.
func noSetID() []seccomp.Entry {
	entries := []seccomp.Entry{{Names: []string{"openat2", "io_uring_setup", "io_uring_enter"}, Action: seccomp.Errno(uint16(unix.ENOSYS))}}
	for _, call := range []struct {
		names       []string
		mode, flags int // the indexes of the arguments
	}{
		{names: []string{"chmod", "fchmod", "creat", "mknod"}, mode: 1},
		{names: []string{"fchmodat", "fchmodat2", "mknodat"}, mode: 2},
		{names: []string{"open"}, flags: 1, mode: 2},
		{names: []string{"openat"}, flags: 2, mode: 3},
	} {
		for _, bit := range []uint64{unix.S_ISUID, unix.S_ISGID} {
			e := seccomp.Entry{
				Names: call.names, Action: seccomp.Errno(uint16(unix.EPERM)),
				Args: []seccomp.Arg{{Index: call.mode, Op: seccomp.MaskedEqual, Value: bit, Want: bit}},
			}
			if call.flags == 0 {
				entries = append(entries, e)
				continue
			}
			// Without one of these there is no mode, whatever lies in its place.
			for _, create := range []uint64{unix.O_CREAT, unix.O_TMPFILE &^ unix.O_DIRECTORY} {
				flag := seccomp.Arg{Index: call.flags, Op: seccomp.MaskedEqual, Value: create, Want: create}
				e.Args = []seccomp.Arg{e.Args[0], flag}
				entries = append(entries, e)
			}
		}
	}
	return entries
}
