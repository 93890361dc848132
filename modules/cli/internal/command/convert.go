package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/lang/compose"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk/state"
)

type convertFlags struct {
	files    []string
	output   string
	force    bool
	strict   bool
	profiles []string
	envFiles []string
}

func newConvert(a *app) *cobra.Command {
	var flags convertFlags
	cmd := &cobra.Command{
		Use:   "convert [COMPOSE-FILE…]",
		Short: "Write a Compose file as .ctst",
		Long: `convert reads Compose files, later ones over earlier ones, and prints what they say
as .ctst. Without a file it takes what Compose would: compose.yaml, compose.yml,
docker-compose.yaml or docker-compose.yml, with the override file beside it.

What .ctst does not say is told on standard error, one line each with its place, and
stands as a comment above the component that it belongs to.`,
		Example: examples("ctst convert -o shop.ctst", "ctst convert --strict compose.yaml compose.prod.yaml", "ctst convert --profile debug > debug.ctst"),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags.files = append(flags.files, args...)
			return a.convert(cmd.Context(), flags)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&flags.files, "file", "f", nil, "a Compose `file`; may be given several times")
	f.StringVarP(&flags.output, "output", "o", "", "write to this `file`, which must not be there; host paths are relative to it")
	f.BoolVar(&flags.force, "force", false, "overwrite the file of --output")
	f.BoolVar(&flags.strict, "strict", false, "write nothing and fail when anything would be lost")
	f.StringArrayVar(&flags.profiles, "profile", nil, "take in the services of a `profile` of Compose, * for all; may be given several times")
	f.StringArrayVar(&flags.envFiles, "env-file", nil, "take variables from this `file` instead of .env; may be given several times")
	return cmd
}

func (a *app) convert(ctx context.Context, flags convertFlags) error {
	files, err := a.composeFiles(flags.files)
	if err != nil {
		return err
	}
	result, err := compose.Convert(ctx, files, compose.Options{
		Output: flags.output, Profiles: flags.profiles, EnvFiles: flags.envFiles, LookupEnv: a.LookupEnv,
	})
	var bad *compose.Error
	switch {
	case errors.As(err, &bad):
		return &exitError{code: codeBadFile, err: err}
	case err != nil:
		return err
	}
	talk := a.talk()
	for _, r := range result.Remarks {
		line := r.String()
		if r.Lost {
			line = talk.Style.Yellow(line)
		}
		talk.Line("%s", line)
	}
	losses := len(result.Losses())
	if flags.strict && losses > 0 {
		return &problem{
			err:  fmt.Errorf("%s would be lost; nothing was written", render.Count(losses, "thing")),
			mend: []string{"change the Compose file, or convert without --strict and read the comments"},
		}
	}
	to := ""
	if flags.output == "" {
		_, err = a.Stdout.Write(result.Source)
	} else {
		err = writeNew(flags.output, result.Source, flags.force)
		to = " to " + diag.Escape(flags.output)
	}
	if err != nil {
		return err
	}
	talk.Line("Converted %s%s: %d lost, %s.", render.Count(result.Services, "service"), to, losses, render.Count(len(result.Remarks)-losses, "note"))
	return nil
}

// composeFiles are the files that were named, or those that Compose would take.
func (a *app) composeFiles(named []string) ([]string, error) {
	if len(named) > 0 {
		return named, nil
	}
	dir := a.dir
	if dir == "" {
		dir = "."
	}
	files, err := compose.Find(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &problem{
			err:  errors.New("there is no Compose file here"),
			mend: []string{"ctst convert FILE; without one it looks for compose.yaml, compose.yml, docker-compose.yaml and docker-compose.yml"},
		}
	}
	return files, err
}

// writeNew writes a file that must not be there yet, unless it may be
// overwritten. A link is not followed: it may lead anywhere.
func writeNew(name string, content []byte, overwrite bool) error {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is there, and not a regular file", name)
	case overwrite:
		return state.WriteFile(name, content, info.Mode().Perm())
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &problem{err: fmt.Errorf("%s is there already", name), mend: []string{"choose another name, or overwrite it with --force"}}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
