package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/sdk"
)

// listing is what ps was asked for.
type listing struct {
	*app
	all, json, quiet, watch bool

	eng    *sdk.Engine
	meter  *sdk.Meter
	hidden int // components that are not shown
	drawn  int // lines of the table that is on the terminal
}

func newPs(a *app) *cobra.Command {
	l := &listing{app: a}
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List what runs, and what it uses",
		Long: `ps lists the components that run, with -a also those that do not.

CPU is in percent of one processor, over the last moment; MEMORY is without cache
that the kernel takes back first; network and block traffic are since the start. A
tilde stands before what could only be added up over the processes, since this
machine does not count it for containers. A terminal shows as many columns as fit.`,
		Example: examples("ctst ps", "ctst ps --watch", "ctst ps -a --json"),
		Args:    arguments(0, 0, "no argument"),
		RunE:    func(cmd *cobra.Command, _ []string) error { return l.run(cmd.Context()) },
	}
	cmd.Flags().BoolVarP(&l.all, "all", "a", false, "also what does not run")
	cmd.Flags().BoolVar(&l.json, "json", false, "a JSON array; with --watch one a line")
	cmd.Flags().BoolVarP(&l.quiet, "quiet", "q", false, "only the names, one a line")
	cmd.Flags().BoolVarP(&l.watch, "watch", "w", false, "again every second, until Ctrl-C")
	return cmd
}

// Rates are measured over these times: a moment that nobody notices, or until the
// next table.
const (
	psMoment = 20 * time.Millisecond
	psPause  = time.Second
)

func (l *listing) run(ctx context.Context) (err error) {
	switch {
	case l.json && l.quiet:
		return errJSONQuiet
	case l.watch && l.quiet:
		return usage("--watch is for the table and for --json, not for names alone")
	}
	if l.eng, err = l.open(); err != nil {
		return err
	}
	list, err := l.list(ctx)
	if err != nil || l.quiet {
		return errors.Join(err, l.names(list))
	}
	if err := l.measure(list, psMoment); err != nil {
		return err
	}
	if err := l.show(list); err != nil {
		return err
	}
	if !l.watch {
		if !l.json {
			l.remarks(list)
		}
		return nil
	}
	ctx, stop := signal.NotifyContext(ctx, stopSignals...)
	defer stop()
	for again := time.NewTicker(psPause); ; {
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil
		}
		list, err := l.list(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = l.measure(list, 0)
		}
		if err == nil {
			err = l.show(list)
		}
		if err != nil {
			return err
		}
	}
}

// list returns the components to show.
func (l *listing) list(ctx context.Context) ([]sdk.Component, error) {
	list, err := l.eng.List(ctx)
	if err != nil {
		return nil, err
	}
	shown := make([]sdk.Component, 0, len(list))
	for _, c := range list {
		if l.all || runs(c) {
			shown = append(shown, c)
		}
	}
	l.hidden = len(list) - len(shown)
	return shown, nil
}

// measure finds out what components use, the first time over a moment.
func (l *listing) measure(list []sdk.Component, moment time.Duration) (err error) {
	first := l.meter == nil
	if first {
		if l.meter, err = sdk.NewMeter(); errors.Is(err, errors.ErrUnsupported) {
			l.meter = nil
			return nil
		}
		if err != nil {
			return err
		}
	}
	began := time.Now()
	l.meter.Measure(list)
	for _, c := range list {
		if first && c.PID != 0 {
			time.Sleep(time.Until(began.Add(moment))) // many components take a part of it
			l.meter.Measure(list)
			break
		}
	}
	return nil
}

func (l *listing) names(list []sdk.Component) error {
	for _, name := range componentNames(list) {
		if _, err := fmt.Fprintln(l.Stdout, name); err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) show(list []sdk.Component) error {
	if l.json && l.watch {
		return json.NewEncoder(l.Stdout).Encode(list)
	}
	if l.json {
		return l.app.json(list)
	}
	opts := render.PsOptions{Now: time.Now(), Style: l.style(l.Stdout)}
	height := 0
	if isTerminal(l.Stdout) {
		width, rows, err := term.GetSize(int(l.Stdout.Fd()))
		if err == nil && width > 0 {
			opts.Width, height = width, rows
		}
	}
	var table bytes.Buffer
	if err := render.Components(&table, list, opts); err != nil {
		return err
	}
	if !l.watch {
		_, err := l.Stdout.Write(table.Bytes())
		return err
	}
	return l.draw(table.String(), height)
}

// draw replaces the table that is on the terminal; elsewhere tables follow each
// other.
func (l *listing) draw(table string, height int) error {
	lines := strings.SplitAfter(strings.TrimSuffix(table, "\n"), "\n")
	if height > 2 && len(lines) >= height {
		lines = append(lines[:height-2], fmt.Sprintf("… and %d more", len(lines)-height+2))
	}
	text := strings.Join(lines, "") + "\n"
	switch {
	case height > 0 && l.drawn > 0:
		text = fmt.Sprintf("\x1b[%dA\x1b[J%s", l.drawn, text)
	case height == 0 && l.drawn > 0:
		text = "\n" + text
	}
	l.drawn = len(lines)
	_, err := l.Stdout.WriteString(text)
	return err
}

// remarks says what the table cannot.
func (l *listing) remarks(shown []sdk.Component) {
	talk := l.talk()
	var alone []string
	for _, c := range shown {
		if c.NoCgroup {
			alone = append(alone, string(c.ID))
		}
	}
	if len(alone) > 0 {
		talk.Line("No cgroup of its own: %s (see ctst doctor)", strings.Join(alone, ", "))
	}
	for _, c := range shown {
		if len(c.Unenforced) > 0 {
			talk.Line("Not enforced on this machine: %s of %s", strings.Join(c.Unenforced, ", "), c.ID)
		}
	}
	if l.hidden > 0 {
		talk.Line("%s not running: %s ps -a", render.Count(l.hidden, "component"), l.self())
	}
}

func runs(c sdk.Component) bool {
	switch c.Status {
	case container.StatusStarting, container.StatusRunning, container.StatusStopping:
		return true
	case container.StatusCreated, container.StatusExited, container.StatusCompleted, container.StatusFailed:
	}
	return false
}
