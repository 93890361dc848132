package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containust/containust/integration/guest/job"
)

// results collects what the guest says about its tests.
type results struct {
	w       io.Writer
	verbose bool
	partial bool // only some tests were asked for

	started time.Time
	booted  time.Duration // until the first event

	suites map[string]*outcome // by package
	order  []string
	failed []string
	// skipped are tests that nobody allowed to be skipped.
	skipped []string
}

// outcome is what is known about a package's tests.
type outcome struct {
	job     job.Job
	output  map[string]*strings.Builder // by test; "" is the package's own
	running map[string]bool
	ran     int
	skipped int
	failed  bool // one of its tests
	ended   bool
}

func newResults(w io.Writer, jobs []job.Job, o options) *results {
	r := &results{w: w, verbose: o.verbose, partial: o.run != "", suites: map[string]*outcome{}}
	for _, j := range jobs {
		r.order = append(r.order, j.Package)
		r.suites[j.Package] = &outcome{job: j, output: map[string]*strings.Builder{}, running: map[string]bool{}}
	}
	return r
}

// read reads events until there are no more. A machine that dies may leave half
// a line.
func (r *results) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return nil // how the machine ended, the machine tells
		}
		if err != nil {
			return fmt.Errorf("results of the guest: %w", err)
		}
		var e job.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("results of the guest: %q: %w", line, err)
		}
		suite, ok := r.suites[e.Package]
		if !ok {
			return fmt.Errorf("results of the guest: about package %q, which it was not asked for", e.Package)
		}
		if r.booted == 0 {
			r.booted = time.Since(r.started)
		}
		r.take(e, suite)
	}
}

func (r *results) take(e job.Event, s *outcome) {
	switch e.Action {
	case "run":
		s.running[e.Test] = true
		s.ran++
	case "output":
		r.output(e, s)
	case "pass", "fail", "skip":
		if e.Test == "" {
			return // that of the package, which comes with job.End
		}
		delete(s.running, e.Test)
		switch e.Action {
		case "fail":
			s.failed = true
			r.tell(s, e.Test)
		case "skip":
			r.skip(e, s)
		}
		delete(s.output, e.Test)
	case job.End:
		s.ended = true
		r.end(e, s)
	}
}

func (r *results) output(e job.Event, s *outcome) {
	if r.verbose {
		fmt.Fprint(r.w, e.Output)
	}
	b := s.output[e.Test]
	if b == nil {
		b = &strings.Builder{}
		s.output[e.Test] = b
	}
	if !strings.HasPrefix(strings.TrimSpace(e.Output), "=== ") {
		b.WriteString(e.Output)
	}
}

// tell prints what a test wrote.
func (r *results) tell(s *outcome, test string) {
	if b := s.output[test]; b != nil && !r.verbose {
		fmt.Fprint(r.w, b)
	}
}

// end tells the result of a package.
func (r *results) end(e job.Event, s *outcome) {
	word, note := "ok  ", ""
	switch {
	case e.Output != "" || s.failed:
		word = "FAIL"
		// What a test wrote that took the program with it, and what belongs to
		// none.
		for _, name := range slices.Sorted(maps.Keys(s.output)) {
			r.tell(s, name)
		}
	case s.ran == s.skipped && r.partial:
		note = "\t[no tests to run]"
	case s.ran == s.skipped:
		word, note = "FAIL", "\t[no tests ran]"
	}
	if word == "FAIL" {
		r.failed = append(r.failed, e.Package)
	}
	fmt.Fprintf(r.w, "%s\t%s\t%.3fs%s\n", word, e.Package, e.Elapsed, note)
}

func (r *results) skip(e job.Event, s *outcome) {
	s.skipped++
	output := ""
	if b := s.output[e.Test]; b != nil {
		output = b.String()
	}
	if !maySkip(s.job, e.Test, output) {
		r.tell(s, e.Test)
		r.skipped = append(r.skipped, e.Package+" "+e.Test)
	}
}

// incomplete tells whether a package's result is missing.
func (r *results) incomplete() bool {
	return slices.ContainsFunc(r.order, func(pkg string) bool { return !r.suites[pkg].ended })
}

// problems says what is not as it should be.
func (r *results) problems() []string {
	var problems []string
	for _, pkg := range r.order {
		s := r.suites[pkg]
		if s.ended {
			continue
		}
		text := "no result of " + pkg
		if running := slices.Sorted(maps.Keys(s.running)); len(running) > 0 {
			text += ", in which " + strings.Join(running, ", ") + " ran"
			for _, name := range running {
				r.tell(s, name)
			}
		}
		problems = append(problems, text)
	}
	if len(r.failed) > 0 {
		problems = append(problems, "failed: "+strings.Join(r.failed, ", "))
	}
	if len(r.skipped) > 0 {
		problems = append(problems, "skipped, and integration/guest/skips.go does not allow it: "+strings.Join(r.skipped, ", "))
	}
	return problems
}
