package sdk

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containust/containust/modules/sdk/state"
)

// stateDirName is the state folder beside the root file.
const stateDirName = ".containust"

// defaultFile is what the root file is called if a folder has several.
const defaultFile = "containust.ctst"

// NotFoundError says that no project was found, and where it was looked for.
type NotFoundError struct {
	Dir   string
	Files []string // several .ctst files in Dir, of which none is the default
}

func (e *NotFoundError) Error() string {
	if len(e.Files) > 0 {
		return fmt.Sprintf("%s has several .ctst files (%s): say which one with -f FILE", e.Dir, strings.Join(e.Files, ", "))
	}
	return fmt.Sprintf("no .ctst file in %s, and no project in the folders above it: say which file with -f FILE", e.Dir)
}

// Unwrap returns fs.ErrNotExist.
func (e *NotFoundError) Unwrap() error { return fs.ErrNotExist }

// Find finds a project: that of file if it is not empty; otherwise in dir that
// of containust.ctst, of the file whose state is there, or of the only .ctst
// file; otherwise that of the nearest folder above dir with state. An empty dir
// is the current folder, an empty stateDir .containust beside the file. A file
// that is named need not exist.
func Find(file, dir, stateDir string) (Project, error) {
	if file != "" {
		if dir != "" && !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		return newProject(file, stateDir)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Project{}, err
	}
	if file, err := findIn(dir, stateDir); file != "" || err != nil {
		if err != nil {
			return Project{}, err
		}
		return newProject(file, stateDir)
	}
	for above := filepath.Dir(dir); ; above = filepath.Dir(above) {
		file, err := rememberedFile(filepath.Join(above, stateDirName))
		var damaged *state.DamagedError
		if errors.As(err, &damaged) {
			file, err = findIn(above, stateDir)
		}
		if err != nil {
			return Project{}, err
		}
		if file != "" {
			return newProject(file, stateDir)
		}
		if above == filepath.Dir(above) {
			return Project{}, &NotFoundError{Dir: dir}
		}
	}
}

// findIn returns the root file in dir, or "".
func findIn(dir, stateDir string) (string, error) {
	path := filepath.Join(dir, defaultFile)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if stateDir == "" {
		stateDir = filepath.Join(dir, stateDirName)
	}
	file, err := rememberedFile(stateDir)
	var damaged *state.DamagedError
	if errors.As(err, &damaged) {
		err = nil // whoever opens the project says so
	}
	if file != "" || err != nil {
		return file, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var files []string
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == ".ctst" && !entry.IsDir() {
			files = append(files, entry.Name())
		}
	}
	switch len(files) {
	case 0:
		return "", nil
	case 1:
		return filepath.Join(dir, files[0]), nil
	}
	return "", &NotFoundError{Dir: dir, Files: files}
}

// rememberedFile returns the root file that a state folder belongs to, or "".
func rememberedFile(stateDir string) (string, error) {
	st, err := state.NewStore(stateDir).Load()
	if err != nil {
		return "", err
	}
	return st.Project.File, nil
}

func newProject(file, stateDir string) (Project, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return Project{}, err
	}
	if stateDir == "" {
		stateDir = filepath.Join(filepath.Dir(file), stateDirName)
	}
	if stateDir, err = filepath.Abs(stateDir); err != nil {
		return Project{}, err
	}
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	return Project{
		Project:  state.Project{Name: name, ID: projectID(stateDir), File: file},
		Dir:      filepath.Dir(file),
		StateDir: stateDir,
	}, nil
}

// NamespaceFile is where the supervisor of an ordinary user's project notes the
// namespace that it is in, see rootless.Options.
func (p Project) NamespaceFile() string { return namespaceFile(p.StateDir) }

func namespaceFile(stateDir string) string { return filepath.Join(stateDir, "run", "namespace") }

// projectID names a project on this machine by where its state is: a readable
// part, and a hash that makes it unique. It is safe as a file name.
func projectID(stateDir string) string {
	hash := sha256.Sum256([]byte(stateDir))
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, filepath.Base(filepath.Dir(stateDir)))
	if len(readable) > 24 {
		readable = readable[:24]
	}
	return strings.Trim(readable, "-") + "-" + hex.EncodeToString(hash[:4])
}

// CacheDir returns the folder in which images and imports are kept for all projects of the
// user: $CONTAINUST_CACHE_DIR, else ~/.containust/cache.
func CacheDir() (string, error) {
	if dir := os.Getenv("CONTAINUST_CACHE_DIR"); dir != "" {
		return filepath.Abs(dir)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", errors.Join(errors.New("where to keep images is not known: set HOME or CONTAINUST_CACHE_DIR"), err)
	}
	return filepath.Join(home, stateDirName, "cache"), nil
}
