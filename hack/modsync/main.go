// Command modsync keeps the modules of this repository in step.
//
//	modsync tidy [DIR…]   tidy the go.mod and go.sum of all modules, or of those in DIR
//	modsync check         say what is out of step; change nothing
//	modsync sync          write the versions of versions.yaml to every go.mod and to go.work
//	modsync rehearse      release HEAD into a temporary repository and use it from outside
//
// The modules require each other at the next version to be tagged, which no
// proxy has yet, and a released go.mod may not have a replace. The go command's
// own tidy stops there; with -e it drops the requirements. modsync lends each
// module the replaces it needs in a throw-away go.mod and copies the rest back.
//
// It needs go and git. Run it from anywhere inside the repository:
// `GOWORK=off go -C hack run ./modsync check`, so that it works while go.work
// doesn't.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
)

const usage = "usage: modsync tidy [DIR…] | check | sync | rehearse"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "modsync:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || len(args) > 1 && args[0] != "tidy" {
		return fmt.Errorf("%s", usage)
	}
	repo, err := openRepo(ctx)
	if err != nil {
		return err
	}
	switch args[0] {
	case "tidy":
		return repo.tidy(ctx, args[1:])
	case "check":
		problems, err := repo.check(ctx)
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return fmt.Errorf("%d out of step:\n  %s", len(problems), strings.Join(problems, "\n  "))
		}
		fmt.Printf("%d modules are in step\n", len(repo.modules))
		return nil
	case "sync":
		return repo.sync(ctx)
	case "rehearse":
		return repo.rehearse(ctx, os.Stdout)
	default:
		return fmt.Errorf("unknown command %q; %s", args[0], usage)
	}
}
