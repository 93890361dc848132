package command

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/state"
)

func newValidate(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check the file and tell everything that is wrong with it",
		Long: `validate checks the file: syntax, names, properties, links, exposed ports,
environment and secrets. It never looks at images. All problems are told at once.`,
		Example: examples("ctst validate", "ctst validate shop.ctst --json"),
		Args:    arguments(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.validate(cmd.Context(), args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the diagnostics as JSON on standard output")
	return cmd
}

func (a *app) validate(ctx context.Context, args []string, asJSON bool) error {
	if err := a.takeFile(args); err != nil {
		return err
	}
	eng, err := a.open()
	if err != nil {
		return err
	}
	st, found := eng.Load(ctx)
	if asJSON {
		if err := a.json(found); err != nil {
			return err
		}
	} else {
		a.diagnostics(found)
	}
	errs, warnings := found.Count()
	if errs > 0 {
		if !asJSON {
			a.talk().Line("\n%s.", render.Count(errs, "error"))
		}
		return &exitError{code: codeBadFile}
	}
	if asJSON {
		return nil
	}
	text := fmt.Sprintf("%s is valid: %s", diag.Escape(shortPath(st.File)), render.Headline(st))
	if warnings > 0 {
		text += "; " + render.Count(warnings, "warning")
	}
	_, err = fmt.Fprintln(a.Stdout, text)
	return err
}

// checkNames makes sure that the project has these components.
func checkNames(list []sdk.Component, names []string) error {
	known := componentNames(list)
	for _, name := range names {
		if !slices.Contains(known, name) {
			return unknownComponent(name, known)
		}
	}
	return nil
}

// openNamed opens the engine and lists what the project has; it makes sure that
// the named components are among it.
func (a *app) openNamed(ctx context.Context, names []string) (*sdk.Engine, []sdk.Component, error) {
	eng, err := a.open()
	if err != nil {
		return nil, nil, err
	}
	list, err := eng.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	return eng, list, checkNames(list, names)
}

func componentNames(list []sdk.Component) []string {
	var names []string
	for _, c := range list {
		names = append(names, string(c.ID))
	}
	return names
}

// completeNames offers the components that the state knows. It asks nobody, so
// that a shell never waits.
func (a *app) completeNames(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	project, err := sdk.Find(a.file, a.dir, a.stateDir)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	st, err := state.NewStore(project.StateDir).Load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for name := range st.Components {
		if strings.HasPrefix(name, typed) && !slices.Contains(args, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, cobra.ShellCompDirectiveNoFileComp
}
