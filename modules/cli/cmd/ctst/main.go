// Command ctst runs containers from one declarative file. See ctst --help, and
// package command for what each command does.
//
// It builds everywhere; deploying needs Linux 5.19, and root for what an ordinary
// user cannot have: ctst doctor says what that is.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/containust/containust/modules/cli/internal/command"
)

// softLimit is from where on memory is collected more eagerly. Files that are
// made to be large leave much more behind than they need.
const softLimit = 512 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softLimit)
	}
	os.Exit(command.Main(context.Background(), command.IO{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		LookupEnv: os.LookupEnv,
	}))
}
