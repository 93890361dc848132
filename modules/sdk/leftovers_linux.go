package sdk

import (
	"context"
	"os"
	"path/filepath"

	"github.com/containust/containust/modules/sdk/native"
)

// onMachine tells whether the project with this state folder has something on
// the machine: it runs, or did and was not taken off.
func onMachine(stateDir string) bool {
	base, err := runBase()
	if err != nil {
		return false
	}
	_, err = os.Lstat(filepath.Join(base, projectID(stateDir)))
	return err == nil
}

// Leftovers finds what is left on this machine, for this user, of projects of
// which nothing lives any more.
func Leftovers(ctx context.Context) ([]native.Leftover, error) {
	base, err := runBase()
	if err != nil {
		return nil, err
	}
	return native.Leftovers(ctx, base)
}

// RemoveLeftovers removes what Leftovers has found. A project that lives again
// is left alone, with an error. State folders stay.
func RemoveLeftovers(ctx context.Context, left []native.Leftover) error {
	base, err := runBase()
	if err != nil {
		return err
	}
	return native.RemoveLeftovers(ctx, base, left)
}
