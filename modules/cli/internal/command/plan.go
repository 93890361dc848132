package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
)

func newPlan(a *app) *cobra.Command {
	p := &planCommand{app: a}
	cmd := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "Show what `run` would change, and why",
		Long: `plan compares the file with what the project has, and changes nothing. The signs:
+ create, ~ update without a restart, ± replace, - remove, ! what is no longer as
it was deployed. What run would refuse is a warning here.

With --out the plan is saved, for run --plan to carry out later: exactly that, or
nothing. It stays good until something else would happen: the file, an import, the
environment, an image, a secret or the project changed. That a component was
restarted by its policy, or is healthy or not, changes nothing. The file holds no
secrets.`,
		Example: examples("ctst plan", "ctst plan --detailed-exitcode || ctst run -d",
			"ctst plan --out plan.json", "ctst run -d --plan plan.json"),
		Args: arguments(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeFile(args); err != nil {
				return err
			}
			return p.run(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&p.json, "json", false, "the plan as JSON")
	cmd.Flags().StringVarP(&p.out, "out", "o", "", "save the plan in this `file`")
	cmd.Flags().BoolVar(&p.allowUnenforced, allowUnenforcedLimits, false, "plan without limits that this machine cannot enforce")
	cmd.Flags().BoolVar(&p.detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	return cmd
}

// allowUnenforcedLimits is the flag that makes limits warnings which this machine
// cannot enforce.
const allowUnenforcedLimits = "allow-unenforced-limits"

// planCommand is one run of the command.
type planCommand struct {
	*app
	json, detailed  bool
	out             string
	allowUnenforced bool
}

func (p *planCommand) run(ctx context.Context) error {
	eng, err := p.open()
	if err != nil {
		return err
	}
	d, err := eng.Plan(ctx, sdk.PlanOptions{AllowUnenforcedLimits: p.allowUnenforced})
	if err != nil {
		return p.withCount(err, "nothing was planned")
	}
	if p.json {
		err = p.app.json(d.Document())
	} else {
		p.diagnostics(d.Warnings)
		save := ""
		if p.out == "" && !d.Refused {
			save = p.self() + " plan --out plan.json"
		}
		err = render.Plan(p.Stdout, d, render.PlanOptions{Now: time.Now(), Save: save, Style: p.style(p.Stdout)})
	}
	if err != nil {
		return err
	}
	if p.out != "" {
		if err := p.save(eng, d); err != nil {
			return err
		}
	}
	if p.detailed && (!d.Plan.Empty() || d.Refused) {
		return &exitError{code: codeChanges}
	}
	return nil
}

func (p *planCommand) save(eng *sdk.Engine, d *sdk.Deployment) error {
	if d.Refused {
		return &problem{
			err:  errors.New("the plan is not saved: `ctst run` would refuse it"),
			mend: []string{"mend what the warnings say, then plan again"},
		}
	}
	if err := eng.Save(d, p.out); err != nil {
		return fmt.Errorf("save the plan: %w", err)
	}
	p.talk().Line("Saved: %s. Carry it out: ctst%s run --plan %s", diag.Escape(p.out), p.selfEnv(), typed(p.out))
	return nil
}

// withCount tells the diagnostics of an error, ends them with their count and
// what did not happen, and leaves other errors alone.
func (a *app) withCount(err error, consequence string) error {
	var found diag.Errors
	if !errors.As(err, &found) {
		return err
	}
	a.diagnostics(diag.List(found))
	errs, _ := diag.List(found).Count()
	a.talk().Line("\n%s; %s.", render.Count(errs, "error"), consequence)
	return &exitError{code: codeBadFile}
}

// json writes a value to standard output.
func (a *app) json(value any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

func newBuild(a *app) *cobra.Command {
	update := false
	cmd := &cobra.Command{
		Use:   "build [FILE]",
		Short: "Bring the images into the store and check their digests",
		Long: `build reads what the images' sources hold, checks digests, and unpacks what is not
in the store yet. It starts nothing. run does the same first. With --update
imports are fetched again, and ctst.lock says what they are now.`,
		Example: examples("ctst build", "ctst build shop.ctst", "ctst build --update"),
		Args:    arguments(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if update && a.offline {
				return usage("--update needs the network, and --offline forbids it: leave one of the two away")
			}
			if err := a.takeFile(args); err != nil {
				return err
			}
			return a.build(cmd.Context(), update)
		},
	}
	cmd.Flags().BoolVar(&update, "update", false, "fetch imports again, and accept what has changed")
	return cmd
}

func (a *app) build(ctx context.Context, update bool) error {
	eng, err := a.open()
	if err != nil {
		return err
	}
	talk := a.talk()
	imports := render.NewImports(talk)
	d, err := eng.Plan(ctx, sdk.PlanOptions{Import: true, AllowUnenforcedLimits: true, Update: update, Progress: imports.Progress})
	talk.Status("")
	if err != nil {
		return a.withCount(err, "nothing was changed")
	}
	a.diagnostics(d.Warnings)
	rows := make([][]string, 0, len(d.Desired))
	for _, want := range d.Desired {
		rows = append(rows, []string{
			"  ✔ " + want.Config.Name, render.Source(want.Image.Source), want.Image.Digest,
		})
	}
	if err := render.Table(a.Stdout, rows, nil); err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.Stdout, "%s: the images of %s are in the store.\n", diag.Escape(d.Stack.Name), render.Count(len(d.Desired), "component"))
	return err
}
