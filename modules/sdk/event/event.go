// Package event is what happens in a project: the events themselves, and the file
// in its state folder that keeps them.
//
//	for e, err := range event.Read(ctx, stateDir, event.Filter{Follow: true}) {
//		...
//	}
//
// Each event has a sequence number, one higher than the one before it, which
// whoever reads can go on after. They are lines of JSON in events.jsonl. When that
// grows past a size it becomes events.jsonl.1 and another one is begun; a few
// such files are kept. Nothing is synced: a crash of the program loses no event,
// a power cut may lose the last ones.
//
// The package is portable and needs no privileges. A project has one [Log] at a
// time, whose methods may be used concurrently; reading needs no lock and goes on
// beside it.
package event

import (
	"time"

	"github.com/containust/containust/modules/core/container"
)

// Type names what happened.
type Type string

// The types of events.
const (
	Configured Type = "configured" // Text: what a deployment is about to do with it, and why
	Created    Type = "created"
	Starting   Type = "starting" // its process is being started
	Running    Type = "running"
	Healthy    Type = "healthy"
	Unhealthy  Type = "unhealthy" // Text says what the check found
	Done       Type = "completed" // a job ended with 0
	Exited     Type = "exited"
	Restart    Type = "restarting" // after the back-off in Text
	Failed     Type = "failed"
	Skipped    Type = "skipped" // not started, since what it needs failed
	Stopping   Type = "stopping"
	Stopped    Type = "stopped"
	Removed    Type = "removed"
	Updated    Type = "updated" // in place
	Paused     Type = "paused"
	Resumed    Type = "resumed"
	Signal     Type = "signalled" // with the signal in Text
	OOM        Type = "oom"       // the kernel killed a process of it for want of memory
	Limit      Type = "limit"     // it ran into the limit in Text
	Adopted    Type = "adopted"   // it was found on the machine, and the state did not know it
	Recovered  Type = "recovered"

	// These are told to who asks for something, and not kept.
	Kept    Type = "kept"    // nothing to do
	Ready   Type = "ready"   // others may use it; Elapsed since its turn came
	Waiting Type = "waiting" // for whoever changes the project now
)

// kept tells whether events of a type are written down.
func (t Type) kept() bool { return t != Kept && t != Ready && t != Waiting }

// Event is something that happened to a component, or, without a name, to the
// project.
type Event struct {
	Seq       uint64                `json:"seq,omitempty"` // zero: not kept
	Time      time.Time             `json:"time"`
	Component string                `json:"component,omitempty"`
	Type      Type                  `json:"type"`
	Text      string                `json:"text,omitempty"`    // why, for a person
	Elapsed   time.Duration         `json:"elapsed,omitempty"` // since the component's turn came; nanoseconds
	Exit      *container.ExitStatus `json:"exit,omitempty"`
}
