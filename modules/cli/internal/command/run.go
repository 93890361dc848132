package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/supervise"
)

func newRun(a *app) *cobra.Command {
	r := &run{app: a}
	cmd := &cobra.Command{
		Use:   "run [FILE]",
		Short: "Bring what runs to what the file describes",
		Long: `run starts, replaces and removes components until what runs is what the file
describes; what is already so is left alone. It then shows the logs: Ctrl-C stops
everything in order, a second one kills. With -d it returns once all is healthy.

With --plan it carries out what ` + "`ctst plan --out`" + ` saved: it plans again, and changes
nothing if that brings anything else.

In the foreground, a file of a single component gives run that component's exit
code.`,
		Example: examples("ctst run -d", "ctst run shop.ctst", "ctst run -d --rerun migrate",
			"ctst run -d --confirm", "ctst run -d --plan plan.json"),
		Args: arguments(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeFile(args); err != nil {
				return err
			}
			r.talk = a.talk()
			return r.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVarP(&r.detach, "detach", "d", false, "return when all is healthy, and leave it running")
	cmd.Flags().StringSliceVar(&r.rerun, "rerun", nil, "run this `job` again though nothing changed")
	cmd.Flags().StringVar(&r.planFile, "plan", "", "carry out the plan saved in this `file`, or nothing")
	cmd.Flags().BoolVar(&r.allowUnenforced, allowUnenforcedLimits, false, "run without limits that this machine cannot enforce")
	cmd.Flags().BoolVar(&r.confirm, "confirm", false, "show the plan and ask before anything is changed")
	return cmd
}

// run is one run of the command.
type run struct {
	*app
	detach   bool
	rerun    []string
	planFile string

	allowUnenforced bool
	confirm         bool
	talk            *render.Talk

	eng    *sdk.Engine
	d      *sdk.Deployment
	deploy *render.Deploy
	before sdk.LogPosition // where the logs ended when this run began
	saved  *plan.Saved     // the plan to carry out; nil: whatever there is to do
}

// stopSignals end a foreground run.
var stopSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

func (r *run) run(ctx context.Context) (err error) {
	defer func() {
		if r.eng != nil {
			err = errors.Join(err, r.eng.Close())
		}
	}()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, stopSignals...)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	planned := make(chan error, 1)
	go func() { planned <- r.plan(ctx) }()
	select {
	case err := <-planned:
		if err != nil {
			return err
		}
	case sig := <-signals:
		cancel()
		<-planned
		return interrupted(sig, "nothing was started")
	}

	if r.detach {
		return r.detached(ctx, cancel, signals)
	}
	return r.foreground(ctx, cancel, signals)
}

func interrupted(sig os.Signal, consequence string) error {
	return &exitError{code: signalCode(sig), err: fmt.Errorf("%w: %s", errInterrupted, consequence)}
}

func signalCode(sig os.Signal) int {
	if s, ok := sig.(syscall.Signal); ok {
		return codeSignal + int(s)
	}
	return codeFailed
}

// plan finds out what to do, and brings the images into the store.
func (r *run) plan(ctx context.Context) error {
	if err := r.confirmable(); err != nil {
		return err
	}
	err := r.takePlan()
	if err != nil {
		return err
	}
	if r.eng, err = r.open(); err != nil {
		return err
	}
	imports := render.NewImports(r.talk)
	r.d, err = r.eng.Plan(ctx, sdk.PlanOptions{Import: true, Prepare: !r.confirm && r.saved == nil, AllowUnenforcedLimits: r.allowUnenforced, Progress: imports.Progress})
	r.talk.Status("")
	if err != nil {
		return r.withCount(err, "nothing was started")
	}
	if err := r.checkJobs(); err != nil {
		return err
	}
	if err := r.checkPlan(); err != nil {
		return err
	}
	r.diagnostics(r.d.Warnings)
	if err := r.ask(ctx); err != nil {
		return err
	}
	r.deploy = render.NewDeploy(r.talk, r.d)
	r.before, err = r.eng.LogPosition()
	return err
}

// checkJobs makes sure that what is to run again is a job.
func (r *run) checkJobs() error {
	var jobs []string
	for _, want := range r.d.Desired {
		if want.Config.Job {
			jobs = append(jobs, want.Config.Name)
		}
	}
	for _, name := range r.rerun {
		if r.d.Stack.Component(name) == nil {
			return unknownComponent(name, jobs)
		}
		if !r.d.Stack.Component(name).Job {
			return usage("--rerun is for jobs, and %s is none: `%s stop %s`, then run", name, r.self(), name)
		}
	}
	return nil
}

// apply does what is to be done and says how it goes.
func (r *run) apply(ctx context.Context) error {
	name := diag.Escape(r.d.Stack.Name)
	if len(r.d.Plan.Changes) == 0 {
		r.talk.Line("%s describes no component: nothing to do.", name)
		return nil
	}
	if r.d.Plan.Empty() && len(r.rerun) == 0 {
		r.talk.Line("%s is up to date: %s, nothing to change.", name, r.running())
		return nil
	}
	// Without root nothing goes; the rest of what can be missing is only looked
	// for when something has failed, since looking takes its time.
	if os.Geteuid() != 0 {
		if err := requirements(ctx); err != nil {
			return err
		}
	}
	r.talk.Line("%s: %s\n", name, render.Headline(r.d.Stack))
	err := r.eng.Apply(ctx, r.d, sdk.ApplyOptions{
		Rerun: r.rerun, Exactly: r.saved != nil || r.confirm, OnEvent: r.deploy.Event,
	})
	r.talk.Status("")
	if err != nil {
		return r.moved(err)
	}
	r.talk.Line("")
	r.deploy.Summary()
	return nil
}

// running says how many components of an unchanged project run.
func (r *run) running() string {
	jobs := 0
	for _, want := range r.d.Desired {
		if want.Config.Job {
			jobs++
		}
	}
	text := render.Count(len(r.d.Desired)-jobs, "component") + " running"
	if jobs > 0 {
		text += ", " + render.Count(jobs, "job") + " done"
	}
	return text
}

func (r *run) detached(ctx context.Context, cancel context.CancelFunc, signals <-chan os.Signal) error {
	applied := make(chan error, 1)
	go func() { applied <- r.apply(ctx) }()
	var err error
	select {
	case err = <-applied:
	case sig := <-signals:
		cancel()
		<-applied
		return interrupted(sig, fmt.Sprintf("what was started goes on; `%s ps` shows it, `%[1]s stop` ends it", r.self()))
	}
	if err != nil {
		return r.failed(err, codeFailed)
	}
	if !r.d.Plan.Empty() {
		r.talk.Line("Logs: %s logs -f · Stop: %[1]s stop", r.self())
	}
	return nil
}

// foreground deploys, shows the logs until all has ended, and stops all when a
// signal comes.
func (r *run) foreground(ctx context.Context, cancel context.CancelFunc, signals <-chan os.Signal) error {
	type result struct {
		exits map[string]container.ExitStatus
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		exits, err := r.follow(ctx)
		ended <- result{exits, err}
	}()
	select {
	case res := <-ended:
		if res.err != nil {
			return r.failed(res.err, r.exitCode(res.exits, r.startCode(res.err)))
		}
		if code := r.exitCode(res.exits, worst(res.exits)); code != 0 {
			return &exitError{code: code}
		}
		return nil
	case sig := <-signals:
		r.talk.Line("Stopping in order; once more kills.")
		err := r.stop(signals)
		if err != nil {
			cancel()
		}
		res := <-ended
		if err != nil {
			return err
		}
		return &exitError{code: r.exitCode(res.exits, signalCode(sig))}
	}
}

// follow deploys and shows the logs until everything has ended for good.
func (r *run) follow(ctx context.Context) (map[string]container.ExitStatus, error) {
	if err := r.apply(ctx); err != nil {
		_, exits := r.deploy.Failed()
		return exits, err
	}
	names := r.names()
	if len(names) == 0 {
		return nil, nil
	}
	r.talk.Line("Ctrl-C stops everything in order.\n")
	logs := render.NewLogs(r.Stdout, r.style(r.Stdout), render.LogOptions{Names: names, Raw: !isTerminal(r.Stdout)})
	shown := make(chan error, 1)
	go func() {
		err := r.eng.Logs(ctx, sdk.LogOptions{Names: names, Follow: true, After: r.before}, r.show(logs))
		shown <- errors.Join(err, logs.Close())
	}()
	exits, err := r.eng.Wait(ctx, names, r.deploy.Event)
	return exits, errors.Join(err, <-shown)
}

// names are the components that the file wants.
func (r *run) names() []string {
	var names []string
	for _, want := range r.d.Desired {
		names = append(names, want.Config.Name)
	}
	return names
}

// stop stops everything in order, and kills it when another signal comes.
func (r *run) stop(signals <-chan os.Signal) error {
	stopping := render.NewStopping(r.talk, r.names())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan error, 1)
	go func() { stopped <- r.eng.Stop(ctx, sdk.StopOptions{OnEvent: stopping.Event}) }()
	select {
	case err := <-stopped:
		return err
	case <-signals:
		cancel()
		<-stopped
		return r.eng.Stop(context.Background(), sdk.StopOptions{Timeout: -1 * time.Second, OnEvent: stopping.Event})
	}
}

