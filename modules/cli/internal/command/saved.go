package command

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containust/containust/modules/cli/internal/render"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/supervise"
)

// takePlan reads the saved plan that is to be carried out. It says of which
// project it is, unless the flags or the current folder do.
func (r *run) takePlan() error {
	if r.planFile == "" {
		return nil
	}
	if len(r.rerun) > 0 {
		return usage("--plan carries out exactly what was planned, and --rerun asks for more: choose one")
	}
	var err error
	if r.saved, err = plan.ReadSaved(r.planFile); err != nil {
		return r.unusable(err)
	}
	if r.file != "" || r.dir != "" {
		return nil
	}
	file := r.saved.Plan.Project.File
	here, err := sdk.Find("", "", r.stateDir)
	if err == nil && here.File == file && here.StateDir == r.saved.StateDir {
		return nil
	}
	r.file = file
	if r.stateDir == "" {
		r.stateDir = r.saved.StateDir
	}
	return nil
}

// checkPlan makes sure that what would happen is what was planned.
func (r *run) checkPlan() error {
	if r.saved == nil {
		return nil
	}
	return r.unusable(r.eng.Check(r.d, r.saved, r.planFile))
}

// unusable says what to do about a saved plan that cannot be carried out.
func (r *run) unusable(err error) error {
	var stale *plan.StaleError
	if errors.As(err, &stale) {
		for i, path := range stale.Inputs {
			stale.Inputs[i] = shortPath(path)
		}
	}
	var file *plan.FileError
	if stale == nil && !errors.As(err, &file) {
		return err
	}
	return &problem{err: fmt.Errorf("nothing was changed: %w", err), mend: []string{r.planAgain()}}
}

// planAgain is the command that saves a new plan.
func (r *run) planAgain() string {
	out := r.planFile
	if out == "" {
		out = "plan.json"
	}
	return fmt.Sprintf("plan again, and look at it: %s plan --out %s", r.self(), typed(out))
}

// moved says what to do when the project changed between plan and apply.
func (r *run) moved(err error) error {
	if !errors.Is(err, supervise.ErrMoved) {
		return err
	}
	if r.planFile != "" {
		return &problem{err: err, mend: []string{r.planAgain()}}
	}
	return &problem{err: err, mend: []string{"the same command again"}}
}

// confirmable makes sure that there is somebody to ask.
func (r *run) confirmable() error {
	if !r.confirm || isTerminal(r.Stdin) {
		return nil
	}
	return &exitError{code: codeUsage, err: &problem{
		err:  errors.New("--confirm asks, and standard input is no terminal: nobody can answer"),
		mend: []string{r.self() + " plan --out plan.json, and after a look at it: ctst run --plan plan.json"},
	}}
}

// ask shows the plan and waits for a yes.
func (r *run) ask(ctx context.Context) error {
	if !r.confirm || r.d.Plan.Empty() && len(r.rerun) == 0 {
		return nil
	}
	err := render.Plan(r.Stderr, r.d, render.PlanOptions{Now: time.Now(), Style: r.style(r.Stderr)})
	if err != nil {
		return err
	}
	if len(r.rerun) > 0 {
		r.talk.Line("To run again: %s.", strings.Join(r.rerun, ", "))
	}
	if _, err := io.WriteString(r.Stderr, "\nCarry it out? [y/N] "); err != nil {
		return err
	}
	answers := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(r.Stdin).ReadString('\n')
		if err != nil {
			line = "" // the end of the input is no yes
		}
		answers <- line
	}()
	select {
	case answer := <-answers:
		switch strings.ToLower(strings.TrimSpace(answer)) {
		case "y", "yes":
			return nil
		}
		r.talk.Line("Nothing was changed.")
		return &exitError{code: codeFailed}
	case <-ctx.Done():
		r.talk.Line("")
		return ctx.Err()
	}
}
