package event_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/sdk/event"
)

// BenchmarkAppend is what an event costs a start.
func BenchmarkAppend(b *testing.B) {
	l, err := event.OpenLog(b.TempDir())
	require.NoError(b, err)
	for b.Loop() {
		e := event.Event{Time: time.Now(), Component: "db", Type: event.Running}
		require.NoError(b, l.Append(&e))
	}
	require.NoError(b, l.Close())
}
