package rootless

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/namespace"
)

// note says which namespace a file speaks of, and of which boot.
type note struct {
	Boot string       `json:"boot"`
	User namespace.ID `json:"user"`
}

// Note writes down, inside, which namespace this is, for Options.Join of a later
// Run.
func Note(file string) error {
	boot, err := bootID()
	if err != nil {
		return fmt.Errorf("rootless: %w", err)
	}
	own, err := namespace.Current(namespace.User)
	if err != nil {
		return fmt.Errorf("rootless: %w", err)
	}
	id, err := namespace.Identify(own)
	if err := errors.Join(err, own.Close()); err != nil {
		return fmt.Errorf("rootless: %w", err)
	}
	text, err := json.Marshal(note{Boot: boot, User: id})
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("rootless: note the namespace: %w", err)
	}
	return nil
}

func bootID() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(text)), err
}

// find opens the namespace that Note wrote down, or returns nil when it is gone.
// A process is looked for that is in it, or in a namespace of a container below
// it.
func find(file string) (*os.File, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil, nil // there is none, or it is another user's
	}
	var wanted note
	if err == nil {
		err = json.Unmarshal(text, &wanted)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	if boot, err := bootID(); err != nil || boot != wanted.Boot {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	seen := map[namespace.ID]bool{}
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		ns, err := os.Open(filepath.Join("/proc", e.Name(), "ns", "user"))
		if err != nil {
			continue // it ended meanwhile, or is not for this user to look at
		}
		if found, err := above(ns, wanted.User, seen); found != nil || err != nil {
			return found, err
		}
	}
	return nil, nil
}

// above returns ns, or one that it lies in, if that is the wanted one. It takes
// ns over.
func above(ns *os.File, wanted namespace.ID, seen map[namespace.ID]bool) (*os.File, error) {
	for {
		id, err := namespace.Identify(ns)
		if err == nil && id == wanted {
			return ns, nil
		}
		if err != nil || seen[id] {
			return nil, errors.Join(err, ns.Close())
		}
		seen[id] = true
		// It ends with EPERM at the namespace that this process is in.
		parent, parentErr := unix.IoctlRetInt(int(ns.Fd()), unix.NS_GET_PARENT)
		if err := ns.Close(); err != nil || parentErr != nil {
			return nil, err
		}
		ns = os.NewFile(uintptr(parent), "user namespace")
	}
}
