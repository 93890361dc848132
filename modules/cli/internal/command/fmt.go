package command

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/format"
	"github.com/containust/containust/modules/lang/parser"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/state"
)

func newFmt(a *app) *cobra.Command {
	f := formatter{app: a}
	cmd := &cobra.Command{
		Use:   "fmt [FILE|DIR]…",
		Short: "Bring files into their canonical form",
		Long: `fmt rewrites files in their canonical form, and prints the names of those that it
changed: four blanks a level, one property a line, = in one column. What they mean
and their comments stay. A list or map whose first entry has a line of its own gets
one entry a line; any other is put on one line.

Without an argument it takes the project's file. A folder stands for all *.ctst
files in it and below, without links; - for standard input, which is written to
standard output. A file with syntax errors is left as it is, and fmt exits with 65.`,
		Example: examples("ctst fmt", "ctst fmt .", "ctst fmt --check . || echo run ctst fmt", "ctst fmt --diff shop.ctst", "ctst fmt - < shop.ctst"),
		RunE:    func(_ *cobra.Command, args []string) error { return f.run(args) },
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "write nothing, print the names of files that would change, and exit with 1 if there are any")
	cmd.Flags().BoolVar(&f.diff, "diff", false, "write nothing, print what would change")
	return cmd
}

// formatter is one call of fmt.
type formatter struct {
	*app
	check, diff bool

	differ bool      // some file was not in its canonical form
	found  diag.List // syntax errors
	failed []error
	stdin  []byte
}

const stdinName = "<stdin>"

func (f *formatter) run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "-":
		if err := f.standardInput(); err != nil {
			return err
		}
	case len(args) == 0:
		project, err := sdk.Find(f.file, f.dir, f.stateDir)
		if err != nil {
			return err
		}
		f.one(shortPath(project.File))
	case f.file != "":
		return usage("files as arguments and %s with -f: leave one of them away", f.file)
	default:
		for _, arg := range args {
			if arg == "-" {
				return usage("standard input (-) stands alone")
			}
			if f.dir != "" && !filepath.IsAbs(arg) {
				arg = filepath.Join(f.dir, arg)
			}
			f.argument(arg)
		}
	}
	return f.result()
}

// result says what went wrong, with the exit code that it means.
func (f *formatter) result() error {
	f.explain(f.found, func(name string) ([]byte, error) {
		if name == stdinName {
			return f.stdin, nil
		}
		return parser.ReadFile(name)
	})
	if err := errors.Join(f.failed...); err != nil {
		if len(f.found) == 0 {
			return err
		}
		f.say(err)
	}
	if n, _ := f.found.Count(); n > 0 {
		f.talk().Line("\n%s; what has errors was left as it is.", render.Count(n, "error"))
		return &exitError{code: codeBadFile}
	}
	if f.check && f.differ {
		return &exitError{code: codeFailed}
	}
	return nil
}

func (f *formatter) standardInput() error {
	var err error
	if f.stdin, err = io.ReadAll(io.LimitReader(f.Stdin, parser.MaxBytes+1)); err != nil {
		return err
	}
	text, ok := f.format(stdinName, f.stdin)
	if !ok {
		return nil
	}
	if f.check || f.diff {
		return f.tell(stdinName, f.stdin, text)
	}
	_, err = f.Stdout.Write(text)
	return err
}

// argument formats a file, or all files in a folder. Links in a folder are
// passed over: they could lead out of it.
func (f *formatter) argument(path string) {
	info, err := os.Stat(path)
	if err != nil {
		f.failed = append(f.failed, err)
		return
	}
	if !info.IsDir() {
		f.one(path)
		return
	}
	// The separator makes a link to a folder the folder.
	root := filepath.Clean(path) + string(filepath.Separator)
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			f.failed = append(f.failed, err)
		case entry.IsDir() && entry.Name() == ".containust" && path != root:
			return filepath.SkipDir
		case filepath.Ext(path) == ".ctst" && entry.Type().IsRegular():
			f.one(path)
		}
		return nil
	})
	if err != nil {
		f.failed = append(f.failed, err)
	}
}

// one formats one file.
func (f *formatter) one(path string) {
	if err := f.rewrite(path); err != nil {
		f.failed = append(f.failed, fmt.Errorf("format %s: %w", path, err))
	}
}

func (f *formatter) rewrite(path string) error {
	// A link stays, and what it leads to is written.
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(target)
	if err != nil {
		return err
	}
	src, err := parser.ReadFile(target)
	if err != nil {
		return err
	}
	text, ok := f.format(path, src)
	if !ok || bytes.Equal(src, text) {
		return nil
	}
	if !f.check && !f.diff {
		if err := replace(target, text, info); err != nil {
			return err
		}
	}
	return f.tell(path, src, text)
}

// format returns the canonical form of a text. It keeps what is wrong with it.
func (f *formatter) format(name string, src []byte) ([]byte, bool) {
	text, found := format.Source(name, src)
	f.found = append(f.found, found...)
	return text, !found.HasErrors()
}

// tell prints what changes, if something does.
func (f *formatter) tell(name string, src, text []byte) error {
	if bytes.Equal(src, text) {
		return nil
	}
	f.differ = true
	if f.diff {
		return render.Diff(f.Stdout, string(diff.Diff(name, src, name, text)), f.style(f.Stdout), isTerminal(f.Stdout))
	}
	_, err := fmt.Fprintln(f.Stdout, diag.Escape(name))
	return err
}

// replace writes a file as a whole, with the mode and owner that it had.
func replace(path string, text []byte, info fs.FileInfo) error {
	// Taking a file's place asks nobody whether it may be written.
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := state.WriteFile(path, text, info.Mode().Perm()); err != nil {
		return err
	}
	return keepOwner(path, info)
}
