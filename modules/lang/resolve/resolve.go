// Package resolve turns a .ctst file into a [stack.Stack]: it reads the file
// and what it imports, follows FROM, fills in parameters, LETs, environment
// and secrets, checks every property, and works out links and exposures.
//
//	st, found := resolve.Load(ctx, "app.ctst", resolve.Options{
//		LookupEnv:    os.LookupEnv,
//		LookupSecret: resolve.SecretDir(".containust/secrets"),
//		CPUs:         runtime.NumCPU(),
//	})
//
// It runs on every platform, needs no privileges, never looks at images or
// host paths, asks the network through Options.Fetch only, and may be called
// from any number of goroutines.
package resolve

import (
	"context"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
)

// Options say where Load gets what is outside of the file. With the zero value
// files come from disk, and there is no environment and no secret.
type Options struct {
	// ReadFile reads the root file, imports and a .env beside the root file
	// (only to mention it). nil: parser.ReadFile.
	ReadFile func(name string) ([]byte, error)

	// Fetch returns an import over https, or over http with a pin. url is
	// absolute and normalised; pin is the SHA-256 that the source asks for, 64
	// hex digits, or empty. An error that has the method Diagnostic()
	// diag.Diagnostic is shown as that says, at the import. nil: such imports
	// are errors. See package fetch.
	Fetch func(ctx context.Context, url, pin string) ([]byte, error)

	// LookupEnv is the caller's environment: ${env.X} and
	// CONTAINUST_SECRET_<X>. nil: empty.
	LookupEnv func(name string) (string, bool)

	// EnvFile holds the variables of --env-file, over which LookupEnv wins.
	EnvFile map[string]string

	// LookupSecret returns a secret that CONTAINUST_SECRET_<X> does not
	// give. An error that matches fs.ErrNotExist says that there is none.
	// nil: there is none. See [SecretDir].
	LookupSecret func(name string) (string, error)

	// CPUs is how many CPUs the machine has; 0: unknown, and `cpu` has no
	// upper bound.
	CPUs int
}

// Load reads the root file and returns what it deploys, and what was found on
// the way, sorted. The stack is nil when there are errors; warnings may come
// with a stack. The same input always gives the same answer.
func Load(ctx context.Context, file string, opts Options) (*stack.Stack, diag.List) {
	return load(ctx, file, opts)
}
