package plan

import (
	"bytes"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/containust/containust/modules/sdk/state"
)

// savedFormat and savedVersion begin a file that holds a saved plan.
const (
	savedFormat  = "containust plan"
	savedVersion = 1
)

// maxSaved bounds a file that is read as a saved plan.
const maxSaved = 256 << 20

// Saved is a plan as a file holds it, to be carried out later: exactly, or not
// at all. It says what was planned by digests under the project's key, so that
// it neither holds secrets nor lets anybody test a guess.
type Saved struct {
	Made       time.Time            `json:"made"`
	StateDir   string               `json:"state_dir"`  // absolute
	Inputs     map[string]string    `json:"inputs"`     // absolute path -> digest of each .ctst file
	Components map[string]Component `json:"components"` // by name; removed ones too
	Plan       Document             `json:"plan"`       // for people and programs to read; not what is compared

	seal    string
	content []byte // what the seal is of; set by ReadSaved
}

// envelope is the file around a saved plan.
type envelope struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	Seal    string          `json:"seal"` // HMAC of the content, without blanks, under the project's key
	Content json.RawMessage `json:"content"`
}

// Component is what a saved plan holds about one component.
type Component struct {
	Action Action `json:"action"`
	Wants  string `json:"wants,omitempty"` // what the file wants; empty for what is removed
	Has    string `json:"has,omitempty"`   // what the project had; empty for nothing
}

// Components returns what a plan does to each component, in the form in which
// plans are compared. A component that its own restart policy is about to start
// counts as running: whether a plan is made in that moment is chance.
func Components(key []byte, p *Plan, desired []Desired, st *state.State) map[string]Component {
	all := make(map[string]Component, len(p.Changes))
	for _, c := range p.Changes {
		have := st.Components[c.Name]
		action := c.Action
		if action == Start && have.Restarting {
			action = Keep
			if len(c.Reasons) > 1 {
				action = Update
			}
		}
		all[c.Name] = Component{Action: action, Has: identity(key, have)}
	}
	for _, d := range desired {
		c := all[d.Config.Name]
		c.Wants = wants(key, d)
		all[d.Config.Name] = c
	}
	return all
}

// Fingerprint identifies what a plan does. Two plans with one fingerprint bring
// the same project to the same end.
func Fingerprint(key []byte, components map[string]Component) string { return sum(key, components) }

// Write writes the plan to a file that only its owner may read. A saved plan
// that is there is replaced at once or not at all; anything else that is there
// is left alone, and a [*FileError].
func (s *Saved) Write(path string, key []byte) error {
	if err := replaceable(path); err != nil {
		return err
	}
	content, err := json.Marshal(s)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(envelope{
		Format: savedFormat, Version: savedVersion, Seal: mac(key, content), Content: content,
	}, "", "  ")
	if err != nil {
		return err
	}
	return state.WriteFile(path, append(text, '\n'), 0o600)
}

// replaceable makes sure that nothing is lost by writing a plan to path.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return &FileError{Path: path, Reason: "is not a regular file"}
	case info.Size() == 0:
		return nil
	}
	var file *FileError
	if _, err = ReadSaved(path); errors.As(err, &file) {
		return &FileError{Path: path, Reason: "is there already and no saved plan of this version: it is not overwritten"}
	}
	return err
}

// FileError says why a file is no saved plan that can be used.
type FileError struct {
	Path   string
	Reason string
	Err    error // may be nil
}

