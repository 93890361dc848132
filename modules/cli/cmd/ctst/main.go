// Command ctst runs containers from one declarative file. See ctst --help, and
// package command for what each command does.
//
// It builds everywhere; deploying needs Linux 5.19, and root for what an ordinary
// user cannot have: ctst doctor says what that is.
package main

import (
	"context"
	"os"

	"github.com/containust/containust/modules/cli/internal/command"
)

func main() {
	os.Exit(command.Main(context.Background(), command.IO{
		Args: os.Args[1:], Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		LookupEnv: os.LookupEnv,
	}))
}
