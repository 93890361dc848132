// Package job is what the harness and the first process of its guest tell each
// other.
package job

// Where things are in the guest.
const (
	Tests     = "/tests"           // the test programs, and what they need
	Test2JSON = "/tests/test2json" // cmd/test2json, which the go command uses too
	Init      = "/tests/init"      // the first process's program, where that is systemd
	Port      = "results"          // the virtio port that both talk over
)

// Ready is the action of a guest's first event, and of no package. The guest is
// then sent a [Job] as JSON on a line, and after its [End] the next. One without
// a program is the last: the guest switches itself off.
const Ready = "ready"

// End is the action of the event that follows the events of a job's tests: like
// them JSON on a line, with Package, Elapsed in seconds and as Output how the
// program failed, empty if it did not. The program's own last event cannot be
// told from one of a test when the program crashed.
const End = "end"

// Event is a line of `go test -json`; see `go doc test2json`.
type Event struct {
	Action  string
	Package string
	Test    string  `json:",omitempty"`
	Elapsed float64 `json:",omitempty"` // seconds
	Output  string  `json:",omitempty"`
}

// Job is a test program to run.
type Job struct {
	Package string   // its import path, and what tells this run from others of it
	Program string   // its file
	Folder  string   // the folder to run it in
	Args    []string // for the test program
	Env     []string // all of its environment
	UID     uint32   // who runs it
}
