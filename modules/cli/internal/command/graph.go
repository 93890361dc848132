package command

import (
	"bytes"
	"context"
	"errors"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/graph/draw"
	"github.com/containust/containust/modules/lang/diag"
)

func newGraph(a *app) *cobra.Command {
	var form string
	var ascii bool
	cmd := &cobra.Command{
		Use:   "graph [FILE]",
		Short: "Show what needs what, as a drawing, in DOT or in Mermaid",
		Long: `graph shows the components, with jobs and exposed ports marked, and their links: an
arrow leads from a component to what it needs. A link by a reference is double (bold,
thick), one with NOWAIT is dashed.

On a terminal it draws; elsewhere it prints the DOT language of Graphviz. --format
says which of text, dot and mermaid it is to be.

In a drawing each component is as far to the right as what it needs allows, so that
what starts first is at the right. Where two lines cross, the upright one passes
below the other.`,
		Example: examples("ctst graph", "ctst graph --format text | less -S", "ctst graph --format dot | dot -Tsvg > graph.svg", "ctst graph --format mermaid > graph.mmd"),
		Args:    arguments(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.takeFile(args); err != nil {
				return err
			}
			form, err := a.graphForm(form, ascii)
			if err != nil {
				return err
			}
			return a.graph(cmd.Context(), form, ascii)
		},
	}
	cmd.Flags().StringVar(&form, "format", "", "the `form`: text, dot or mermaid (default text on a terminal, else dot)")
	cmd.Flags().BoolVar(&ascii, "ascii", false, "draw with ASCII characters alone")
	return cmd
}

// graphForm is the form that was asked for, or the one that suits the output.
func (a *app) graphForm(form string, ascii bool) (string, error) {
	switch form {
	case "text":
		return form, nil
	case "dot", "mermaid":
		if ascii {
			return "", usage("--ascii is for drawings: leave it or --format %s away", form)
		}
		return form, nil
	case "":
		if ascii || isTerminal(a.Stdout) {
			return "text", nil
		}
		return "dot", nil
	}
	near := diag.Nearest(form, []string{"text", "dot", "mermaid"})
	if near != "" {
		return "", usage("unknown format %q: did you mean %s?", form, near)
	}
	return "", usage("unknown format %q: there are text, dot and mermaid", form)
}

func (a *app) graph(ctx context.Context, form string, ascii bool) error {
	eng, err := a.open()
	if err != nil {
		return err
	}
	st, found := eng.Load(ctx)
	if err := found.Err(); err != nil {
		return err
	}
	g := render.Graph(st)
	switch form {
	case "dot":
		return draw.DOT(a.Stdout, g)
	case "mermaid":
		return draw.Mermaid(a.Stdout, g)
	}
	var text bytes.Buffer
	err = draw.Text(&text, g, draw.TextOptions{ASCII: ascii, Legend: render.Legend()})
	if errors.Is(err, draw.ErrTooLarge) {
		return &problem{err: err, mend: []string{a.self() + " graph --format dot | dot -Tsvg > graph.svg"}}
	}
	if err != nil {
		return err
	}
	if _, err := a.Stdout.Write(text.Bytes()); err != nil {
		return err
	}
	if len(st.Components) == 0 {
		a.talk().Line("%s deploys nothing.", diag.Escape(shortPath(st.File)))
	}
	a.tooWide(text.Bytes())
	return nil
}

// tooWide tells how to look at a drawing whose lines this terminal has broken.
func (a *app) tooWide(text []byte) {
	width, _, err := term.GetSize(int(a.Stdout.Fd()))
	if err != nil || width < 1 {
		return
	}
	widest := 0
	for line := range bytes.Lines(text) {
		widest = max(widest, utf8.RuneCount(bytes.TrimRight(line, "\n")))
	}
	if widest > width {
		a.talk().Line("The drawing has %s, this terminal %d: %s graph --format text | less -S", render.Count(widest, "column"), width, a.self())
	}
}