func (e *FileError) Error() string {
	text := fmt.Sprintf("%s %s", e.Path, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause, or nil.
func (e *FileError) Unwrap() error { return e.Err }

// ReadSaved reads a saved plan. A file that holds none, a damaged one, or one of
// a later version is a [*FileError]. Whether the plan is the project's own, and
// as it was written, is found by [Saved.Check].
func ReadSaved(path string) (*Saved, error) {
	// Looked at before it is opened: opening a pipe would wait.
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read the saved plan: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, &FileError{Path: path, Reason: "is not a regular file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the saved plan: %w", err)
	}
	defer f.Close() // only read from
	text, err := io.ReadAll(io.LimitReader(f, maxSaved+1))
	if err != nil {
		return nil, fmt.Errorf("read the saved plan: %w", err)
	}
	if len(text) > maxSaved {
		return nil, &FileError{Path: path, Reason: "is too large for a saved plan"}
	}
	return parseSaved(path, text)
}

func parseSaved(path string, text []byte) (*Saved, error) {
	var file struct {
		envelope
		FormatVersion int `json:"format_version"` // of what --json prints
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, &FileError{Path: path, Reason: "is no saved plan, or damaged", Err: err}
	}
	switch {
	case file.Format != savedFormat && file.FormatVersion != 0:
		return nil, &FileError{Path: path, Reason: "is what `ctst plan --json` prints, which is for reading; `ctst plan --out FILE` saves a plan"}
	case file.Format != savedFormat:
		return nil, &FileError{Path: path, Reason: "is no saved plan; `ctst plan --out FILE` saves one"}
	case file.Version > savedVersion:
		return nil, &FileError{Path: path, Reason: fmt.Sprintf("was saved by a later version of ctst (format %d, this one knows %d)", file.Version, savedVersion)}
	case file.Version < 1:
		return nil, &FileError{Path: path, Reason: "is damaged: it has no version"}
	}
	var content bytes.Buffer
	s := &Saved{seal: file.Seal}
	err := json.Compact(&content, file.Content)
	if err == nil {
		err = json.Unmarshal(file.Content, s)
	}
	if err != nil {
		return nil, &FileError{Path: path, Reason: "is damaged", Err: err}
	}
	s.content = content.Bytes()
	return s, nil
}

// Check makes sure that the plan is of the project with this state folder and
// key, and that nobody changed it since it was written. path is for the error,
// a [*FileError].
func (s *Saved) Check(path, stateDir string, key []byte) error {
	if filepath.Clean(s.StateDir) != filepath.Clean(stateDir) {
		return &FileError{Path: path, Reason: fmt.Sprintf("was made for another project: its state is in %s, this one's in %s", s.StateDir, stateDir)}
	}
	if !hmac.Equal([]byte(mac(key, s.content)), []byte(s.seal)) {
		return &FileError{Path: path, Reason: "is not as it was saved: it was edited or damaged, or the project's state was removed since"}
	}
	return nil
}

// StaleError says that a saved plan is not what would happen now.
type StaleError struct {
	Inputs  []string // .ctst files that are not what they were
	Reasons []string // a line for each component that differs
}

func (e *StaleError) Error() string {
	text := "the saved plan is not what would happen now"
	if len(e.Inputs) > 0 {
		text += "; changed since: " + strings.Join(e.Inputs, ", ")
	}
	return text + "\n" + strings.Join(e.Reasons, "\n")
}

// Compare makes sure that what would happen now is what was planned. The error
// is a [*StaleError].
func (s *Saved) Compare(now map[string]Component, inputs map[string]string) error {
	stale := &StaleError{}
	names := slices.Concat(slices.Collect(maps.Keys(s.Components)), slices.Collect(maps.Keys(now)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		planned, wasThere := s.Components[name]
		actual, isThere := now[name]
		if planned == actual && wasThere == isThere {
			continue
		}
		stale.Reasons = append(stale.Reasons, name+": "+deviation(planned, actual, wasThere, isThere))
	}
	if len(stale.Reasons) == 0 {
		return nil
	}
	for path, digest := range s.Inputs {
		if inputs[path] != digest {
			stale.Inputs = append(stale.Inputs, path)
		}
	}
	slices.Sort(stale.Inputs)
	return stale
}

// deviation says how a component differs from what was planned.
func deviation(planned, actual Component, wasThere, isThere bool) string {
	var parts []string
	switch {
	case !wasThere:
		return fmt.Sprintf("not in the plan, and now to %s", actual.Action)
	case !isThere:
		return fmt.Sprintf("planned to %s, and now neither in the file nor in the project", planned.Action)
	case planned.Action != actual.Action:
		parts = append(parts, fmt.Sprintf("planned to %s, and now to %s", planned.Action, actual.Action))
	}
	if planned.Wants != actual.Wants {
		parts = append(parts, "what is wanted of it changed (the file, the environment, its image, a file or a secret)")
	}
	if planned.Has != actual.Has {
		parts = append(parts, "the project has another one than when the plan was made")
	}
	return strings.Join(parts, "; ")
}
