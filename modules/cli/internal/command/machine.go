package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/native"
)

// workDir is the folder that relative paths of the command line belong to.
func workDir(dir string) (string, error) {
	if dir == "" {
		return os.Getwd()
	}
	return filepath.Abs(dir)
}

func newDoctor(a *app) *cobra.Command {
	var asJSON, leftovers, clean bool
	cmd := &cobra.Command{
		Use:   "doctor [--leftovers [PROJECT…]]",
		Short: "Check whether this machine can run components",
		Long: `doctor checks everything that components need from this machine, and says how to
mend what is missing. It changes nothing.

With --leftovers it lists what is left on the machine of projects of which nothing
lives any more, after a crash say: cgroups, processes, interfaces, mounts, records
and reservations. The exit code is 1 when there is something. --clean removes it;
the state, logs and volumes of the projects stay.`,
		Example: examples("ctst doctor", "ctst doctor --json", "ctst doctor --leftovers --clean"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if leftovers || clean {
				return a.leftovers(cmd.Context(), args, clean, asJSON)
			}
			if err := arguments(0, 0, "no argument")(cmd, args); err != nil {
				return err
			}
			missing := false
			checks := []render.Check{}
			for _, r := range native.Check(cmd.Context()) {
				check := render.Check{Name: r.Name, OK: r.Err == nil, Required: r.Required, Found: r.Found}
				if r.Err != nil {
					missing = missing || r.Required
					check.Found, check.Err, check.Mend = "", oneLine(r.Err), r.Mend
				}
				checks = append(checks, check)
			}
			var err error
			if asJSON {
				err = a.json(checks)
			} else {
				err = render.Checks(a.Stdout, checks, a.style(a.Stdout))
			}
			if err == nil && missing {
				return &exitError{code: codeUnsupported}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON array")
	cmd.Flags().BoolVar(&leftovers, "leftovers", false, "list what is left of projects that are gone")
	cmd.Flags().BoolVar(&clean, "clean", false, "remove what --leftovers lists")
	return cmd
}

// leftovers lists what is left of projects, of the named ones if there are names,
// and removes it.
func (a *app) leftovers(ctx context.Context, projects []string, clean, asJSON bool) error {
	left, err := sdk.Leftovers(ctx)
	if err != nil {
		return err
	}
	if len(projects) > 0 {
		left = slices.DeleteFunc(left, func(l native.Leftover) bool {
			return !slices.Contains(projects, l.Project) && !slices.Contains(projects, l.Name)
		})
	}
	if asJSON {
		err = a.json(append([]native.Leftover{}, left...))
	} else {
		err = render.Leftovers(a.Stdout, left, a.style(a.Stdout))
	}
	switch {
	case err != nil || len(left) == 0:
		return err
	case !clean:
		a.talk().Line("Remove it: %s doctor --leftovers --clean", a.self())
		return &exitError{code: codeFailed}
	}
	if err := sdk.RemoveLeftovers(ctx, left); err != nil {
		return err
	}
	a.talk().Line("Removed.")
	return nil
}

// requirements says what this machine lacks, and how to mend it; nil when it has
// all that components need.
func requirements(ctx context.Context) error {
	var missing, mend []string
	for _, r := range native.Check(ctx) {
		if r.Required && r.Err != nil {
			missing = append(missing, fmt.Sprintf("%s: %s", r.Name, oneLine(r.Err)))
			mend = append(mend, r.Mend)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &exitError{code: codeUnsupported, err: &problem{
		err:  fmt.Errorf("components cannot run here\n%s", strings.Join(missing, "\n")),
		mend: mend,
	}}
}

// oneLine is an error's text in one line.
func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// version describes the program.
type version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readVersion() version {
	v := version{Version: "unknown", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Revision = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v version) String() string {
	text := "ctst " + v.Version
	if v.Revision != "" {
		text += " " + v.Revision[:min(12, len(v.Revision))]
		if v.Modified {
			text += " (modified)"
		}
	}
	return text + "  " + v.Platform + "  " + v.Go
}

func newVersion(a *app) *cobra.Command {
	asJSON := false
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    "version prints the version, the revision it was built from, and the platform.",
		Example: examples("ctst version", "ctst version --json"),
		Args:    arguments(0, 0, "no argument"),
		RunE: func(_ *cobra.Command, _ []string) error {
			if asJSON {
				return a.json(readVersion())
			}
			_, err := fmt.Fprintln(a.Stdout, readVersion())
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object")
	return cmd
}

func newCompletion(a *app) *cobra.Command {
	shells := map[string]func(root *cobra.Command) error{
		"bash":       func(root *cobra.Command) error { return root.GenBashCompletionV2(a.Stdout, true) },
		"zsh":        func(root *cobra.Command) error { return root.GenZshCompletion(a.Stdout) },
		"fish":       func(root *cobra.Command) error { return root.GenFishCompletion(a.Stdout, true) },
		"powershell": func(root *cobra.Command) error { return root.GenPowerShellCompletionWithDesc(a.Stdout) },
	}
	names := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print the completion script for a shell",
		Long:  "completion prints the script that completes commands, flags and component names in bash, zsh, fish or powershell.",
		Example: examples(
			"source <(ctst completion bash)",
			"ctst completion zsh > \"${fpath[1]}/_ctst\"",
			"ctst completion fish > ~/.config/fish/completions/ctst.fish",
		),
		ValidArgs: names,
		Args:      arguments(1, 1, "bash, zsh, fish or powershell"),
		RunE: func(cmd *cobra.Command, args []string) error {
			write, ok := shells[args[0]]
			if !ok {
				return usage("no completion for %q: there is bash, zsh, fish and powershell", args[0])
			}
			return write(cmd.Root())
		},
	}
}

// newSupervise is what a running project's supervisor is started as; nobody types
// it.
func newSupervise() *cobra.Command {
	return &cobra.Command{
		Use: "supervise STATEDIR", Hidden: true,
		Short: "Be a project's supervisor",
		Args:  arguments(1, 1, "a state folder"),
		RunE:  func(cmd *cobra.Command, args []string) error { return sdk.Supervise(cmd.Context(), args[0]) },
	}
}
