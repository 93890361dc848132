// Package compose turns Compose files into .ctst source.
//
//	result, err := compose.Convert(ctx, []string{"compose.yaml"}, compose.Options{
//		Output:    "app.ctst",
//		LookupEnv: os.LookupEnv,
//	})
//	if err != nil {
//		return err // of type *compose.Error where the file is to blame
//	}
//	for _, r := range result.Remarks {
//		fmt.Fprintln(os.Stderr, r)
//	}
//	os.Stdout.Write(result.Source)
//
// What a Compose file says either has its place in the source, or is a
// [Remark] with its line that also stands as a comment beside the component.
// The table of [Attributes] says which of the two each attribute is.
//
// Merging, extending, the short forms and the types of Compose are those of
// compose-go. Reading is done here, for three reasons: the lines of the file
// are needed, ${VARIABLE} is kept as ${env.VARIABLE} where .ctst can have it,
// and the loader of compose-go brings a JSON schema that takes 4 ms when a
// program starts, whether it converts or not.
//
// The package runs on every platform, needs no privileges, writes nothing, and
// may be called from any number of goroutines.
package compose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
)

// Options say what to convert and where it is. The zero value converts the
// files on disk for the current folder, with an empty environment.
type Options struct {
	// Output is the file that the source will be written to. Relative host
	// paths are made relative to its folder. Empty: the current folder.
	Output string

	// Profiles are the profiles of Compose that are active; "*" is all of
	// them. Services of other profiles are left out, with a remark.
	Profiles []string

	// EnvFiles take the place of the .env beside the first Compose file.
	EnvFiles []string

	// LookupEnv is the environment for the variables whose value must be
	// known now; it wins over EnvFiles. nil: empty.
	LookupEnv func(name string) (string, bool)

	// ReadFile reads the Compose files and what they include, extend and
	// take variables from. nil: from disk, regular files only.
	ReadFile func(name string) ([]byte, error)

	// Exists tells whether a host path is there. Compose makes folders that
	// are missing, ctst does not, and a remark says so. nil: asks the disk.
	Exists func(name string) bool
}

// Result is a converted project.
type Result struct {
	Source   []byte // .ctst, formatted
	Services int    // how many components the source has
	Remarks  []Remark
}

// Losses returns the remarks about what the source does not say.
func (r *Result) Losses() []Remark {
	var list []Remark
	for _, m := range r.Remarks {
		if m.Lost {
			list = append(list, m)
		}
	}
	return list
}

// Remark is something to know about an attribute of a Compose file.
type Remark struct {
	File      string // as it was named; empty: of no file
	Line      int    // from 1; 0: not known
	Service   string // empty: of the project
	Attribute string // as Compose calls it: deploy.resources.limits.cpus
	Lost      bool   // the source does not say what the attribute said
	Message   string // what is so, and how to mend it
}

// String returns the remark as one line: compose.yaml:12: web: dns: ….
func (r Remark) String() string {
	text := place{file: r.File, line: r.Line}.String()
	if r.Lost {
		text += "lost: "
	}
	if r.Service != "" {
		text += r.Service + ": "
	}
	if r.Attribute != "" {
		text += r.Attribute + ": "
	}
	return diag.Escape(text + r.Message)
}

// Error is what is wrong with a Compose file, or with a file that it needs.
type Error struct {
	File string
	Line int // from 1; 0: not known
	Err  error
}

// Error returns the place and what is wrong there.
func (e *Error) Error() string { return place{file: e.File, line: e.Line}.String() + e.Err.Error() }

// Unwrap returns the error without its place.
func (e *Error) Unwrap() error { return e.Err }

// Find returns the Compose files of a folder as Compose would choose them: the
// first of compose.yaml, compose.yml, docker-compose.yaml and
// docker-compose.yml, and its override file if there is one. The error matches
// fs.ErrNotExist when there is none.
func Find(dir string) ([]string, error) {
	bases := []string{"compose", "docker-compose"}
	extensions := []string{".yaml", ".yml"}
	first := func(stems ...string) (string, error) {
		for _, stem := range stems {
			for _, extension := range extensions {
				name := filepath.Join(dir, stem+extension)
				switch info, err := os.Stat(name); {
				case err == nil && !info.IsDir():
					return name, nil
				case err != nil && !errors.Is(err, os.ErrNotExist):
					return "", err
				}
			}
		}
		return "", nil
	}
	file, err := first(bases...)
	if err != nil {
		return nil, err
	}
	if file == "" {
		return nil, fmt.Errorf("find a Compose file in %s: %w", dir, os.ErrNotExist)
	}
	stem := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	override, err := first(stem + ".override")
	if err != nil || override == "" {
		return []string{file}, err
	}
	return []string{file, override}, nil
}

// Convert reads Compose files, the later ones over the earlier ones, and
// returns them as .ctst source. The source of the same input is always the
// same. An error of type [*Error] is about the files.
func Convert(ctx context.Context, files []string, opts Options) (*Result, error) {
	if len(files) == 0 {
		return nil, errors.New("convert: no Compose file")
	}
	l := newLoader(ctx, files[0], opts)
	if err := l.readEnvironment(); err != nil {
		return nil, err
	}
	m, err := l.load(files, ".", ".", &scope{}, nil)
	if err != nil {
		return nil, err
	}
	c := newConverter(l, m)
	if err := c.run(); err != nil {
		return nil, err
	}
	return c.result(files)
}