// exitCode is the code of a run in the foreground: the component's own, if the
// file describes a single one.
func (r *run) exitCode(exits map[string]container.ExitStatus, otherwise int) int {
	if len(r.d.Desired) != 1 {
		return otherwise
	}
	exit, ok := exits[r.d.Desired[0].Config.Name]
	switch {
	case !ok:
		return otherwise
	case exit.Unknown:
		return codeFailed
	}
	return exit.Code
}

// startCode is the code of a run in the foreground in which a component could
// not be started: for a single one what a shell gives.
func (r *run) startCode(err error) int {
	switch {
	case len(r.d.Desired) != 1:
		return codeFailed
	case errors.Is(err, container.ErrCommandNotFound):
		return codeNotFound
	case errors.Is(err, container.ErrNotExecutable):
		return codeNotExecutable
	}
	return codeEngine
}

// worst is the exit code of several components that have all ended.
func worst(exits map[string]container.ExitStatus) int {
	for _, exit := range exits {
		if exit.Code != 0 || exit.Unknown {
			return codeFailed
		}
	}
	return 0
}

// whatNow says what to do about a component that failed.
func (r *run) whatNow(name string) {
	place := ""
	if c := r.d.Stack.Component(name); c != nil && c.Range.File != "" {
		place = fmt.Sprintf(" (%s:%d)", diag.Escape(shortPath(c.Range.File)), c.Range.Start.Line)
	}
	r.talk.Line("What now: mend %s%s, then `%s run`; all it wrote: `%[3]s logs %[1]s`.", name, place, r.self())
}

