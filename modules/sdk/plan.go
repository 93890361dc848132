package sdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk/native"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
	"github.com/containust/containust/modules/storage/source"
	"github.com/containust/containust/modules/storage/store"
)

// Codes of what the engine finds about a file, beside those of package diag.
const (
	SourceMissing     diag.Code = "CT402"
	SourceUnreadable  diag.Code = "CT403"
	SourceUnsupported diag.Code = "CT404"
	NoCommand         diag.Code = "CT405"
	FileMissing       diag.Code = "CT406"
	DigestMismatch    diag.Code = "CT412"
	ProfileInvalid    diag.Code = "CT413"
	MachineLacks      diag.Code = "CT414"
)

// Plan loads the file, looks at its sources, and compares with what the project
// has. What is wrong with the file or a source is an error that holds a
// diag.Errors. Without Import, what only keeps the plan from being carried out
// is a warning, and the deployment is refused.
func (e *Engine) Plan(ctx context.Context, opts PlanOptions) (*Deployment, error) {
	if opts.Update {
		return e.planUpdate(ctx, opts)
	}
	if _, err := os.Stat(e.project.StateDir); err == nil && opts.Prepare {
		e.client.Prepare(ctx) // a project that ran before is likely to run again
	}
	st, found, inputs := e.load(ctx)
	return e.planStack(ctx, st, found, inputs, opts)
}

// planUpdate plans with what the imports are now. ctst.lock is written when all
// the rest is known to be good.
func (e *Engine) planUpdate(ctx context.Context, opts PlanOptions) (*Deployment, error) {
	if e.opts.Offline {
		return nil, errors.New("update needs the network, and Options.Offline forbids it")
	}
	im, err := e.openImports(true)
	if err != nil {
		return nil, diag.List{shown(err)}.Err()
	}
	st, found := e.resolve(ctx, im)
	d, err := e.planStack(ctx, st, found, im.inputs, opts)
	if err != nil {
		return nil, err
	}
	if err := im.record(); err != nil {
		return nil, diag.List{shown(err)}.Err()
	}
	return d, nil
}

// planStack plans what the file says, if it is good. inputs are the digests of
// the files that say it.
func (e *Engine) planStack(ctx context.Context, st *stack.Stack, found diag.List, inputs map[string]string, opts PlanOptions) (*Deployment, error) {
	if err := found.Err(); err != nil {
		return nil, err
	}
	d := &Deployment{Stack: st, Warnings: found, imported: opts.Import, inputs: inputs}
	if opts.Import {
		if err := e.store.Make(); err != nil {
			return nil, err
		}
	}
	var err error
	if d.current, err = e.current(ctx); err != nil {
		return nil, err
	}
	if opts.Prepare && len(st.Components) > 0 && !d.current.Active() {
		e.client.Prepare(ctx)
	}
	if d.found, err = plan.Look(e.project.StateDir, d.current); err != nil {
		return nil, err
	}
	if err := e.desire(ctx, d, opts); err != nil {
		return nil, err
	}
	if opts.Import { // which takes its time
		if d.current, err = e.current(ctx); err != nil {
			return nil, err
		}
	}
	if err := e.checkFile(d.current); err != nil {
		return nil, err
	}
	key, err := e.planKey(opts, d.current)
	if err != nil {
		return nil, err
	}
	d.Plan = plan.Make(key, d.Desired, d.current, d.found)
	d.Plan.Project = e.project.Project
	return d, nil
}

