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
	"sync"
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

	mu     sync.Mutex // of what follows: each guest has its reader
	todo   []job.Job
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
	r := &results{w: w, verbose: o.verbose, partial: o.run != "", suites: map[string]*outcome{}, todo: jobs}
	for _, j := range jobs {
		r.order = append(r.order, j.Package)
		r.suites[j.Package] = &outcome{job: j, output: map[string]*strings.Builder{}, running: map[string]bool{}}
	}
	return r
}

// read gives a guest one job after the other and reads its events until there
// are no more. A machine that dies may leave half a line; all tells that it was
// given the last of the jobs, and did it.
func (r *results) read(guest io.ReadWriter) (all bool, err error) {
	lines, jobs := bufio.NewReader(guest), json.NewEncoder(guest)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			return all, nil // how the machine ended, the machine tells
		}
		if err != nil {
			return all, fmt.Errorf("results of the guest: %w", err)
		}
		var e job.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return all, fmt.Errorf("results of the guest: %q: %w", line, err)
		}
		next, err := r.event(e)
		if err != nil {
			return all, err
		}
		if next == nil {
			continue
		}
		all = next.Program == ""
		// A machine that has died is seen when it is read from.
		if err := jobs.Encode(next); err != nil && !errors.Is(err, syscall.EPIPE) {
			return all, fmt.Errorf("give the guest a job: %w", err)
		}
	}
}

// event takes an event, and returns what its guest is to do next if it has
// nothing to do.
func (r *results) event(e job.Event) (next *job.Job, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.booted == 0 {
		r.booted = time.Since(r.started)
	}
	if e.Action != job.Ready {
		suite, ok := r.suites[e.Package]
		if !ok {
			return nil, fmt.Errorf("results of the guest: about package %q, which it was not asked for", e.Package)
		}
		r.take(e, suite)
		if e.Action != job.End {
			return nil, nil
		}
	}
	next = &job.Job{}
	if len(r.todo) > 0 {
		next, r.todo = &r.todo[0], r.todo[1:]
	}
	return next, nil
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
