package render

import (
	"fmt"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk/event"
)

// eventNames is how wide the column of components is, as long as names fit.
const eventNames = 12

// Event is an event in a line.
func Event(e event.Event, style Style) string {
	name := diag.Escape(e.Component)
	if name == "" {
		name = "–"
	}
	text := diag.Escape(strings.ReplaceAll(e.Text, "\n", "; "))
	if e.Elapsed > 0 {
		text = strings.TrimLeft(text+" after "+Elapsed(e.Elapsed), " ")
	}
	kind := pad(string(e.Type), len(event.Configured))
	switch e.Type {
	case event.Failed, event.Unhealthy, event.OOM, event.Skipped:
		kind = style.Red(kind)
	case event.Restart, event.Limit, event.Recovered, event.Adopted:
		kind = style.Yellow(kind)
	case event.Running, event.Healthy, event.Ready, event.Done:
		kind = style.Green(kind)
	case event.Exited:
		if e.Exit != nil && (e.Exit.Unknown || e.Exit.Code != 0) {
			kind = style.Red(kind)
		}
	case event.Configured, event.Created, event.Starting, event.Stopping, event.Stopped, event.Removed, event.Updated,
		event.Kept, event.Waiting:
	}
	line := fmt.Sprintf("%6d  %s  %s  %s  %s",
		e.Seq, style.Dim(e.Time.Local().Format("2006-01-02 15:04:05.000")), pad(name, eventNames), kind, text)
	return strings.TrimRight(line, " ")
}
