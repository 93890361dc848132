package native

// Leftover is something on this machine that belongs to a project of which
// nothing lives: neither a container nor a supervisor. A crash leaves it; the
// next command in that project takes it off, if there is one.
type Leftover struct {
	Project  string `json:"project,omitempty"`   // its name on this machine; empty: not known
	StateDir string `json:"state_dir,omitempty"` // of the project, where that is known
	Kind     string `json:"kind"`                // "records", "mount", "cgroup", "process", "interface", "reservation"
	Name     string `json:"name"`
}
