package state

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStepsFollowEachOther(t *testing.T) {
	require.Len(t, steps, Version-1, "each version but the newest has a step to the next")
	note := func(text string) func(map[string]any) error {
		return func(document map[string]any) error {
			before, _ := document["notes"].(string)
			document["notes"] = before + text
			return nil
		}
	}
	path := []func(map[string]any) error{note("a"), note("b"), note("c")}
	for version, want := range map[int]string{
		1: `{"notes":"abc","version":4}`, 2: `{"notes":"bc","version":4}`, 3: `{"notes":"c","version":4}`,
	} {
		got, err := migrate([]byte(`{"version": 0}`), version, path)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got))
	}
	same, err := migrate([]byte("left as it is"), 4, path)
	require.NoError(t, err)
	require.Equal(t, "left as it is", string(same))

	path[1] = func(map[string]any) error { return errors.New("no way") }
	_, err = migrate([]byte(`{}`), 1, path)
	require.EqualError(t, err, "from schema version 2 to 3: no way")
	_, err = migrate([]byte(`{}`), 0, path)
	require.Error(t, err)
}
