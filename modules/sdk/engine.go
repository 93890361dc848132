package sdk

// Engine works on one project.
type Engine struct {
	opts    Options
	project Project
}
