package sdk

import (
	"context"
	"iter"

	"github.com/containust/containust/modules/sdk/event"
)

// EventFilter chooses what Listen returns. The zero value is all events that
// are kept.
type EventFilter = event.Filter

// Listen returns what happened in the project, in order, and with Follow what
// happens until the context ends. It needs no supervisor and starts none. Who
// was interrupted goes on after the last sequence number that it saw:
//
//	for e, err := range eng.Listen(ctx, sdk.EventFilter{After: seen, Follow: true}) {
//		if err != nil {
//			return err // an *event.GapError says that some are gone; it may be passed over
//		}
//		seen = e.Seq
//	}
//
// Names that the project does not have are no error: they may come, or have been.
func (e *Engine) Listen(ctx context.Context, filter EventFilter) iter.Seq2[event.Event, error] {
	return event.Read(ctx, e.project.StateDir, filter)
}
