package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/supervise"
)

// execution is what exec was asked for.
type execution struct {
	sdk.ExecOptions
	interactive, terminal bool
}

func newExec(a *app) *cobra.Command {
	var e execution
	cmd := &cobra.Command{
		Use:   "exec NAME CMD [ARG…]",
		Short: "Run a command inside a running component",
		Long: `exec runs a command inside a running component, with its environment, user,
folder and limits, and exits with the command's code. 127: there is no such
command; 126: it cannot be executed; 125: it could not be tried.

With -t the command gets a terminal of the component's own, and TERM as it is
here. With -it it is used from this one: every key goes to the command, Ctrl-C
too, and it sees when the window changes. When this terminal goes away, or ctst
is told to end, the command gets a SIGHUP.

Flags stand before NAME; all after it belongs to the command.`,
		Example: examples("ctst exec -it web /bin/sh", "ctst exec web /bin/ls -l /srv", "echo hi | ctst exec -i -e LANG=C store /bin/cat"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeNames(cmd, args, typed)
		},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return &exitError{code: codeUsage, err: &problem{
					err:  fmt.Errorf("exec %s: the command to run in it is missing", args[0]),
					mend: []string{fmt.Sprintf("%s exec -it %s /bin/sh", a.self(), args[0])},
				}}
			}
			return arguments(2, -1, "a component and a command")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.completeEnv(e.Env); err != nil {
				return err
			}
			if e.terminal && !isTerminal(a.Stdin) {
				return &exitError{code: codeEngine, err: &problem{
					err:  errors.New("exec -t: the input device is not a terminal"),
					mend: []string{"leave -t away; -i passes the standard input as it is"},
				}}
			}
			e.Args = args[1:]
			return a.exec(cmd.Context(), args[0], e)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&e.interactive, "interactive", "i", false, "pass the standard input")
	flags.BoolVarP(&e.terminal, "tty", "t", false, "give the command a terminal")
	flags.StringArrayVarP(&e.Env, "env", "e", nil, "set a `variable`: KEY=value, or KEY to pass yours")
	flags.StringVarP(&e.WorkDir, "workdir", "w", "", "the `folder` to run in")
	flags.StringVarP(&e.User, "user", "u", "", "the `user` to run as: a name, a uid or uid:gid")
	return cmd
}

// completeEnv fills in the values of variables that were given by name alone.
func (a *app) completeEnv(env []string) error {
	for i, variable := range env {
		name, _, given := strings.Cut(variable, "=")
		if name == "" {
			return usage("-e %q: KEY=value or KEY is wanted", variable)
		}
		if given {
			continue
		}
		value, ok := a.LookupEnv(name)
		if !ok {
			return usage("-e %s: the variable is not set here, and no value is given", name)
		}
		env[i] = name + "=" + value
	}
	return nil
}

func (a *app) exec(ctx context.Context, name string, e execution) error {
	eng, err := a.open()
	if err != nil {
		return &exitError{code: codeEngine, err: err}
	}
	run := a.execOnStreams
	if e.terminal {
		run = a.execOnTerminal
	}
	exit, err := run(ctx, eng, name, e)
	var ended *exitError
	switch {
	case errors.As(err, &ended):
		return ended
	case errors.Is(err, container.ErrCommandNotFound):
		return &exitError{code: codeNotFound, err: err}
	case errors.Is(err, container.ErrNotExecutable):
		return &exitError{code: codeNotExecutable, err: err}
	case errors.Is(err, supervise.ErrNotRunning):
		return &exitError{code: codeEngine, err: &problem{
			err: err, mend: []string{fmt.Sprintf("%s run -d starts it; %[1]s logs %s shows why it ended", a.self(), name)},
		}}
	case errors.Is(err, fs.ErrNotExist):
		if list, listErr := eng.List(ctx); listErr == nil {
			err = unknownComponent(name, componentNames(list))
		}
		return &exitError{code: codeEngine, err: err}
	case err != nil:
		return &exitError{code: codeEngine, err: err}
	case exit.Unknown:
		return &exitError{code: codeEngine, err: fmt.Errorf("the command %s", exit)}
	case exit.Code != 0:
		return &exitError{code: exit.Code}
	}
	return nil
}

// execOnStreams runs a command with our standard streams.
func (a *app) execOnStreams(ctx context.Context, eng *sdk.Engine, name string, e execution) (exit container.ExitStatus, err error) {
	// The process decides what a signal means; we end when it does.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, append(stopSignals, syscall.SIGQUIT)...)
	defer signal.Stop(signals)
	e.Signals = signals

	ctx, hangUp := context.WithCancelCause(ctx)
	defer hangUp(nil)
	p := pipes{failed: func(err error) { hangUp(notShown(err)) }}
	defer func() { err = cmp.Or(context.Cause(ctx), errors.Join(err, p.finish(ctx.Done()))) }()
	if e.interactive {
		if e.Stdin, err = p.keys(a.Stdin); err != nil {
			return exit, err
		}
	}
	if e.Stdout, err = p.screen(a.Stdout); err != nil {
		return exit, err
	}
	if e.Stderr, err = p.screen(a.Stderr); err != nil {
		return exit, err
	}
	return eng.Exec(ctx, name, e.ExecOptions)
}

// notShown is why an execution ends whose output cannot be shown.
func notShown(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return &exitError{code: signalCode(syscall.SIGPIPE)}
	}
	return &exitError{code: codeEngine, err: fmt.Errorf("show what the command prints: %w", err)}
}
