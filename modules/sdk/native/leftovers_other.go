//go:build !linux

package native

import "context"

// Leftovers finds nothing: native containers need Linux.
func Leftovers(context.Context, string) ([]Leftover, error) { return nil, nil }

// RemoveLeftovers has nothing to remove.
func RemoveLeftovers(context.Context, string, []Leftover) error { return nil }
