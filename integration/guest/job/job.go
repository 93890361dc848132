// Package job is what the harness and the first process of its guest tell each
// other.
package job

// Where things are in the guest.
const (
	List      = "/tests/jobs.json" // the jobs, JSON of []Job
	Test2JSON = "/tests/test2json" // cmd/test2json, which the go command uses too
	Port      = "results"          // the virtio port that the tests' events are written to
)

// Job is a test program to run.
type Job struct {
	Package string   // its import path, and what tells this run from others of it
	Program string   // its file
	Folder  string   // the folder to run it in
	Args    []string // for the test program
	Env     []string // all of its environment
	UID     uint32   // who runs it
}
