package command

import (
	"context"
	"errors"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/sdk"
)

func newLogs(a *app) *cobra.Command {
	l := &logs{app: a}
	cmd := &cobra.Command{
		Use:   "logs [NAME…]",
		Short: "Show what components wrote",
		Long: `logs shows what components wrote to their standard output and standard error, in
the order of time. On a terminal control characters are shown escaped; a pipe gets
every byte as it was written, and without prefix when one NAME is given.

Each output keeps its last 20 to 30 MiB. Times are exact to 10 ms.`,
		Example: examples("ctst logs -f", "ctst logs --tail 100 --stderr api",
			"ctst logs --since 5m --timestamps", "ctst logs --since 2026-05-01T10:00:00Z --until 2026-05-01T10:05:00Z"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			l.opts.Names = args
			return l.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVarP(&l.opts.Follow, "follow", "f", false, "go on until nothing runs any more")
	cmd.Flags().IntVarP(&l.opts.Tail, "tail", "n", 0, "only the last `N` lines of each component (0: all)")
	cmd.Flags().StringVar(&l.since, "since", "", "only lines from this `time` on: 5m ago, or 2026-05-01T10:00:00Z")
	cmd.Flags().StringVar(&l.until, "until", "", "only lines up to this `time`")
	cmd.Flags().BoolVarP(&l.timestamps, "timestamps", "t", false, "show when each line came")
	cmd.Flags().BoolVar(&l.opts.Stdout, "stdout", false, "only the standard output")
	cmd.Flags().BoolVar(&l.opts.Stderr, "stderr", false, "only the standard error")
	return cmd
}

// logs is one call of the command.
type logs struct {
	*app
	opts         sdk.LogOptions
	since, until string
	timestamps   bool
}

func (l *logs) run(ctx context.Context) error {
	if l.opts.Tail < 0 {
		return usage("--tail %d: a number of lines is wanted", l.opts.Tail)
	}
	now := time.Now()
	var err error
	if l.opts.Since, err = moment("--since", l.since, now); err != nil {
		return err
	}
	if l.opts.Until, err = moment("--until", l.until, now); err != nil {
		return err
	}
	if !l.opts.Until.IsZero() && l.opts.Until.Before(l.opts.Since) {
		return usage("--until %s is before --since %s: exchange them", l.until, l.since)
	}
	eng, list, err := l.openNamed(ctx, l.opts.Names)
	if err != nil {
		return err
	}
	prefixed := l.opts.Names
	if len(prefixed) == 0 {
		prefixed = componentNames(list)
	} else if len(prefixed) == 1 {
		prefixed = nil
	}
	ctx, stop := signal.NotifyContext(ctx, stopSignals...)
	defer stop()
	shown := render.NewLogs(l.Stdout, l.style(l.Stdout), render.LogOptions{
		Names: prefixed, Timestamps: l.timestamps, Raw: !isTerminal(l.Stdout),
	})
	err = errors.Join(eng.Logs(ctx, l.opts, l.show(shown)), shown.Close())
	if l.opts.Follow && ctx.Err() != nil {
		return nil // that is how following ends
	}
	return err
}

// show writes lines, and says where some are missing.
func (a *app) show(to *render.Logs) func(sdk.LogLine) error {
	return func(line sdk.LogLine) error {
		if line.Skipped > 0 {
			a.talk().Line("%s wrote faster than could be shown: %s are left out here", line.Component, render.Size(line.Skipped))
		}
		return to.Line(line)
	}
}

// moment returns the time that an option means: a time ago, or a date with time.
func moment(option, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		if ago < 0 {
			return time.Time{}, usage("%s %s: it is a time ago, so without a minus", option, text)
		}
		return now.Add(-ago), nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usage("%s %q: a time ago (90s, 5m, 2h) or a date with time and zone (%s) is wanted",
			option, text, now.UTC().Format(time.RFC3339))
	}
	return t, nil
}