// desire finds out what the file wants of each component.
func (e *Engine) desire(ctx context.Context, d *Deployment, opts PlanOptions) error {
	images, err := e.openImages()
	if err != nil {
		return err
	}
	var problems diag.List
	// refuse takes what a run must not pass over and a plan may, and warnings.
	refuse := func(p diag.Diagnostic) {
		switch {
		case p.Severity == diag.Warning:
			d.Warnings = append(d.Warnings, p)
			return
		case opts.Import, p.Code == ProfileInvalid:
			problems = append(problems, p)
			return
		}
		p.Severity, p.Summary = diag.Warning, "run would refuse: "+p.Summary
		d.Warnings, d.Refused = append(d.Warnings, p), true
	}
	wanted := newWanted(d.Stack)
	machine := native.Examine(ctx)
	seen := map[origin]looked{}
	for _, c := range d.Stack.Components {
		from := origin{c.Image, c.ImageDir}
		l, known := seen[from]
		if !known {
			if l, err = e.image(ctx, images, c, opts); err != nil {
				return err
			}
			seen[from] = l
		}
		if l.problem != nil {
			problem := *l.problem
			problem.Range = c.Where["image"]
			if problem.Code != SourceMissing && problem.Code != SourceUnsupported {
				problems = append(problems, problem)
				continue
			}
			refuse(problem)
		}
		desired, refusals := wanted.component(c, l.image)
		refusals = append(refusals, lacks(machine, c, &desired, e.project.StateDir, opts.AllowUnenforcedLimits)...)
		for _, p := range refusals {
			refuse(p)
		}
		d.Desired = append(d.Desired, desired)
	}
	return problems.Err()
}

// planKey returns the project's key. A plan that is only looked at creates
// nothing: a project that has no components has nothing to compare with either.
func (e *Engine) planKey(opts PlanOptions, current *state.State) ([]byte, error) {
	if len(current.Components) == 0 && !opts.Import {
		return nil, nil
	}
	return e.store.Key()
}

// origin is where components find their image; many may have the same.
type origin struct{ uri, dir string }

// looked is what looking at a source brought.
type looked struct {
	image   store.Image
	problem *diag.Diagnostic // what a person has to mend
}

// image finds a component's image.
func (e *Engine) image(ctx context.Context, images *store.Store, c *stack.Component, opts PlanOptions) (looked, error) {
	problem := func(code diag.Code, summary, detail string) (looked, error) {
		return looked{problem: &diag.Diagnostic{Code: code, Severity: diag.Error, Summary: summary, Detail: detail}}, nil
	}
	ref, err := source.Parse(c.Image, c.ImageDir)
	switch {
	case errors.Is(err, errors.ErrUnsupported), err == nil && ref.Scheme == source.SchemeImage:
		scheme, _, _ := strings.Cut(c.Image, "://")
		return problem(SourceUnsupported, fmt.Sprintf("images of the form %s:// are not in this version", scheme),
			"this version runs folders (file://DIR) and tar archives (tar://FILE)")
	case err != nil:
		return problem(SourceUnreadable, err.Error(), "")
	}
	var img store.Image
	if opts.Import {
		img, err = images.Import(ctx, ref, store.ImportOptions{Owner: e.project.StateDir, Progress: func(p store.Progress) {
			if opts.Progress != nil {
				opts.Progress(Progress{Component: c.Name, Source: c.Image, Bytes: p.Read, Total: p.Total})
			}
		}})
		if opts.Progress != nil && err == nil {
			opts.Progress(Progress{Component: c.Name, Source: c.Image, Done: true})
		}
	} else {
		img.Digest, err = images.Digest(ctx, ref)
	}
	e.opts.Logger.Debug("image", "component", c.Name, "source", c.Image, "digest", img.Digest, "error", err)
	var mismatch *source.DigestError
	switch {
	case err == nil:
		return looked{image: img}, nil
	case ctx.Err() != nil:
		return looked{}, ctx.Err()
	case errors.As(err, &mismatch):
		return problem(DigestMismatch, fmt.Sprintf("the digest of %s does not match", trimPin(c.Image)),
			fmt.Sprintf("expected %s\nfound    %s\nif the source was changed on purpose, write the digest that was found", mismatch.Want, mismatch.Got))
	case errors.Is(err, fs.ErrNotExist):
		return problem(SourceMissing, fmt.Sprintf("there is no %s", ref.Path), "a relative path belongs to the folder of the file that wrote it")
	case errors.Is(err, errors.ErrUnsupported):
		return problem(SourceUnsupported, err.Error(), "")
	}
	return problem(SourceUnreadable, fmt.Sprintf("%s cannot be read: %v", trimPin(c.Image), err), "")
}

func trimPin(uri string) string {
	uri, _, _ = strings.Cut(uri, "@sha256:")
	return uri
}
