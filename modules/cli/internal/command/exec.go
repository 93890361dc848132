package command

import (
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

func newExec(a *app) *cobra.Command {
	var opts sdk.ExecOptions
	var interactive, terminal bool
	cmd := &cobra.Command{
		Use:   "exec NAME CMD [ARG…]",
		Short: "Run a command inside a running component",
		Long: `exec runs a command inside a running component, with its environment, user,
folder and limits, and exits with the command's code. 127: there is no such
command; 126: it cannot be executed; 125: it could not be tried.

Flags stand before NAME; all after it belongs to the command.`,
		Example: examples("ctst exec web /bin/ls -l /srv", "echo hi | ctst exec -i -e LANG=C store /bin/cat"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.completeNames(cmd, args, typed)
		},
		Args: arguments(2, -1, "a component and a command"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if terminal {
				return &exitError{code: codeEngine, err: &problem{
					err:  errors.New("exec -t: this version gives no terminal to what it runs"),
					mend: []string{"leave -t away; -i passes the standard input"},
				}}
			}
			if err := a.completeEnv(opts.Env); err != nil {
				return err
			}
			opts.Args = args[1:]
			opts.Stdout, opts.Stderr = a.Stdout, a.Stderr
			if interactive {
				opts.Stdin = a.Stdin
			}
			return a.exec(cmd.Context(), args[0], opts)
		},
	}
	flags := cmd.Flags()
	flags.SetInterspersed(false)
	flags.BoolVarP(&interactive, "interactive", "i", false, "pass the standard input")
	flags.BoolVarP(&terminal, "tty", "t", false, "a terminal (not in this version)")
	flags.StringArrayVarP(&opts.Env, "env", "e", nil, "set a `variable`: KEY=value, or KEY to pass yours")
	flags.StringVarP(&opts.WorkDir, "workdir", "w", "", "the `folder` to run in")
	flags.StringVarP(&opts.User, "user", "u", "", "the `user` to run as: a name, a uid or uid:gid")
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

func (a *app) exec(ctx context.Context, name string, opts sdk.ExecOptions) error {
	eng, err := a.open()
	if err != nil {
		return &exitError{code: codeEngine, err: err}
	}
	// The process decides what a signal means; we end when it does.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, append(stopSignals, syscall.SIGQUIT)...)
	defer signal.Stop(signals)
	opts.Signals = signals

	exit, err := eng.Exec(ctx, name, opts)
	switch {
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
		return &exitError{code: codeEngine, err: errors.New("the command ended, how is not known")}
	case exit.Code != 0:
		return &exitError{code: exit.Code}
	}
	return nil
}
