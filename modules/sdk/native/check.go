package native

// Requirement is something that native containers need of a machine.
type Requirement struct {
	Name     string
	Required bool   // without it nothing runs
	Found    string // what there is, when Err is nil
	Err      error  // nil: it is there
	Mend     string // what to do about Err
}
