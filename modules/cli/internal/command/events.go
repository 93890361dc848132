package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/event"
)

func newEvents(a *app) *cobra.Command {
	var filter sdk.EventFilter
	var since string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "events [NAME…]",
		Short: "Show what happened",
		Long: `events shows what happened in the project, or to the named components: starts,
ends, health, restarts, limits that were hit, and changes of the configuration.
Each event has a number: --after goes on behind the last one that was seen.`,
		Example:           examples("ctst events -f", "ctst events --since 10m --json api"),
		ValidArgsFunction: a.completeNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			filter.Names = args
			if since != "" {
				moment, err := parseSince(since, time.Now())
				if err != nil {
					return err
				}
				filter.Since = moment
			}
			return a.events(cmd.Context(), filter, asJSON)
		},
	}
	cmd.Flags().BoolVarP(&filter.Follow, "follow", "f", false, "go on with what happens, until interrupted")
	cmd.Flags().StringVar(&since, "since", "", "only what is not older than this `time`: 10m, or 2026-11-24T12:30:00Z")
	cmd.Flags().Uint64Var(&filter.After, "after", 0, "only what has a higher `number`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object a line")
	return cmd
}

// parseSince takes how long ago, or when.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	moment, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, usage("--since %s: 10m for how long ago, or a time like 2026-11-24T12:30:00Z is wanted", text)
	}
	return moment, nil
}

func (a *app) events(ctx context.Context, filter sdk.EventFilter, asJSON bool) error {
	eng, err := a.open()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, stopSignals...)
	defer stop()
	style := a.style(a.Stdout)
	for e, err := range eng.Listen(ctx, filter) {
		var gap *event.GapError
		switch {
		case errors.As(err, &gap):
			a.talk().Line("%s", gap.Error())
			continue
		case err != nil:
			return err
		case asJSON:
			err = json.NewEncoder(a.Stdout).Encode(e)
		default:
			_, err = fmt.Fprintln(a.Stdout, render.Event(e, style))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
