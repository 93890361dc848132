package native

import (
	"context"

	"github.com/containust/containust/modules/core/cgroup"
	"github.com/containust/containust/modules/core/container"
)

// WatchLimits calls fn whenever a running container runs into a limit, or the
// kernel kills a process of it for want of memory, until it ends or ctx does.
// Where the machine has no limits it returns at once.
func (b *Backend) WatchLimits(ctx context.Context, id container.ID, fn func(container.LimitHits)) error {
	_, r, err := b.running(id)
	if err != nil || r.cgroup == nil {
		return nil //nolint:nilerr // it has just ended
	}
	return r.cgroup.WatchLimits(ctx, func(hits cgroup.LimitHits) { fn(container.LimitHits(hits)) })
}
