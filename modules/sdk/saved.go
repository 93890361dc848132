package sdk

import (
	"time"

	"github.com/containust/containust/modules/sdk/plan"
)

// Document returns the plan in the form that other programs read.
func (d *Deployment) Document() plan.Document {
	return plan.NewDocument(d.Plan, d.Desired, d.Warnings, d.Refused)
}

// Save writes the plan to a file from which it can be carried out later, see
// [Engine.Check]. The project's state folder and key come into being if they
// are not there: what the file says is keyed with it.
func (e *Engine) Save(d *Deployment, path string) error {
	if err := e.store.Make(); err != nil {
		return err
	}
	key, err := e.store.Key()
	if err != nil {
		return err
	}
	saved := plan.Saved{
		Made: time.Now().UTC().Truncate(time.Second), StateDir: e.project.StateDir, Inputs: d.inputs,
		Components: plan.Components(key, d.Plan, d.Desired, d.current),
		Plan:       d.Document(),
	}
	return saved.Write(path, key)
}

// Check makes sure that a deployment is what a saved plan says. path is the
// plan's file, for errors: a [*plan.FileError] for a plan of another project or
// one that was edited, a [*plan.StaleError] if something else would happen now.
// To hold that while it is applied, use ApplyOptions.Exactly.
func (e *Engine) Check(d *Deployment, saved *plan.Saved, path string) error {
	key, err := e.store.Key()
	if err != nil {
		return err
	}
	if err := saved.Check(path, e.project.StateDir, key); err != nil {
		return err
	}
	return saved.Compare(plan.Components(key, d.Plan, d.Desired, d.current), d.inputs)
}
