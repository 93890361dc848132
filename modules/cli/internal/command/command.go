// Package command is the command line: what each command takes, says and
// returns to the shell.
//
//	os.Exit(command.Main(context.Background(), command.IO{
//		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
//		LookupEnv: os.LookupEnv,
//	}))
//
// Standard output is data, standard error is talk. It is portable; what needs
// Linux says so when it is asked for. Commands that work with containers, an
// ordinary user's program runs once more in a namespace where that user is root.
package command

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/envfile"
	"github.com/containust/containust/modules/sdk"
)

// IO is what a command has of the world outside.
type IO struct {
	Args                  []string // without the program's name
	Stdin, Stdout, Stderr *os.File
	LookupEnv             func(string) (string, bool)
}

// Main runs one command and returns its exit code.
func Main(ctx context.Context, stdio IO) int {
	a := &app{IO: stdio}
	root := newRoot(a)
	root.SetArgs(stdio.Args)
	root.SetIn(stdio.Stdin)
	root.SetOut(stdio.Stdout)
	root.SetErr(stdio.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.understood {
		err = flagError(root, err) // cobra does not ask it about flags before the command
	}
	return a.report(err)
}

// app is what the commands share: the streams, and the flags that all have.
type app struct {
	IO
	file, dir, stateDir string
	envFiles            []string
	logLevel            slog.Level
	noColor             bool
	offline             bool
	sources             diag.Sources // of the files that diagnostics name; nil: the disk
	understood          bool         // the command line was, and a command runs
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "ctst",
		Short: "Run containers from one declarative file, without daemon, registry or network",
		Long: `ctst runs containers from one declarative file, without daemon, registry or network.

The file is given with -f; else it is containust.ctst or the only *.ctst file of
the folder, else that of the nearest parent that has a .containust folder.`,
		Example: `  ctst run -d          start what containust.ctst describes, and return
  ctst ps              what runs
  ctst logs -f api     what api says
  ctst stop            stop everything, in order`,
		SilenceErrors:    true,
		SilenceUsage:     true,
		TraverseChildren: true,
		Args:             unknownCommand,
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			a.understood = true
			return a.asRoot(cmd, args)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	root.CompletionOptions.DisableDefaultCmd = true

	flags := root.PersistentFlags()
	flags.StringVar(&a.dir, "project-dir", "", "look for the project in this `folder` instead of the current one")
	flags.StringVar(&a.stateDir, "state-dir", "", "keep the project's state in this `folder` (default .containust beside the file)")
	flags.StringArrayVar(&a.envFiles, "env-file", nil, "take what ${env.NAME} lacks in the environment from this `file`; may be given several times")
	flags.TextVar(&a.logLevel, "log-level", slog.LevelWarn, "log to standard error from this `level` on: debug, info, warn or error")
	flags.BoolVar(&a.offline, "offline", false, "ask nothing of the network: imports come from the cache")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours (also: the variable NO_COLOR)")

	deploy := &cobra.Group{ID: "deploy", Title: "From file to containers:"}
	look := &cobra.Group{ID: "look", Title: "What runs:"}
	machine := &cobra.Group{ID: "machine", Title: "This machine:"}
	root.AddGroup(deploy, look, machine)
	root.SetHelpCommandGroupID(machine.ID)
	add := func(group *cobra.Group, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group.ID
			root.AddCommand(c)
		}
	}
	add(deploy, newRun(a), newPlan(a), newBuild(a), newValidate(a), newFmt(a), newConvert(a), newGraph(a), newSchema(a))
	add(look, newPs(a), newLogs(a), newEvents(a), newExec(a), newStop(a), newRm(a),
		newRestart(a), newKill(a), newPause(a), newUnpause(a), newWait(a), newPort(a), newInspect(a), newCp(a), newAttach(a))
	add(machine, newImages(a), newDoctor(a), newEnable(a), newDisable(a), newLSP(a), newVersion(a), newCompletion(a))
	root.AddCommand(newSupervise())
	for name := range former {
		root.AddCommand(newFormer(name))
	}
	a.fileFlag(root)
	for _, c := range root.Commands() {
		a.fileFlag(c)
	}
	return root
}

