package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
)

func newSchema(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:   "schema [PROPERTY]",
		Short: "Tell what the language has: statements, references, properties",
		Long: `schema prints the language: the forms of statements, values and references, and
every property with its type and default. With a PROPERTY it tells all about that
one. --json is the same as data, with every diagnostic code, for editors and for
programs that write .ctst.`,
		Example: examples("ctst schema", "ctst schema healthcheck", "ctst schema --json"),
		Args:    arguments(0, 1, "at most one property"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return schema.Names(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			return a.schema(args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "the language as data")
	return cmd
}

func (a *app) schema(args []string, asJSON bool) error {
	if len(args) == 0 {
		if asJSON {
			return a.json(schema.Describe())
		}
		return render.Schema(a.Stdout, a.style(a.Stdout))
	}
	property := schema.Lookup(args[0])
	if property == nil {
		return unknownProperty(args[0])
	}
	if asJSON {
		return a.json(property.Form())
	}
	return render.Property(a.Stdout, property, a.style(a.Stdout))
}

func unknownProperty(name string) error {
	text := fmt.Sprintf("there is no property %q", name)
	if near := diag.Nearest(name, schema.Names()); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	return &exitError{code: codeUsage, err: &problem{err: &missing{text}, mend: []string{"`ctst schema` lists them all"}}}
}
