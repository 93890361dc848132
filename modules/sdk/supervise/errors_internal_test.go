package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
)

func TestErrorsKeepTheirIdentityOverTheSocket(t *testing.T) {
	text, err := json.Marshal(newRemoteError(fmt.Errorf("%w: start one: %w", ErrComponent, container.ErrCommandNotFound)))
	require.NoError(t, err)
	var got *remoteError
	require.NoError(t, json.Unmarshal(text, &got))
	require.EqualError(t, got, "a component failed: start one: command not found")
	require.ErrorIs(t, got, ErrComponent)
	require.ErrorIs(t, got, container.ErrCommandNotFound)
	require.NotErrorIs(t, got, fs.ErrNotExist)

	// A newer supervisor may know kinds that this client does not.
	require.NotErrorIs(t, &remoteError{Kinds: []string{"newer"}}, errors.ErrUnsupported)
}
