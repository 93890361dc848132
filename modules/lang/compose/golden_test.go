package compose

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/lang/resolve"
	"github.com/containust/containust/modules/lang/stack"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// TestGolden converts compose.yaml of each archive, with the archive's other
// files beside it. "options" holds what differs from the zero Options, "env"
// the environment and "set" what is set beside it when the source is run, as
// NAME=value lines. "want.ctst" is the source and
// "want.remarks" what was said. Every source resolves, without a warning.
func TestGolden(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(archives), 25)
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			require.NoError(t, err)
			files := contents(archive)
			options := optionsOf(files)
			result, err := Convert(context.Background(), options.files, options.Options)
			require.NoError(t, err)
			again, err := Convert(context.Background(), options.files, options.Options)
			require.NoError(t, err)
			require.Equal(t, string(result.Source), string(again.Source))

			var said strings.Builder
			for _, r := range result.Remarks {
				fmt.Fprintln(&said, r)
			}
			got := map[string]string{"want.ctst": string(result.Source), "want.remarks": said.String()}
			if *update {
				archive.Files = archive.Files[:inputs(archive)]
				for _, want := range []string{"want.ctst", "want.remarks"} {
					archive.Files = append(archive.Files, txtar.File{Name: want, Data: []byte(got[want])})
				}
				require.NoError(t, os.WriteFile(name, txtar.Format(archive), 0o644))
			}
			for want, text := range got {
				if !*update {
					require.Equal(t, files[want], text)
				}
			}
			st := load(t, result.Source, files, options.Options)
			require.Len(t, st.Components, result.Services)
		})
	}
}

// inputs counts the files in front of those that are compared.
func inputs(archive *txtar.Archive) int {
	for i, f := range archive.Files {
		if strings.HasPrefix(f.Name, "want.") {
			return i
		}
	}
	return len(archive.Files)
}

func contents(archive *txtar.Archive) map[string]string {
	files := map[string]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
	}
	return files
}

// goldenOptions are the options of an archive.
type goldenOptions struct {
	Options
	files []string
}

func optionsOf(files map[string]string) goldenOptions {
	env := pairs(files["env"])
	o := goldenOptions{files: []string{"compose.yaml"}, Options: Options{
		ReadFile: func(name string) ([]byte, error) {
			if text, ok := files[filepath.ToSlash(name)]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
		Exists: func(name string) bool {
			for file := range files {
				if name == "." {
					return true
				}
				if name = filepath.ToSlash(name); file == name || strings.HasPrefix(file, name+"/") {
					return true
				}
			}
			return false
		},
		LookupEnv: func(name string) (string, bool) {
			v, ok := env[name]
			return v, ok
		},
	}}
	for line := range strings.Lines(files["options"]) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); name {
		case "files":
			o.files = strings.Fields(value)
		case "output":
			o.Output = value
		case "profiles":
			o.Profiles = strings.Fields(value)
		case "env-files":
			o.EnvFiles = strings.Fields(value)
		}
	}
	return o
}

func pairs(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			m[name] = value
		}
	}
	return m
}

// load resolves a source, with all secrets and the variables of .env set.
func load(t *testing.T, source []byte, files map[string]string, opts Options) *stack.Stack {
	t.Helper()
	beside := pairs(files[".env"] + files["set"])
	st, found := resolve.Load(context.Background(), "out.ctst", resolve.Options{
		ReadFile: func(string) ([]byte, error) { return source, nil },
		LookupEnv: func(name string) (string, bool) {
			if v, ok := opts.LookupEnv(name); ok {
				return v, true
			}
			v, ok := beside[name]
			return v, ok
		},
		EnvFile:      map[string]string{"HOME": "/home/someone"},
		LookupSecret: func(string) (string, error) { return "secret", nil },
	})
	require.Empty(t, found, "%s", source)
	return st
}
