// Package state holds what a project remembers between commands: which
// containers it has, from which specification each was made, and where each is
// in its life.
//
// It is one JSON file, state.json, in the project's state folder (.containust,
// mode 0700). [Store.Save] replaces it atomically: a crash at any moment leaves
// the old state or the new one. While a project runs, its supervisor is the
// only writer; [Acquire] is the lock that makes it so. Readers need no lock.
//
// The package is portable. Methods of Store may be used concurrently; a State
// is plain data of its owner.
package state

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containust/containust/modules/core/container"
)

// Version is the schema version that this package writes.
const Version = 1

// State is the content of state.json.
type State struct {
	Version    int                   `json:"version"`
	Serial     uint64                `json:"serial"` // grows with every save
	Project    Project               `json:"project"`
	BootID     string                `json:"boot_id,omitempty"` // of the boot in which the containers were started
	Components map[string]*Component `json:"components"`
}

// Project identifies the project.
type Project struct {
	Name string `json:"name"`
	ID   string `json:"id"`   // Name and a hash of the state folder: unique on a host
	File string `json:"file"` // absolute path of the root .ctst file
}

// Component is one container of the project.
type Component struct {
	// Spec is the specification that the container was made from, with secrets
	// shown as references.
	Spec container.Config `json:"spec"`
	// Digest identifies the true specification, secrets included: an HMAC under
	// the project's key, so that a guess cannot be tested by who reads it.
	Digest string `json:"digest"`
	// Secrets has, for each property that holds a secret, an HMAC of its true
	// value under the same key: what tells which one changed.
	Secrets map[string]string `json:"secrets,omitempty"`
	// Image is the source and the digest that it had.
	Image Image `json:"image"`
	// DependsOn names the components that must be ready first.
	DependsOn []string `json:"depends_on,omitempty"`

	Status   container.Status       `json:"status"`
	Health   container.HealthStatus `json:"health,omitempty"`
	Reason   string                 `json:"reason,omitempty"`
	PID      int                    `json:"pid,omitempty"`
	Start    uint64                 `json:"start_time,omitempty"` // of the process, in clock ticks since boot: tells a reused pid
	Exit     *container.ExitStatus  `json:"exit,omitempty"`
	Restarts int                    `json:"restarts,omitempty"`

	Address string `json:"address,omitempty"` // in the project's network

	NoCgroup   bool     `json:"no_cgroup,omitempty"`  // see container.Info
	Unenforced []string `json:"unenforced,omitempty"` // see container.Info

	Stopped    bool `json:"stopped,omitempty"`    // it ended because it was told to
	Paused     bool `json:"paused,omitempty"`     // its processes are frozen
	Restarting bool `json:"restarting,omitempty"` // its policy is about to start it again

	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
}

// Image is where a component's layers came from.
type Image struct {
	Source string `json:"source"`
	Digest string `json:"digest"`
}

// Active tells whether the state says that a process runs.
func (c *Component) Active() bool {
	switch c.Status {
	case container.StatusStarting, container.StatusRunning, container.StatusStopping:
		return c.PID != 0
	}
	return false
}

// Active tells whether any component's process runs, as far as the state says.
func (s *State) Active() bool {
	for _, c := range s.Components {
		if c.Active() {
			return true
		}
	}
	return false
}

// Store reads and writes the state of one project.
type Store struct {
	dir string
}

// NewStore returns the store in the state folder dir, which need not exist.
func NewStore(dir string) *Store { return &Store{dir: dir} }

// Dir returns the state folder.
func (s *Store) Dir() string { return s.dir }

// DamagedError says that state.json cannot be read as a state.
type DamagedError struct {
	Path string
	Err  error
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("state file %s is damaged: %v; move it away to start afresh (running containers of the project then have to be ended by hand)", e.Path, e.Err)
}

// Unwrap returns what was wrong with the file.
func (e *DamagedError) Unwrap() error { return e.Err }

// Load reads the state. A project without one has an empty state with a nil
// error; a file that is not a state of this schema is a [*DamagedError].
func (s *Store) Load() (*State, error) {
	path := filepath.Join(s.dir, "state.json")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &State{Version: Version, Components: map[string]*Component{}}, nil
	}
	if err != nil {
		return nil, err
	}
	st := &State{}
	dec := json.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(st); err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	if st.Version != Version {
		return nil, &DamagedError{Path: path, Err: fmt.Errorf("schema version %d, this program knows %d", st.Version, Version)}
	}
	if st.Components == nil {
		st.Components = map[string]*Component{}
	}
	for name, c := range st.Components {
		if c == nil {
			return nil, &DamagedError{Path: path, Err: fmt.Errorf("component %q is null", name)}
		}
	}
	return st, nil
}

// Save writes st and raises its serial. The file is synced before it takes the
// old one's place.
func (s *Store) Save(st *State) error {
	st.Version = Version
	st.Serial++
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(filepath.Join(s.dir, "state.json"), append(text, '\n'), 0o600)
}

// Key returns the project's secret key, 32 random bytes that are made when they
// are first asked for. It is what digests of things that hold secrets are keyed
// with.
func (s *Store) Key() ([]byte, error) {
	path := filepath.Join(s.dir, "key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, 32)
		rand.Read(key) // never fails, says its documentation
		err = WriteFile(path, key, 0o600)
	}
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("%s has %d bytes, not 32; remove it, and everything counts as changed", path, len(key))
	}
	return key, err
}

// WriteFile writes a file so that it is never seen half written, not even
// after a power cut.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = writeSynced(f, content, mode)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

func writeSynced(f *os.File, content []byte, mode fs.FileMode) error {
	_, err := f.Write(content)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}
