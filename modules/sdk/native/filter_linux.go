package native

import (
	"fmt"
	"strings"
	"sync"

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
	profile string // its text; empty: the default
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
	if cfg.Seccomp == "unconfined" {
		return seccomp.Program{}, nil
	}
	key := filterKey{caps: caps}
	if custom(cfg) {
		key.profile = cfg.SeccompProfile
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	program, ok := f.compiled[key]
	if ok {
		return program, nil
	}
	profile := seccomp.Default()
	if custom(cfg) {
		var err error
		if profile, err = seccomp.Parse([]byte(key.profile)); err != nil {
			return seccomp.Program{}, fmt.Errorf("%s: %w", cfg.Seccomp, err)
		}
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
