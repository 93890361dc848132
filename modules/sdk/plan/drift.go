package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk/state"
)

// Found tells what components lack though the state says that they have it, by
// name.
type Found map[string]Missing

// Missing is what one life of a component lacks.
type Missing struct {
	Started time.Time `json:"started"`           // that life; what it lacks says nothing about another
	Volumes []string  `json:"volumes,omitempty"` // named volumes whose folder is gone
	Image   bool      `json:"image,omitempty"`   // a layer of its image is gone from the store
}

// of returns what the component lacks in its present life.
func (f Found) of(name string, have *state.Component) Missing {
	if m := f[name]; m.Started.Equal(have.Started) {
		return m
	}
	return Missing{}
}

// VolumeDir is the folder of a named volume in a project's state folder.
func VolumeDir(stateDir, name string) string { return filepath.Join(stateDir, "volumes", name) }

// Look finds what the components in st lack of what they were started with. It
// changes nothing. What is missing must be looked for before images are
// imported, which brings their layers back.
func Look(stateDir string, st *state.State) (Found, error) {
	found := Found{}
	gone := map[string]bool{} // by path: many components share one
	lacks := func(path string) (bool, error) {
		if missing, known := gone[path]; known {
			return missing, nil
		}
		_, err := os.Stat(path)
		gone[path] = errors.Is(err, fs.ErrNotExist)
		if gone[path] {
			err = nil
		}
		return gone[path], err
	}
	for name, c := range st.Components {
		if c.Started.IsZero() {
			continue // a volume comes into being when it is first needed
		}
		m := Missing{Started: c.Started}
		for _, mount := range c.Spec.Mounts {
			if mount.Kind != container.MountVolume || slices.Contains(m.Volumes, mount.Source) {
				continue
			}
			missing, err := lacks(VolumeDir(stateDir, mount.Source))
			if err != nil {
				return nil, fmt.Errorf("look for the volumes of %s: %w", name, err)
			}
			if missing {
				m.Volumes = append(m.Volumes, mount.Source)
			}
		}
		for _, layer := range c.Spec.Layers {
			if layer.Path == "" {
				continue
			}
			missing, err := lacks(layer.Path)
			if err != nil {
				return nil, fmt.Errorf("look for the image of %s: %w", name, err)
			}
			m.Image = m.Image || missing
		}
		if len(m.Volumes) > 0 || m.Image {
			found[name] = m
		}
	}
	return found, nil
}

// reasons says what the component lacks of what the file still wants.
func (m Missing) reasons(d Desired) []Reason {
	var reasons []Reason
	for _, mount := range d.Config.Mounts {
		if mount.Kind == container.MountVolume && slices.Contains(m.Volumes, mount.Source) {
			reasons = append(reasons, Reason{
				Property: "volumes", Drift: true,
				Text: fmt.Sprintf("the folder of volume %q is gone, and what was in it; ctst did not remove it", mount.Source),
			})
		}
	}
	if m.Image {
		reasons = append(reasons, Reason{Property: "image", Text: "it is gone from the store, and is to be imported again", Drift: true})
	}
	return reasons
}
