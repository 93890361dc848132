package command

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/containust/containust/modules/core/rootless"
	"github.com/containust/containust/modules/sdk"
)

// privileged are the commands that work with containers and their files: an
// ordinary user's run inside of a namespace in which that user is root.
var privileged = map[string]bool{
	"run": true, "plan": true, "exec": true, "stop": true, "rm": true, "images": true, "doctor": true,
	"ps": true, "logs": true, "restart": true, "kill": true, "pause": true, "unpause": true, "wait": true,
	"port": true, "inspect": true, "cp": true, "attach": true,
}

// asRoot runs the command that is asked for once more, as root of a user
// namespace, where it needs that. The error then is that command's exit code.
func (a *app) asRoot(cmd *cobra.Command, args []string) error {
	top := cmd
	for top.HasParent() && top.Parent().HasParent() {
		top = top.Parent()
	}
	if !rootless.Needed() || !privileged[top.Name()] {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	file := a.file
	if (top.Name() == "run" || top.Name() == "plan") && len(args) > 0 {
		file = args[0]
	}
	var opts rootless.Options
	// Without a project there is nothing to join; the command says what is wrong.
	if p, err := sdk.Find(file, a.dir, a.stateDir); err == nil {
		opts.Join = p.NamespaceFile()
	}
	exit, err := rootless.Run(cmd.Context(), append([]string{self}, a.Args...), os.Environ(), opts)
	if reason, mend := rootless.Obstacle(); err != nil && reason != "" {
		err = &exitError{code: codeUnsupported, err: &problem{
			err: fmt.Errorf("%s: %w", reason, err), mend: []string{mend, "or run ctst as root"},
		}}
	}
	if err != nil {
		return err
	}
	return &exitError{code: exit.Code}
}
