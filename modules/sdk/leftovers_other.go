//go:build !linux

package sdk

import (
	"context"

	"github.com/containust/containust/modules/sdk/native"
)

// onMachine is false where nothing runs natively.
func onMachine(string) bool { return false }

// Leftovers finds nothing: native containers need Linux.
func Leftovers(ctx context.Context) ([]native.Leftover, error) { return native.Leftovers(ctx, "") }

// RemoveLeftovers has nothing to remove.
func RemoveLeftovers(ctx context.Context, left []native.Leftover) error {
	return native.RemoveLeftovers(ctx, "", left)
}
