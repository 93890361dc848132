package supervise_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/container"
)

// tight is a machine whose containers run into their limits at once.
type tight struct {
	*machine
	told chan struct{}
	over chan struct{} // closed when the component has ended
}

func (m *tight) WatchLimits(ctx context.Context, _ container.ID, fn func(container.LimitHits)) error {
	fn(container.LimitHits{Memory: 7})
	fn(container.LimitHits{Memory: 7, PIDs: 1})
	fn(container.LimitHits{OOMKills: 2})
	m.told <- struct{}{}
	<-ctx.Done()
	<-m.over
	fn(container.LimitHits{PIDs: 1, OOMKills: 1}) // too late
	m.told <- struct{}{}
	return nil
}

func TestLimitsAreTold(t *testing.T) {
	m := &tight{newMachine(nil), make(chan struct{}, 2), make(chan struct{})}
	s := openBackend(t, m, m.machine)
	_, err := s.apply(t, component("db", nil))
	require.NoError(t, err)
	<-m.told
	m.end("db", 137)
	require.Eventually(t, s.Idle, 5*time.Second, time.Millisecond)
	close(m.over)
	<-m.told
	kept := slices.DeleteFunc(s.kept(t), func(e string) bool { return e != "db limit" && e != "db oom" })
	require.Equal(t, []string{"db limit", "db limit", "db oom"}, kept, "each limit once, and nothing after its end")
}
