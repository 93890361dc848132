package command

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/supervise"
)

func newRestart(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "restart [NAME…]",
		Short: "Stop components and start them again as they are",
		Long: `restart stops the named components, or all but jobs, and starts them again: what
needs others stops first and starts last. What needs a named one and is not named
goes on. They stay as they were deployed; run brings what has changed in the file.`,
		Example:           examples("ctst restart", "ctst restart --timeout 2s api"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := sdk.StopOptions{Names: args, Timeout: timeout}
			switch {
			case timeout < 0:
				return usage("--timeout %s: a time is wanted; 0 kills at once", timeout)
			case cmd.Flags().Changed("timeout") && timeout == 0:
				opts.Timeout = -1 * time.Second
			}
			return a.control(cmd.Context(), args, func(ctx context.Context, eng *sdk.Engine, onEvent func(supervise.Event)) error {
				opts.OnEvent = onEvent
				return eng.Restart(ctx, opts)
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "kill what has not ended after this `time` (default each component's own)")
	return cmd
}

func newKill(a *app) *cobra.Command {
	name := "KILL"
	cmd := &cobra.Command{
		Use:   "kill NAME…",
		Short: "Send components a signal",
		Long: `kill ends all processes of the named components at once, and their restart policy
does not bring them back. Another signal goes to the first process of each, which
has to catch it: what it does not catch the kernel drops.`,
		Example:           examples("ctst kill api", "ctst kill -s HUP web api"),
		Args:              arguments(1, -1, "at least one component"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(cmd.Context(), args, func(ctx context.Context, eng *sdk.Engine, onEvent func(supervise.Event)) error {
				return eng.Signal(ctx, args, name, onEvent)
			})
		},
	}
	cmd.Flags().StringVarP(&name, "signal", "s", name, "the `signal`: a name, with or without SIG, or a number")
	return cmd
}

func newPause(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "pause [NAME…]",
		Short: "Freeze components",
		Long: `pause freezes all processes of the named components, or of all that run, until
unpause. They keep their memory, ports and connections, and do nothing. It needs a
cgroup of each component's own: ctst doctor tells whether there are such.`,
		Example:           examples("ctst pause api", "ctst pause"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(cmd.Context(), args, func(ctx context.Context, eng *sdk.Engine, onEvent func(supervise.Event)) error {
				return eng.Pause(ctx, args, onEvent)
			})
		},
	}
}

func newUnpause(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "unpause [NAME…]",
		Short:             "Let paused components go on",
		Long:              `unpause lets the named components, or all that are paused, go on where they were.`,
		Example:           examples("ctst unpause api", "ctst unpause"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.control(cmd.Context(), args, func(ctx context.Context, eng *sdk.Engine, onEvent func(supervise.Event)) error {
				return eng.Resume(ctx, args, onEvent)
			})
		},
	}
}

// control does something with components and says how it goes.
func (a *app) control(ctx context.Context, names []string, do func(context.Context, *sdk.Engine, func(supervise.Event)) error) error {
	ctx, cancel := signal.NotifyContext(ctx, stopSignals...)
	defer cancel()
	eng, list, err := a.openNamed(ctx, names)
	if err != nil {
		return err
	}
	talk := a.talk()
	doing := render.NewStopping(talk, componentNames(list))
	err = do(ctx, eng, doing.Event)
	talk.Status("")
	if err == nil && doing.Count() == 0 {
		talk.Line("Nothing had to be done.")
	}
	return a.mendControl(err)
}

// mendControl says what to do about an error of controlling components.
func (a *app) mendControl(err error) error {
	switch {
	case errors.Is(err, supervise.ErrNotRunning):
		return &problem{err: err, mend: []string{a.self() + " run -d starts it; " + a.self() + " logs shows why it ended"}}
	case errors.Is(err, sdk.ErrNothingRuns):
		return &problem{err: err, mend: []string{a.self() + " run -d starts it"}}
	case errors.Is(err, supervise.ErrComponent):
		return &problem{err: err, mend: []string{a.self() + " logs shows what they wrote"}}
	}
	return err
}

