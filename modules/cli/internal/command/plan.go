package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
)

func newPlan(a *app) *cobra.Command {
	var asJSON, detailed bool
	cmd := &cobra.Command{
		Use:   "plan [FILE]",
		Short: "Show what `run` would change, and why",
		Long: `plan compares the file with what runs, and changes nothing. The signs: + create,
~ update without a restart, ± replace, - remove, ! start again.`,
		Example: examples("ctst plan", "ctst plan --detailed-exitcode || ctst run -d"),
		Args:    arguments(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeFile(args); err != nil {
				return err
			}
			return a.plan(cmd.Context(), asJSON, detailed)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the plan as JSON")
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	return cmd
}

func (a *app) plan(ctx context.Context, asJSON, detailed bool) error {
	eng, err := a.open()
	if err != nil {
		return err
	}
	d, err := eng.Plan(ctx, sdk.PlanOptions{})
	if err != nil {
		return a.withCount(err, "nothing was planned")
	}
	if asJSON {
		err = a.json(planDocument{
			Plan: d.Plan, Order: render.Order(d), Exposures: exposures(d.Stack), Warnings: d.Warnings,
		})
	} else {
		a.diagnostics(d.Warnings)
		err = render.Plan(a.Stdout, d, a.style(a.Stdout))
	}
	if err == nil && detailed && !d.Plan.Empty() {
		return &exitError{code: codeChanges}
	}
	return err
}

// planDocument is the JSON form of a plan. It holds no secret: reasons show
// references.
type planDocument struct {
	*plan.Plan
	Order     string     `json:"order"`
	Exposures []exposure `json:"exposures"`
	Warnings  diag.List  `json:"warnings"`
}

type exposure struct {
	Address   string `json:"address"`
	HostPort  uint16 `json:"host_port"`
	Component string `json:"component"`
	Port      uint16 `json:"port"`
	Protocol  string `json:"protocol"`
}

func exposures(st *stack.Stack) []exposure {
	list := []exposure{}
	for _, e := range st.Exposures {
		list = append(list, exposure{e.Address, e.HostPort, e.Component, e.Port, e.Protocol})
	}
	return list
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
	d, err := eng.Plan(ctx, sdk.PlanOptions{Import: true, Update: update, Progress: imports.Progress})
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
	_, err = fmt.Fprintf(a.Stdout, "%s: the images of %s are in the store.\n", d.Stack.Name, render.Count(len(d.Desired), "component"))
	return err
}
