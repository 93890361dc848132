package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/supervise"
)

func newAttach(a *app) *cobra.Command {
	noSignals := false
	cmd := &cobra.Command{
		Use:   "attach NAME",
		Short: "Show what a component writes from now on, and pass signals to it",
		Long: `attach shows what a running component writes from now on, and exits with its code
when it ends for good. Ctrl-C goes to the component, and so does a SIGTERM that attach
gets. Ctrl-\ detaches: the component goes on. With --no-signals Ctrl-C detaches too.

A component has no standard input; to type something, exec -it runs a shell in it.`,
		Example:           examples("ctst attach web", "ctst attach --no-signals worker"),
		Args:              arguments(1, 1, "one component"),
		ValidArgsFunction: a.completeOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attach(cmd.Context(), args[0], !noSignals)
		},
	}
	cmd.Flags().BoolVar(&noSignals, "no-signals", false, "keep signals from the component")
	return cmd
}

func (a *app) attach(ctx context.Context, name string, pass bool) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, append(stopSignals, syscall.SIGQUIT)...)
	defer signal.Stop(signals)
	eng, list, err := a.openNamed(ctx, []string{name})
	if err != nil {
		return err
	}
	if firstRunning(list, []string{name}) == "" {
		for _, c := range list {
			if string(c.ID) == name {
				return a.mendControl(&supervise.NotRunningError{Name: name, Status: c.Status, Reason: c.Reason})
			}
		}
	}
	after, err := eng.LogPosition()
	if err != nil {
		return err
	}
	if isTerminal(a.Stderr) {
		hint := `Ctrl-C goes to %s, Ctrl-\ detaches.`
		if !pass {
			hint = "Ctrl-C detaches from %s."
		}
		a.talk().Line(hint, name)
	}
	ctx, detach := context.WithCancel(ctx)
	defer detach()
	type result struct {
		exit container.ExitStatus
		err  error
	}
	ended := make(chan result, 1)
	go func() {
		var r result
		r.exit, r.err = a.showUntilEnd(ctx, eng, name, after)
		ended <- r
	}()
	for {
		select {
		case r := <-ended:
			switch {
			case r.err != nil:
				return r.err
			case r.exit.Unknown:
				return fmt.Errorf("%s %s", name, r.exit)
			case r.exit.Code != 0:
				return &exitError{code: r.exit.Code}
			}
			return nil
		case sig := <-signals:
			s, known := sig.(syscall.Signal)
			if !pass || !known || s == syscall.SIGQUIT || s == syscall.SIGHUP {
				detach()
				<-ended
				return nil
			}
			a.passSignal(ctx, eng, name, s)
		}
	}
}

// passSignal gives a component a signal that this program got. Of one that it does
// not catch it is told, and no more: the next may be another.
func (a *app) passSignal(ctx context.Context, eng *sdk.Engine, name string, sig syscall.Signal) {
	err := eng.Signal(ctx, []string{name}, fmt.Sprint(int(sig)), nil)
	if err != nil && !errors.Is(err, supervise.ErrNotRunning) { // its end is about to be seen
		a.say(err)
	}
}

// showUntilEnd shows what a component writes until it has ended for good.
func (a *app) showUntilEnd(ctx context.Context, eng *sdk.Engine, name string, after sdk.LogPosition) (container.ExitStatus, error) {
	logs := render.NewLogs(a.Stdout, a.style(a.Stdout), render.LogOptions{Raw: !isTerminal(a.Stdout)})
	err := eng.Logs(ctx, sdk.LogOptions{Names: []string{name}, Follow: true, After: after}, logs.Line)
	if err != nil || ctx.Err() != nil {
		return container.ExitStatus{}, err
	}
	exits, err := eng.Wait(ctx, []string{name}, nil)
	return exits[name], err
}
