package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containust/containust/modules/core/capability"
	"github.com/containust/containust/modules/core/seccomp"
	"golang.org/x/sys/unix"
)

func (s *Spec) check() error {
	switch {
	case s.Root == nil:
		return errors.New("sandbox: the specification has no root file system")
	case s.Network != nil && s.HostNetwork:
		return errors.New("sandbox: the specification has both a network namespace and the host's")
	case len(s.Hostname) > 64:
		return fmt.Errorf("sandbox: the host name %q is longer than 64 bytes", s.Hostname)
	}
	paths := slices.Concat(s.Masked, s.ReadOnly)
	for _, m := range s.Mounts {
		paths = append(paths, m.Target)
		if err := noNUL("mount "+m.Target, append(m.Options, m.Type)...); err != nil {
			return err
		}
	}
	for _, p := range paths {
		if !path.IsAbs(p) || path.Clean(p) == "/" {
			return fmt.Errorf("sandbox: %q must be an absolute path below the root", p)
		}
	}
	if err := noNUL("paths", append(paths, s.Hostname)...); err != nil {
		return err
	}
	return s.Command.check()
}

func (s *ExecSpec) check() error {
	if s.Terminal != nil && (s.Stdin != nil || s.Stdout != nil || s.Stderr != nil) {
		return errors.New("sandbox: the specification has both a terminal and standard streams")
	}
	return s.Command.check()
}

func (c *Command) check() error {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return errors.New("sandbox: the specification has no program")
	}
	if c.Dir != "" && !path.IsAbs(c.Dir) {
		return fmt.Errorf("sandbox: the working directory %q is not absolute", c.Dir)
	}
	if err := checkFilter(c); err != nil {
		return err
	}
	if c.UID == ^uint32(0) || c.GID == ^uint32(0) {
		return errors.New("sandbox: 4294967295 is no user or group id")
	}
	return noNUL("the command", slices.Concat(c.Args, c.Env, []string{c.Dir})...)
}

// checkFilter finds what would only show when the filter is at work already.
func checkFilter(c *Command) error {
	switch n := len(c.Filter.Instructions); {
	case n == 0:
		return nil
	case n > seccomp.MaxInstructions:
		return fmt.Errorf("sandbox: the system call filter has %d instructions, and the kernel takes %d", n, seccomp.MaxInstructions)
	case c.Filter.NoExec:
		return errors.New("sandbox: the system call filter does not let execve happen, so no program could be started; allow it in the profile")
	case c.AllowNewPrivileges && !c.Capabilities.Has(capability.SYS_ADMIN):
		return errors.New("sandbox: a system call filter cannot go with new privileges: it would confuse set-uid programs; leave out one of the two, or add CAP_SYS_ADMIN")
	}
	return nil
}

// noNUL refuses what a C string would cut short.
func noNUL(what string, words ...string) error {
	for _, w := range words {
		if strings.ContainsRune(w, 0) {
			return fmt.Errorf("sandbox: %s: %q contains a NUL byte: %w", what, w, unix.EINVAL)
		}
	}
	return nil
}
