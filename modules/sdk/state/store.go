package state

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Store reads and writes the state of one project.
type Store struct {
	dir string
}

// NewStore returns the store in the state folder dir, which need not exist.
func NewStore(dir string) *Store { return &Store{dir: dir} }

// Dir returns the state folder.
func (s *Store) Dir() string { return s.dir }

func (s *Store) path() string { return filepath.Join(s.dir, "state.json") }

// previous is the state before the last save.
func (s *Store) previous() string { return filepath.Join(s.dir, "state.json.previous") }

// Make makes the state folder, if it is not there. Where this user may not, the
// error is an [*AccessError].
func (s *Store) Make() error {
	return s.access(os.MkdirAll(s.dir, 0o700))
}

// access makes an error of missing rights one that says what to do.
func (s *Store) access(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &AccessError{Dir: s.dir, Err: err}
	}
	return err
}

// Load reads the state. A project without one has an empty state with a nil
// error. A file that is not a state is a [*DamagedError], one of a later schema
// a [*VersionError], one that this user may not read an [*AccessError].
func (s *Store) Load() (*State, error) {
	st, err := load(s.path())
	if errors.Is(err, fs.ErrNotExist) {
		return empty(), nil
	}
	return st, s.access(err)
}

func empty() *State { return &State{Version: Version, Components: map[string]*Component{}} }

func load(path string) (*State, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var header struct {
		Version int    `json:"version"`
		Writer  string `json:"writer"`
	}
	if err := json.Unmarshal(text, &header); err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	if header.Version > Version {
		return nil, &VersionError{Path: path, Version: header.Version, Writer: header.Writer}
	}
	if text, err = migrate(text, header.Version, steps); err != nil {
		return nil, &DamagedError{Path: path, Err: err}
	}
	st := &State{}
	if err := json.Unmarshal(text, st); err != nil {
		return nil, &DamagedError{Path: path, Err: err}
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

// Recover sets a damaged state aside, as state.json.damaged-TIME, and returns the
// last good one before it, or an empty one, that says where the damaged one is.
// What runs, and how, is then for the backend to say. The caller holds the lock.
func (s *Store) Recover() (*State, error) {
	aside := s.path() + ".damaged-" + time.Now().UTC().Format("20060102T150405Z")
	for name, n := aside, 2; ; n++ {
		if _, err := os.Lstat(aside); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, err
		}
		aside = fmt.Sprintf("%s-%d", name, n) // damaged twice within a second
	}
	if err := os.Rename(s.path(), aside); err != nil {
		return nil, err
	}
	st, err := load(s.previous())
	var damaged *DamagedError
	if errors.Is(err, fs.ErrNotExist) || errors.As(err, &damaged) {
		st, err = empty(), nil
	}
	if err != nil {
		return nil, err
	}
	st.SetAside = aside
	return st, nil
}

// Save writes st and raises its serial. The file is on the disk before it takes
// the old one's place: not even a power cut loses it.
// What it replaces is kept under a second name, for when the file is damaged.
func (s *Store) Save(st *State) error {
	if err := s.keepPrevious(); err != nil {
		return err
	}
	return s.write(st, true)
}

// Note is Save for what is soon followed by one, and takes a tenth of its time: a
// crash of the program leaves st or what was before, a power cut at least what the
// last Save replaced.
func (s *Store) Note(st *State) error { return s.write(st, false) }

func (s *Store) write(st *State, sync bool) error {
	st.Version, st.Writer = Version, writer()
	st.Serial++
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(s.path(), append(text, '\n'), 0o600, sync)
}

// keepPrevious gives the state that is about to be replaced a second name. A file
// system without links does without.
func (s *Store) keepPrevious() error {
	fresh := s.previous() + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(s.path(), fresh); err != nil {
		return nil //nolint:nilerr // there is no state yet, or the file system has no links
	}
	return os.Rename(fresh, s.previous())
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
		err = create(path, key, 0o600)
		if errors.Is(err, fs.ErrExist) { // another process was faster
			key, err = os.ReadFile(path)
		}
	}
	if err == nil && len(key) != 32 {
		err = fmt.Errorf("%s has %d bytes, not 32; remove it, and everything counts as changed", path, len(key))
	}
	return key, s.access(err)
}

// create writes a file that must not be there yet, so that it is never seen half
// written.
func create(path string, content []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = fill(f, content, mode, true)
	if err == nil {
		err = os.Link(f.Name(), path)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return os.Rename(f.Name(), path) // a file system without links
		}
	}
	return errors.Join(err, os.Remove(f.Name()))
}

// WriteFile writes a file so that it is never seen half written, not even
// after a power cut.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	return writeFile(path, content, mode, true)
}

func writeFile(path string, content []byte, mode fs.FileMode, sync bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	err = fill(f, content, mode, sync)
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// fill writes a file's content and closes it.
func fill(f *os.File, content []byte, mode fs.FileMode, sync bool) error {
	_, err := f.Write(content)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && sync {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// DamagedError says that a file of the project cannot be read as what it is to
// be.
type DamagedError struct {
	Path string
	Err  error
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %v; move it away to start afresh", e.Path, e.Err)
}

// Unwrap returns what was wrong with the file.
func (e *DamagedError) Unwrap() error { return e.Err }

// VersionError says that a state was written by a later version of ctst than
// this one. The file is left as it is.
type VersionError struct {
	Path    string
	Version int    // of its schema
	Writer  string // the version of ctst that wrote it, where it says so
}

// Error implements error.
func (e *VersionError) Error() string {
	need := "a newer ctst"
	if e.Writer != "" {
		need = "ctst " + strings.TrimPrefix(e.Writer, "ctst ") + " or newer"
	}
	return fmt.Sprintf("%s has schema version %d, and this ctst knows those up to %d: use %s; the file was left as it is",
		e.Path, e.Version, Version, need)
}

// AccessError says that a state folder is not for this user.
type AccessError struct {
	Dir string
	Err error
}

// Error implements error.
func (e *AccessError) Error() string {
	return fmt.Sprintf("the project's state in %s is not for this user: %v; keep your own elsewhere with --state-dir DIR, or be its owner",
		e.Dir, e.Err)
}

// Unwrap returns the cause, which matches fs.ErrPermission.
func (e *AccessError) Unwrap() error { return e.Err }
