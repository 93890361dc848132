package supervise

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/containust/containust/modules/core/container"
)

// limitWatcher is what a backend can that knows when limits are hit.
type limitWatcher interface {
	WatchLimits(ctx context.Context, id container.ID, fn func(container.LimitHits)) error
}

// limitPause is how long a limit that is hit all the time is not told of again.
const limitPause = 10 * time.Second

// limits tells of the limits that one life of a component runs into.
type limits struct {
	s    *Supervisor
	name string

	mu     sync.Mutex
	killed bool // the kernel killed a process of it, and that was told
	told   map[string]time.Time
	over   bool
}

// watchLimits begins to watch, until ctx ends.
func (s *Supervisor) watchLimits(ctx context.Context, name string) *limits {
	l := &limits{s: s, name: name, told: map[string]time.Time{}}
	if w, ok := s.backend.(limitWatcher); ok {
		// Nobody waits for it: to let go takes the kernel a while.
		go func() {
			if err := w.WatchLimits(ctx, container.ID(name), l.hit); err != nil && ctx.Err() == nil {
				s.log.Error("watch limits", "component", name, "error", err)
			}
		}()
	}
	return l
}

// hit takes what was hit since it was last called.
func (l *limits) hit(hits container.LimitHits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return
	}
	if hits.OOMKills > 0 {
		l.killed = true
		text := "the kernel killed a process for want of memory"
		if hits.OOMKills > 1 {
			text = fmt.Sprintf("the kernel killed %d processes for want of memory", hits.OOMKills)
		}
		l.s.emit(Event{Component: l.name, Type: EventOOM, Text: text})
	}
	for _, limit := range []struct {
		name string
		hits int64
	}{{"memory", hits.Memory}, {"pids", hits.PIDs}} {
		if last := l.told[limit.name]; limit.hits > 0 && time.Since(last) >= limitPause {
			l.told[limit.name] = time.Now()
			l.s.emit(Event{Component: l.name, Type: EventLimit, Text: limit.name})
		}
	}
}

// end tells of an end for want of memory that was not told of yet; there are no
// more hits afterwards.
func (l *limits) end(exit container.ExitStatus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if exit.OutOfMemory && !l.killed {
		l.s.emit(Event{Component: l.name, Type: EventOOM, Text: "the kernel killed a process for want of memory"})
	}
	l.over = true
}
