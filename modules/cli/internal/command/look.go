package command

import (
	"context"
	"fmt"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
)

func newStop(a *app) *cobra.Command {
	var timeout time.Duration
	var force bool
	cmd := &cobra.Command{
		Use:   "stop [NAME…]",
		Short: "Stop components in order",
		Long: `stop stops everything, or the named components and what depends on them: what
needs others goes first. Each gets its stop signal and its time before it is
killed. Volumes, logs and images stay.`,
		Example:           examples("ctst stop", "ctst stop --timeout 2s api", "ctst stop --force"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts := sdk.StopOptions{Names: args, Timeout: timeout}
			switch {
			case force && cmd.Flags().Changed("timeout"):
				return usage("--force kills at once: leave --timeout away")
			case timeout < 0:
				return usage("--timeout %s: a time is wanted; --force kills at once", timeout)
			case force || cmd.Flags().Changed("timeout") && timeout == 0:
				opts.Timeout = -1 * time.Second
			}
			return a.stop(cmd.Context(), opts)
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "kill what has not ended after this `time` (default each component's own)")
	cmd.Flags().BoolVar(&force, "force", false, "kill at once")
	return cmd
}

func (a *app) stop(ctx context.Context, opts sdk.StopOptions) error {
	ctx, cancel := signal.NotifyContext(ctx, stopSignals...)
	defer cancel()
	eng, list, err := a.openNamed(ctx, opts.Names)
	if err != nil {
		return err
	}
	others, err := dependents(list, opts.Names)
	if err != nil {
		return err
	}
	talk := a.talk()
	if len(others) > 0 {
		talk.Line("With it stops what needs it: %s", strings.Join(others, ", "))
	}
	stopping := render.NewStopping(talk, componentNames(list))
	opts.OnEvent = stopping.Event
	err = eng.Stop(ctx, opts)
	talk.Status("")
	if err == nil && stopping.Count() == 0 {
		talk.Line("Nothing was running.")
	}
	return err
}

func newRm(a *app) *cobra.Command {
	var opts sdk.RemoveOptions
	all := false
	cmd := &cobra.Command{
		Use:   "rm [NAME…]",
		Short: "Remove stopped components and what belongs to them",
		Long: `rm removes stopped components and what they wrote outside of volumes. Named
volumes stay, unless --volumes is given: then all data in them is gone. --all
removes what is left of the project too, logs included: its .containust folder,
but for the folder secrets and files that are not from ctst.`,
		Example:           examples("ctst rm", "ctst rm --force api", "ctst rm --force --volumes", "ctst rm --force --volumes --all"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Names = args
			switch {
			case all && len(args) > 0:
				return usage("--all is for the whole project: leave the names away")
			case all && !opts.Volumes:
				return usage("--all removes the volumes too: say so with --volumes")
			}
			return a.rm(cmd.Context(), opts, all)
		},
	}
	cmd.Flags().BoolVar(&opts.Force, "force", false, "stop them first")
	cmd.Flags().BoolVar(&opts.Volumes, "volumes", false, "also the project's named volumes, with all that is in them")
	cmd.Flags().BoolVar(&all, "all", false, "with --volumes: also logs and state, the whole project folder")
	return cmd
}

func (a *app) rm(ctx context.Context, opts sdk.RemoveOptions, all bool) error {
	if opts.Volumes && len(opts.Names) > 0 {
		return usage("--volumes is for the whole project, whose volumes they are: leave the names away")
	}
	ctx, cancel := signal.NotifyContext(ctx, stopSignals...)
	defer cancel()
	eng, list, err := a.openNamed(ctx, opts.Names)
	if err != nil {
		return err
	}
	if name := firstRunning(list, opts.Names); name != "" && !opts.Force {
		return &problem{
			err:  fmt.Errorf("%s is running", name),
			mend: []string{fmt.Sprintf("%s stop %s, or %[1]s rm --force", a.self(), name)},
		}
	}
	talk := a.talk()
	removing := render.NewStopping(talk, componentNames(list))
	opts.OnEvent = removing.Event
	err = eng.Remove(ctx, opts)
	talk.Status("")
	if err == nil && removing.Count() == 0 && !opts.Volumes {
		talk.Line("Nothing was there to remove.")
	}
	if err != nil || !all {
		return err
	}
	left, err := eng.Clear(ctx)
	if len(left) > 0 {
		talk.Line("Left in %s, since ctst did not make it: %s", diag.Escape(shortPath(eng.Project().StateDir)), diag.Escape(strings.Join(left, ", ")))
	}
	return err
}

// firstRunning returns one of the named components (of all, without names) that
// runs, or nothing.
func firstRunning(list []sdk.Component, names []string) string {
	for _, c := range list {
		if runs(c) && (len(names) == 0 || slices.Contains(names, string(c.ID))) {
			return string(c.ID)
		}
	}
	return ""
}

// dependents lists the running components that need one of the named ones and
// are not named themselves.
func dependents(list []sdk.Component, names []string) ([]string, error) {
	known := componentNames(list)
	var edges []graph.Edge
	running := map[string]bool{}
	for _, c := range list {
		running[string(c.ID)] = runs(c)
		for _, on := range c.DependsOn {
			if slices.Contains(known, on) { // it may have been removed
				edges = append(edges, graph.Edge{From: string(c.ID), To: on})
			}
		}
	}
	g, err := graph.New(known, edges)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(g.AllDependents(names...), func(name string) bool {
		return !running[name] || slices.Contains(names, name)
	}), nil
}
