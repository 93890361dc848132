//go:build !linux

package idmap

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Host is what a host's ids are used for. It needs Linux.
type Host struct{}

// Look finds nothing: it needs Linux.
func Look() *Host { return &Host{} }

// Allocate needs Linux.
func (p Project) Allocate(context.Context, string) (uint32, error) {
	return 0, unsupported("allocate ids")
}

// Claim needs Linux.
func (p Project) Claim(context.Context, string, uint32, bool) error {
	return unsupported("claim ids")
}

// Free needs Linux.
func (p Project) Free(context.Context, ...string) error { return unsupported("free ids") }

// FreeAll needs Linux.
func (p Project) FreeAll(context.Context) error { return unsupported("free ids") }

// Own needs Linux.
func Own() (IDs, error) { return IDs{}, unsupported("read id maps") }

// Confined needs Linux.
func Confined() bool { return false }

// Caller needs Linux.
func Caller() (IDs, error) { return IDs{}, unsupported("find subordinate ids") }

// WriteMaps needs Linux.
func WriteMaps(int, IDs) error { return unsupported("write id maps") }

// Mount needs Linux.
func Mount(*os.File, *os.File, bool) error { return unsupported("map the owners of a mount") }

func unsupported(operation string) error {
	return fmt.Errorf("%s: %w: it needs Linux", operation, errors.ErrUnsupported)
}
