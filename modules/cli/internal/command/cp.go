package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/core/transfer"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk"
)

func newCp(a *app) *cobra.Command {
	var opts sdk.CopyOptions
	cmd := &cobra.Command{
		Use:   "cp SRC NAME:DST | cp NAME:SRC DST",
		Short: "Copy files into and out of a component",
		Long: `cp copies a file, or a folder with all in it, between this machine and a component
that runs. A DST that is a folder gets SRC into it, and only what is in SRC if that
ends in "/."; another DST is what SRC is called there. A path of the component is
from its root, and no link in there leads out of it.

What comes in belongs to the component's user, what comes out to you; set-user-id
bits are not copied. With - instead of a path of this machine it is a tar stream:
from the standard input into the folder DST, or to the standard output.

A local path with a colon is written with a slash before it: ./a:b`,
		Example: examples("ctst cp web:/var/log/app.log .", "ctst cp ./conf/. web:/tmp/conf",
			"ctst cp web:/data - | gzip > data.tar.gz"),
		Args:              arguments(2, 2, "a source and a destination"),
		ValidArgsFunction: a.completePlaces,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.cp(cmd.Context(), args[0], args[1], opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.Follow, "follow-link", "L", false, "copy what a SRC that is a symbolic link leads to")
	return cmd
}

// place splits NAME:PATH; a path of this machine has no name.
func place(text string) (name, path string) {
	name, path, found := strings.Cut(text, ":")
	if !found || name == "" || strings.ContainsAny(name, `/\.`) {
		return "", text
	}
	return name, path
}

func (a *app) cp(ctx context.Context, source, target string, opts sdk.CopyOptions) error {
	from, source := place(source)
	to, target := place(target)
	switch {
	case (from == "") == (to == ""):
		return usage("cp copies between this machine and a component: one of the two is NAME:PATH")
	case source == "" || target == "":
		return usage("cp: the path after the colon is missing; / is the component's root")
	case target == "-" && isTerminal(a.Stdout):
		return usage("cp: a tar stream is nothing for a terminal; write it to a file or a pipe")
	}
	ctx, cancel := signal.NotifyContext(ctx, stopSignals...)
	defer cancel()
	eng, _, err := a.openNamed(ctx, []string{from + to})
	if err != nil {
		return err
	}
	var copied transfer.Copied
	switch {
	case from != "" && target == "-":
		copied, err = eng.Pack(ctx, from, source, a.Stdout, opts)
	case from != "":
		copied, err = eng.CopyOut(ctx, from, source, target, opts)
	case source == "-":
		copied, err = eng.Unpack(ctx, a.Stdin, to, target)
	default:
		copied, err = eng.CopyIn(ctx, source, to, target, opts)
	}
	if err != nil {
		return a.mendCopy(err, from, to)
	}
	a.talk().Line("Copied %s, %s.", render.Count(copied.Files, "file"), render.Size(copied.Bytes))
	return nil
}

// mendCopy says where a path was looked for, and what to do.
func (a *app) mendCopy(err error, from, to string) error {
	var e *transfer.Error
	if !errors.As(err, &e) {
		return a.mendControl(err)
	}
	inside := from + to
	if (e.Op == "find" || e.Op == "read") == (to != "") {
		inside = ""
	}
	if inside != "" {
		err = fmt.Errorf("in %s: %w", inside, err)
	}
	switch {
	case errors.Is(e, syscall.EROFS) && inside != "":
		return &problem{err: err, mend: []string{fmt.Sprintf("copy to /tmp or into a volume, or let its root be written to: readonly = false of %s", inside)}}
	case errors.Is(e, fs.ErrNotExist) && inside != "":
		return &problem{err: err, mend: []string{fmt.Sprintf("%s exec %s /bin/ls shows what is there, if it has such", a.self(), inside)}}
	}
	return err
}

// completePlaces offers the components with a colon, beside the shell's files.
func (a *app) completePlaces(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names, _ := a.completeNames(cmd, nil, typed)
	for i, name := range names {
		names[i] = diag.Escape(name) + ":"
	}
	if len(names) == 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return names, cobra.ShellCompDirectiveNoSpace
}
