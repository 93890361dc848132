// Package state holds what a project remembers between commands: which
// containers it has, from which specification each was made, and where each is
// in its life.
//
// It is one JSON file, state.json, in the project's state folder (.containust,
// mode 0700). [Store.Save] replaces it atomically: a crash at any moment leaves
// the old state or the new one. While a project runs, its supervisor is the
// only writer; [Acquire] is the lock that makes it so. Readers need no lock.
//
// A file of an earlier schema is brought up to date as it is read. One of a later
// schema is left alone, see [VersionError]. One that cannot be read as a state is
// a [DamagedError]: whoever holds the lock calls [Store.Recover], which sets it
// aside and returns what is known otherwise.
//
// The package is portable. Methods of Store may be used concurrently; a State
// is plain data of its owner.
package state

import (
	"time"

	"github.com/containust/containust/modules/core/container"
)

// State is the content of state.json.
type State struct {
	Version    int                   `json:"version"`
	Serial     uint64                `json:"serial"`           // grows with every save
	Writer     string                `json:"writer,omitempty"` // the version of ctst that wrote it
	Project    Project               `json:"project"`
	Components map[string]*Component `json:"components"`

	// SetAside is where a damaged state was moved to, until somebody was told.
	SetAside string `json:"set_aside,omitempty"`
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
	BootID   string                 `json:"boot_id,omitempty"`    // of the boot that PID and Start belong to
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