func newWait(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "wait NAME…",
		Short: "Wait until components have ended, and print their exit codes",
		Long: `wait waits until the named components have ended and will not be restarted, and
prints the exit code of each, one a line. It exits with the first of them that is
not zero: 128 and the signal's number for what a signal ended.`,
		Example:           examples("ctst wait migrate", "ctst wait worker-1 worker-2"),
		Args:              arguments(1, -1, "at least one component"),
		ValidArgsFunction: a.completeNames,
		RunE:              func(cmd *cobra.Command, args []string) error { return a.wait(cmd.Context(), args) },
	}
}

func (a *app) wait(ctx context.Context, names []string) error {
	ctx, cancel := signal.NotifyContext(ctx, stopSignals...)
	defer cancel()
	eng, _, err := a.openNamed(ctx, names)
	if err != nil {
		return err
	}
	exits, err := eng.Wait(ctx, names, nil)
	if err != nil {
		return err
	}
	code := 0
	for _, name := range names {
		exit, ok := exits[name]
		switch {
		case !ok:
			return &problem{
				err:  fmt.Errorf("%s has not run yet", name),
				mend: []string{fmt.Sprintf("%s ps -a shows how it is; %[1]s run -d starts it", a.self())},
			}
		case exit.Unknown:
			return fmt.Errorf("%s %s", name, exit)
		case code == 0:
			code = exit.Code
		}
		if _, err := fmt.Fprintln(a.Stdout, exit.Code); err != nil {
			return err
		}
	}
	if code != 0 {
		return &exitError{code: code}
	}
	return nil
}

func newPort(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "port NAME [PORT]",
		Short: "Tell where a component's ports are reached",
		Long: `port lists a component's exposed ports and where this machine listens for them.
With PORT, such as 80 or 53/udp, it prints only the addresses of that one; without
/udp it is a tcp port.`,
		Example:           examples("ctst port web", "ctst port web 8080"),
		Args:              arguments(1, 2, "a component and at most one port"),
		ValidArgsFunction: a.completeOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.port(cmd.Context(), args[0], strings.Join(args[1:], ""))
		},
	}
}

func (a *app) port(ctx context.Context, name, port string) error {
	_, list, err := a.openNamed(ctx, []string{name})
	if err != nil {
		return err
	}
	wanted := port
	if port != "" && !strings.Contains(port, "/") {
		wanted += "/tcp"
	}
	found := false
	for _, c := range list {
		if string(c.ID) != name {
			continue
		}
		for _, e := range c.Expose {
			inside := fmt.Sprintf("%d/%s", e.ContainerPort, e.Protocol)
			if wanted != "" && wanted != inside {
				continue
			}
			found = true
			text := render.Listening(e)
			if wanted == "" {
				text = inside + " → " + text
			}
			if _, err := fmt.Fprintln(a.Stdout, text); err != nil {
				return err
			}
		}
	}
	switch {
	case found:
		return nil
	case port == "":
		return &problem{
			err: fmt.Errorf("%s exposes no port", name), mend: []string{fmt.Sprintf("in the file: EXPOSE 8080:80 TO %s", name)},
		}
	}
	return &problem{
		err: fmt.Errorf("%s does not expose %s", name, wanted), mend: []string{fmt.Sprintf("%s port %s lists what it does", a.self(), name)},
	}
}

func newInspect(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect NAME",
		Short: "Tell all that is known about a component, as JSON",
		Long: `inspect prints a JSON object with what a component was made from, its state, its
processes, address, use of resources, limits that do not hold here, and where its
logs and volumes lie. Secrets are shown as references.`,
		Example:           examples("ctst inspect web", "ctst inspect web | jq .usage"),
		Args:              arguments(1, 1, "one component"),
		ValidArgsFunction: a.completeOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			eng, _, err := a.openNamed(cmd.Context(), args)
			if err != nil {
				return err
			}
			in, err := eng.Inspect(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return a.json(in)
		},
	}
}

// completeOne offers components for the first argument, and nothing for others.
func (a *app) completeOne(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeNames(cmd, args, typed)
}
