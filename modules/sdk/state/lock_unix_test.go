//go:build unix

package state_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk/state"
)

func TestAcquireIsExclusive(t *testing.T) {
	dir := t.TempDir()
	held, err := state.Acquire(dir, "lock")
	require.NoError(t, err)
	_, err = state.Acquire(dir, "lock")
	require.ErrorIs(t, err, state.ErrLocked)
	var locked *state.LockedError
	require.ErrorAs(t, err, &locked)
	require.Equal(t, os.Getpid(), locked.Holder.PID)
	require.Equal(t, state.CommandLine(os.Args), locked.Holder.Command)
	require.WithinDuration(t, time.Now(), locked.Holder.Since, time.Minute)
	require.NoError(t, held.Close())
	again, err := state.Acquire(dir, "lock")
	require.NoError(t, err)
	require.NoError(t, again.Close())
}
