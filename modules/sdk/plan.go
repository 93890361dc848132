package sdk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
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
)

// Plan loads the file, looks at its sources, and compares with what the project
// has. What is wrong with the file or a source is an error that holds a
// diag.Errors.
func (e *Engine) Plan(ctx context.Context, opts PlanOptions) (*Deployment, error) {
	st, found := e.Load(ctx)
	if err := found.Err(); err != nil {
		return nil, err
	}
	d := &Deployment{Stack: st, Warnings: found, imported: opts.Import}
	images, err := e.openImages()
	if err != nil {
		return nil, err
	}
	if opts.Import {
		if err := os.MkdirAll(e.project.StateDir, 0o700); err != nil {
			return nil, err
		}
	}
	var problems diag.List
	for _, c := range st.Components {
		img, problem, err := e.image(ctx, images, c, opts)
		if err != nil {
			return nil, err
		}
		if problem != nil && problem.Severity == diag.Warning {
			d.Warnings = append(d.Warnings, *problem)
		} else if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		desired, problem := desire(st, c, img)
		if problem != nil && problem.Severity == diag.Warning {
			d.Warnings = append(d.Warnings, *problem)
		} else if problem != nil {
			problems = append(problems, *problem)
			continue
		}
		d.Desired = append(d.Desired, desired)
	}
	if err := problems.Err(); err != nil {
		return nil, err
	}
	current, err := e.current(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.checkFile(current); err != nil {
		return nil, err
	}
	key, err := e.planKey(opts)
	if err != nil {
		return nil, err
	}
	d.Plan = plan.Make(key, d.Desired, current)
	d.Plan.Project = e.project.Project
	return d, nil
}

// planKey returns the project's key. A plan that is only looked at creates
// nothing: a project that has no state yet has nothing to compare with either.
func (e *Engine) planKey(opts PlanOptions) ([]byte, error) {
	if _, err := os.Stat(e.project.StateDir); errors.Is(err, fs.ErrNotExist) && !opts.Import {
		return nil, nil
	}
	return e.store.Key()
}

// image finds a component's image. Problem is what a person has to mend.
func (e *Engine) image(ctx context.Context, images *store.Store, c *stack.Component, opts PlanOptions) (store.Image, *diag.Diagnostic, error) {
	place := c.Where["image"]
	problem := func(code diag.Code, severity diag.Severity, summary, detail string) *diag.Diagnostic {
		return &diag.Diagnostic{Code: code, Severity: severity, Summary: summary, Detail: detail, Range: place}
	}
	ref, err := source.Parse(c.Image, c.ImageDir)
	if err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			return store.Image{}, problem(SourceUnsupported, diag.Error, err.Error(),
				"this version runs folders (file://DIR) and tar archives (tar://FILE)"), nil
		}
		return store.Image{}, problem(SourceUnreadable, diag.Error, err.Error(), ""), nil
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
		return img, nil, nil
	case ctx.Err() != nil:
		return img, nil, ctx.Err()
	case errors.As(err, &mismatch):
		return img, problem(DigestMismatch, diag.Error,
			fmt.Sprintf("the digest of %s does not match", trimPin(c.Image)),
			fmt.Sprintf("expected %s\nfound    %s\nif the source was changed on purpose, write the digest that was found", mismatch.Want, mismatch.Got)), nil
	case errors.Is(err, fs.ErrNotExist):
		severity := diag.Error
		if !opts.Import {
			severity = diag.Warning
		}
		return img, problem(SourceMissing, severity, fmt.Sprintf("there is no %s", ref.Path),
			"a relative path belongs to the folder of the file that wrote it"), nil
	case errors.Is(err, errors.ErrUnsupported):
		return img, problem(SourceUnsupported, diag.Error, err.Error(), ""), nil
	}
	return img, problem(SourceUnreadable, diag.Error, fmt.Sprintf("%s cannot be read: %v", trimPin(c.Image), err), ""), nil
}

func trimPin(uri string) string {
	uri, _, _ = strings.Cut(uri, "@sha256:")
	return uri
}