// fileFlag gives a command the flag -f FILE, and --file alone where -f means
// something else. It cannot be one persistent flag for that reason. A command
// that takes other files has a flag of its own.
func (a *app) fileFlag(cmd *cobra.Command) {
	if cmd.Flags().Lookup("file") != nil {
		return
	}
	short := "f"
	if cmd.Flags().ShorthandLookup(short) != nil {
		short = ""
	}
	cmd.Flags().StringVarP(&a.file, "file", short, a.file, "the .ctst `file` of the project")
}

// takeFile is for the commands that take the file as their argument too.
func (a *app) takeFile(args []string) error {
	if len(args) == 0 {
		return nil
	}
	if a.file != "" && a.file != args[0] {
		return usage("two files: %s as an argument and %s with -f", args[0], a.file)
	}
	a.file = args[0]
	return nil
}

// open finds the project and opens its engine.
func (a *app) open() (*sdk.Engine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	var vars map[string]string // nil, so that a .env is mentioned, unless a file is given
	if len(a.envFiles) > 0 {
		if vars, err = envfile.Read(a.envFiles, a.LookupEnv); err != nil {
			return nil, err
		}
	}
	eng, err := sdk.Open(sdk.Options{
		File: a.file, Dir: a.dir, StateDir: a.stateDir,
		Offline:    a.offline,
		Supervisor: []string{self, "supervise"},
		LookupEnv:  a.LookupEnv,
		EnvFile:    vars,
		Logger:     a.logger(),
		Notice:     func(text string) { a.talk().Line("%s %s", a.style(a.Stderr).Yellow("note:"), diag.Escape(text)) },
	})
	if err == nil {
		a.sources = eng.Source
	}
	return eng, err
}

func (a *app) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: a.logLevel}))
}

// style is how text for f may look.
func (a *app) style(f *os.File) render.Style {
	if a.noColor || !isTerminal(f) {
		return render.Style{}
	}
	if off, _ := a.LookupEnv("NO_COLOR"); off != "" {
		return render.Style{}
	}
	if kind, _ := a.LookupEnv("TERM"); kind == "dumb" {
		return render.Style{}
	}
	if _, modern := a.LookupEnv("WT_SESSION"); runtime.GOOS == "windows" && !modern {
		return render.Style{} // an old console shows the codes as they are
	}
	return render.Style{Color: true}
}

// talk is for what is said on standard error.
func (a *app) talk() *render.Talk {
	style := a.style(a.Stderr)
	if !style.Color {
		return render.NewTalk(a.Stderr, style, nil)
	}
	return render.NewTalk(a.Stderr, style, func() int {
		width, _, err := term.GetSize(int(a.Stderr.Fd()))
		if err != nil || width < 1 {
			return 80
		}
		return width
	})
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// self is how to call this program for this project again, for texts that say
// what to type next.
func (a *app) self() string {
	text := "ctst"
	add := func(flag, value string) {
		if value != "" {
			text += " " + flag + " " + typed(value)
		}
	}
	add("-f", a.file)
	add("--project-dir", a.dir)
	add("--state-dir", a.stateDir)
	return text + a.selfEnv()
}

// selfEnv are the flags of self that a saved plan does not bring with it.
func (a *app) selfEnv() string {
	text := ""
	for _, file := range a.envFiles {
		text += " --env-file " + typed(file)
	}
	return text
}

// typed is an argument as one types it in a shell.
func typed(text string) string {
	for _, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(`_-./\:@%+=,`, r) {
			return "'" + strings.ReplaceAll(diag.Escape(text), "'", `'\''`) + "'"
		}
	}
	return text
}

// examples are shown in a command's help, one a line.
func examples(lines ...string) string {
	text := ""
	for i, line := range lines {
		if i > 0 {
			text += "\n"
		}
		text += "  " + line
	}
	return text
}

var errInterrupted = errors.New("interrupted")
