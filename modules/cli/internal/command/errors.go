package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/parser"
)

// Exit codes; sysexits.h where it has one. A command run in a component brings
// its own.
const (
	codeFailed        = 1
	codeChanges       = 2 // plan --detailed-exitcode
	codeUsage         = 64
	codeBadFile       = 65
	codeUnsupported   = 69
	codeEngine        = 125 // exec, and run of a single component
	codeNotExecutable = 126
	codeNotFound      = 127
	codeSignal        = 128 // and the signal's number
)

// exitError ends the program with a code. Without an error everything has been
// said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// problem is an error with what to do about it, a line each.
type problem struct {
	err  error
	mend []string
}

func (p *problem) Error() string { return p.err.Error() }

func (p *problem) Unwrap() error { return p.err }

// usage says that the command line is wrong.
func usage(format string, args ...any) error {
	return &exitError{code: codeUsage, err: fmt.Errorf(format, args...)}
}

// errJSONQuiet is said by the commands that have both flags.
var errJSONQuiet = usage("--json and --quiet are two forms of one answer: choose one")

// report says what went wrong, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	var exit *exitError
	said := errors.As(err, &exit) && exit.err == nil
	if !said {
		a.say(err)
	}
	return code(err)
}

func (a *app) say(err error) {
	var found diag.Errors
	if errors.As(err, &found) {
		a.diagnostics(diag.List(found))
		return
	}
	talk := a.talk()
	if errors.Is(err, context.Canceled) {
		err = errInterrupted // the rest only says what was under way
	}
	var p *problem
	message, mend := err.Error(), []string(nil)
	if errors.As(err, &p) {
		mend = p.mend
	}
	lines := strings.Split(strings.TrimRight(message, "\n"), "\n")
	talk.Line("%s %s", talk.Style.Red("error:"), diag.Escape(lines[0]))
	for _, line := range lines[1:] {
		talk.Line("  %s", diag.Escape(strings.TrimSpace(line)))
	}
	for i, line := range mend {
		lead := "  mend: "
		if i > 0 {
			lead = "        "
		}
		talk.Line("%s%s", lead, line)
	}
}

// diagnostics prints what was found in the file.
func (a *app) diagnostics(list diag.List) {
	sources := a.sources
	if sources == nil {
		sources = parser.ReadFile
	}
	a.explain(list, sources)
}

// explain prints diagnostics with the lines that they are about.
func (a *app) explain(list diag.List, sources diag.Sources) {
	shown := make(diag.List, 0, len(list))
	for _, d := range list {
		d.Range.File = shortPath(d.Range.File)
		related := make([]diag.Related, 0, len(d.Related))
		for _, r := range d.Related {
			r.Range.File = shortPath(r.Range.File)
			related = append(related, r)
		}
		d.Related = related
		shown = append(shown, d)
	}
	// A terminal that has gone is no reason to do anything else.
	_ = diag.Print(a.Stderr, shown, sources, diag.PrintOptions{Color: a.style(a.Stderr).Color})
}

// shortPath returns a path as a person in the current folder would write it.
func shortPath(path string) string {
	here, err := os.Getwd()
	if err != nil || !filepath.IsAbs(path) {
		return path
	}
	short, err := filepath.Rel(here, path)
	if err != nil || !filepath.IsLocal(short) {
		return path
	}
	return short
}

// code is the exit code that an error means.
func code(err error) int {
	var exit *exitError
	var found diag.Errors
	switch {
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &found):
		return codeBadFile
	case errors.Is(err, errors.ErrUnsupported):
		return codeUnsupported
	case errors.Is(err, errInterrupted), errors.Is(err, context.Canceled):
		return codeSignal + 2
	}
	return codeFailed
}

// flagError says what is wrong with the flags, and suggests the one that was
// meant.
func flagError(cmd *cobra.Command, err error) error {
	var told *exitError
	if errors.As(err, &told) {
		return err
	}
	text := err.Error()
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				known = append(known, f.Name)
			}
		})
		text = "unknown flag -" + name
		if len(name) > 1 {
			text = "unknown flag --" + name
			if near := diag.Nearest(name, known); near != "" {
				text += ": did you mean --" + near + "?"
			}
		}
	}
	return &exitError{code: codeUsage, err: &problem{
		err: errors.New(text), mend: []string{cmd.CommandPath() + " --help"},
	}}
}

// former are commands of other tools that people type first, and what they are
// called here.
var former = map[string]string{
	"up":      "ctst run -d",
	"down":    "ctst stop (ctst rm removes what is left)",
	"apply":   "ctst run -d",
	"destroy": "ctst rm --force (with --volumes the data too)",
	"config":  "ctst validate",
	"top":     "ctst ps",
	"stats":   "ctst ps",
}

// newFormer answers to another tool's command, whatever flags it got.
func newFormer(name string) *cobra.Command {
	return &cobra.Command{
		Use: name, Hidden: true, DisableFlagParsing: true,
		RunE: func(*cobra.Command, []string) error { return usage("`ctst %s` is `%s` here", name, former[name]) },
	}
}

// unknownCommand is for words that are no command.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	word := args[0]
	var known []string
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			known = append(known, c.Name())
		}
	}
	text := fmt.Sprintf("unknown command %q", word)
	if near := diag.Nearest(word, known); near != "" {
		text += fmt.Sprintf(": did you mean `%s %s`?", cmd.CommandPath(), near)
	}
	return &exitError{code: codeUsage, err: &problem{
		err: errors.New(text), mend: []string{cmd.CommandPath() + " --help lists the commands"},
	}}
}

// arguments checks how many arguments a command got. what names them.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && (most < 0 || len(args) <= most) {
			return nil
		}
		text := fmt.Sprintf("`%s` takes %s, not %s", cmd.CommandPath(), what, given(args))
		return &exitError{code: codeUsage, err: &problem{
			err: errors.New(text), mend: []string{cmd.CommandPath() + " --help"},
		}}
	}
}

func given(args []string) string {
	if len(args) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%q", args)
}

// unknownComponent says which components there are.
func unknownComponent(name string, known []string) error {
	text := fmt.Sprintf("there is no component %q", name)
	if near := diag.Nearest(name, known); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	mend := "nothing was deployed yet: ctst run -d"
	if len(known) > 0 {
		mend = "the project has " + strings.Join(known, ", ")
	}
	return &problem{err: &missing{text}, mend: []string{mend}}
}

type missing struct{ text string }

func (m *missing) Error() string { return m.text }

func (m *missing) Unwrap() error { return fs.ErrNotExist }