// desire makes the specification of a component that has its image.
func desire(st *stack.Stack, c *stack.Component, img store.Image) (plan.Desired, *diag.Diagnostic) {
	cfg := container.Config{
		Name: c.Name, Hostname: c.Hostname, WorkDir: first(c.WorkDir, img.Config.WorkDir), User: first(c.User, img.Config.User),
		ReadOnly: c.ReadOnly, Capabilities: c.Capabilities, Seccomp: c.Seccomp, Devices: c.Devices,
		Resources: resources(c), Health: health(c.Health), Job: c.Job,
		Restart:    container.Restart{Policy: container.RestartPolicy(c.Restart.Policy), Max: c.Restart.Max},
		StopSignal: first(c.StopSignal, img.Config.StopSignal), StopTimeout: c.StopTimeout, Init: c.Init, Labels: c.Labels,
		Network: container.Network{Mode: container.NetworkMode(c.Network), Offline: c.Offline},
	}
	entrypoint, command := c.Entrypoint, c.Command
	if entrypoint == nil {
		entrypoint = img.Config.Entrypoint
		if command == nil {
			command = img.Config.Cmd
		}
	}
	cfg.Args = slices.Concat(entrypoint, command)
	if len(cfg.Args) == 0 {
		return plan.Desired{}, &diag.Diagnostic{
			Code: NoCommand, Severity: diag.Error, Range: c.Range,
			Summary: fmt.Sprintf("nothing says what %s is to run", c.Name),
			Detail:  `its image has no command of its own: write command = ["/path/in/image", "argument"]`,
		}
	}
	for _, l := range img.Layers {
		cfg.Layers = append(cfg.Layers, container.Layer{Digest: l.DiffID.String(), Path: l.Path})
	}
	if problem := unsupported(c); problem != nil {
		return plan.Desired{}, problem
	}
	if problem := mounts(&cfg, c); problem != nil {
		return plan.Desired{}, problem
	}
	links(&cfg, st)

	d := plan.Desired{Config: cfg, Shown: cfg, Image: state.Image{Source: c.Image, Digest: img.Digest.String()}}
	d.DependsOn = dependencies(st, c.Name)
	d.Config.Env, d.Shown.Env = environment(img.Config.Env, c)
	var problem *diag.Diagnostic
	if d.Config.Files, d.Shown.Files, problem = files(c); problem != nil {
		return d, problem
	}
	d.Config.SeccompProfile, d.Shown.SeccompProfile, problem = profile(c)
	return d, problem
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// environment returns the image's variables with the component's over them: as
// they are, and as they may be shown.
func environment(base []string, c *stack.Component) (real, shown []string) {
	set := map[string]bool{}
	for _, v := range c.Env {
		set[v.Name] = true
	}
	for _, name := range c.EnvUnset {
		set[name] = true
	}
	if c.EnvClear {
		base = nil
	}
	for _, kv := range base {
		if name, _, _ := strings.Cut(kv, "="); !set[name] {
			real, shown = append(real, kv), append(shown, kv)
		}
	}
	for _, v := range c.Env {
		real = append(real, v.Name+"="+v.Value.Value)
		shown = append(shown, v.Name+"="+v.Value.Shown)
	}
	return real, shown
}

// links adds what the component may reach, and where it is exposed.
func links(cfg *container.Config, st *stack.Stack) {
	for _, l := range st.Links {
		to := st.Component(l.To)
		if l.From == cfg.Name && to != nil && !to.Job && to.Network == string(container.NetworkProject) {
			cfg.Network.Links = append(cfg.Network.Links, l.To)
		}
	}
	slices.Sort(cfg.Network.Links)
	for _, x := range st.Exposures {
		if x.Component == cfg.Name {
			cfg.Network.Expose = append(cfg.Network.Expose, container.Exposure{
				Address: x.Address, HostPort: x.HostPort, ContainerPort: x.Port, Protocol: x.Protocol,
			})
		}
	}
}

// dependencies are the components that must be ready before name starts.
func dependencies(st *stack.Stack, name string) []string {
	var on []string
	for _, l := range st.Links {
		if l.From == name && !l.NoWait && !slices.Contains(on, l.To) {
			on = append(on, l.To)
		}
	}
	slices.Sort(on)
	return on
}

func resources(c *stack.Component) container.Resources {
	r := container.Resources{
		Memory: c.Memory, MemorySwap: c.MemorySwap, CPUs: c.CPUs, CPUWeight: c.CPUWeight,
	}
	if c.IO != nil {
		r.IO = &container.IO{
			Device: c.IO.Device, Weight: c.IO.Weight, ReadBPS: c.IO.ReadBPS, WriteBPS: c.IO.WriteBPS,
			ReadIOPS: c.IO.ReadIOPS, WriteIOPS: c.IO.WriteIOPS,
		}
	}
	for _, u := range c.Ulimits {
		r.Rlimits = append(r.Rlimits, container.Rlimit{Name: u.Name, Soft: u.Soft, Hard: u.Hard})
	}
	return r
}

func health(h *stack.Health) *container.Health {
	if h == nil {
		return nil
	}
	return &container.Health{
		Command: h.Command, HTTP: h.HTTP, TCP: h.TCP, Interval: h.Interval, Timeout: h.Timeout,
		Retries: h.Retries, StartPeriod: h.StartPeriod,
	}
}