// lastLines is how much is shown of what a failed component wrote.
const lastLines = 20

// failed tells what failed and what to do.
func (r *run) failed(err error, code int) error {
	var told *exitError
	switch {
	case errors.As(err, &told), errors.Is(err, context.Canceled):
		return err
	case !errors.Is(err, supervise.ErrComponent):
		if lacking := requirements(context.Background()); lacking != nil {
			r.talk.Line("%s %s", r.talk.Style.Red("error:"), diag.Escape(oneLine(err)))
			return lacking
		}
		return err
	}
	names, _ := r.deploy.Failed()
	if len(names) == 0 {
		return err
	}
	for _, name := range names {
		r.lastLines(name)
	}
	r.talk.Line("")
	for _, name := range names {
		r.whatNow(name)
	}
	if r.d.Plan.Count(plan.Keep)+len(r.d.Desired) > len(names) {
		r.talk.Line("What started goes on: `%s ps` shows it, `%[1]s stop` ends it.", r.self())
	}
	return &exitError{code: code}
}

func (r *run) lastLines(name string) {
	var lines []string
	err := r.eng.Logs(context.Background(), sdk.LogOptions{Names: []string{name}, Tail: lastLines, After: r.before}, func(line sdk.LogLine) error {
		// A long line comes in pieces, each of which is as good as a line here.
		lines = append(lines[max(0, len(lines)-lastLines+1):], render.LogText(line.Text))
		return nil
	})
	switch {
	case err != nil:
		r.talk.Line("\nThe logs of %s cannot be read: %s", name, diag.Escape(err.Error()))
	case len(lines) == 0:
		r.talk.Line("\n%s wrote nothing.", name)
	default:
		r.talk.Line("\nLast lines of %s:\n  %s", name, strings.Join(lines, "\n  "))
	}
}
