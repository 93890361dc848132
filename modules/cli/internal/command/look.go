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
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/sdk"
)

func newPs(a *app) *cobra.Command {
	var all, asJSON, quiet bool
	cmd := &cobra.Command{
		Use:     "ps",
		Short:   "List what runs",
		Long:    `ps lists the components that run, with -a also those that do not.`,
		Example: examples("ctst ps", "ctst ps -a --json"),
		Args:    arguments(0, 0, "no argument"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.ps(cmd.Context(), all, asJSON, quiet)
		},
	}
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also what does not run")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON array")
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "only the names, one a line")
	return cmd
}

func (a *app) ps(ctx context.Context, all, asJSON, quiet bool) error {
	if asJSON && quiet {
		return errJSONQuiet
	}
	eng, err := a.open()
	if err != nil {
		return err
	}
	list, err := eng.List(ctx)
	if err != nil {
		return err
	}
	shown := make([]sdk.Component, 0, len(list))
	for _, c := range list {
		if all || runs(c) {
			shown = append(shown, c)
		}
	}
	switch {
	case asJSON:
		return a.json(shown)
	case quiet:
		for _, name := range componentNames(shown) {
			if _, err := fmt.Fprintln(a.Stdout, name); err != nil {
				return err
			}
		}
		return nil
	}
	if err := render.Components(a.Stdout, shown, time.Now(), a.style(a.Stdout)); err != nil {
		return err
	}
	var alone []string
	for _, c := range shown {
		if c.NoCgroup {
			alone = append(alone, string(c.ID))
		}
	}
	if len(alone) > 0 {
		a.talk().Line("No cgroup of its own: %s (see ctst doctor)", strings.Join(alone, ", "))
	}
	for _, c := range shown {
		if len(c.Unenforced) > 0 {
			a.talk().Line("Not enforced on this machine: %s of %s", strings.Join(c.Unenforced, ", "), c.ID)
		}
	}
	if hidden := len(list) - len(shown); hidden > 0 {
		a.talk().Line("%s not running: %s ps -a", render.Count(hidden, "component"), a.self())
	}
	return nil
}

func runs(c sdk.Component) bool {
	switch c.Status {
	case container.StatusStarting, container.StatusRunning, container.StatusStopping:
		return true
	case container.StatusCreated, container.StatusExited, container.StatusCompleted, container.StatusFailed:
	}
	return false
}

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
	cmd := &cobra.Command{
		Use:   "rm [NAME…]",
		Short: "Remove stopped components and what belongs to them",
		Long: `rm removes stopped components and what they wrote outside of volumes. Named
volumes stay, unless --volumes is given: then all data in them is gone.`,
		Example:           examples("ctst rm", "ctst rm --force api", "ctst rm --force --volumes"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Names = args
			return a.rm(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.Force, "force", false, "stop them first")
	cmd.Flags().BoolVar(&opts.Volumes, "volumes", false, "also the project's named volumes, with all that is in them")
	return cmd
}

func (a *app) rm(ctx context.Context, opts sdk.RemoveOptions) error {
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
