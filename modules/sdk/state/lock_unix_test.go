//go:build unix

package state_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk/state"
)

func TestAcquireIsExclusive(t *testing.T) {
	dir := t.TempDir()
	held, err := state.Acquire(dir, "lock")
	require.NoError(t, err)
	_, err = state.Acquire(dir, "lock")
	require.ErrorIs(t, err, state.ErrLocked)
	require.NoError(t, held.Close())
	again, err := state.Acquire(dir, "lock")
	require.NoError(t, err)
	require.NoError(t, again.Close())
}
