// Package diag holds what a tool has to say about a .ctst file: diagnostics
// with a stable code, a tight range and a sentence that says how to mend the
// problem, and their forms as text and as JSON.
//
//	st, found := resolve.Load(ctx, "app.ctst", opts)
//	diag.Print(os.Stderr, found, os.ReadFile, diag.PrintOptions{})
//	if err := found.Err(); err != nil {
//		return err
//	}
//
// It runs on every platform, needs no privileges, and its values may be read
// from any number of goroutines.
package diag

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/containust/containust/modules/lang/token"
)

// Severity tells whether a diagnostic stops what the user asked for.
type Severity int

// The severities.
const (
	Error Severity = iota
	Warning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// MarshalText writes the severity as its name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Severity) UnmarshalText(text []byte) error {
	switch string(text) {
	case "error":
		*s = Error
	case "warning":
		*s = Warning
	default:
		return fmt.Errorf("read severity: unknown name %q", text)
	}
	return nil
}

// Diagnostic is one thing that was found.
type Diagnostic struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Summary  string   `json:"summary"` // one line: what is wrong

	// Suggestion is the short mend that stands beside the marked text:
	// did you mean "image"?
	Suggestion string `json:"suggestion,omitempty"`

	// Detail says more about how to mend it. Each of its lines is shown
	// below the excerpt.
	Detail string `json:"detail,omitempty"`

	// Range is the text that the diagnostic is about. A zero Range belongs
	// to no place in a file.
	Range token.Range `json:"range"`

	// Related are other places that explain it: where a name was defined
	// first, what made each edge of a cycle.
	Related []Related `json:"related,omitempty"`
}

// Related is a further place with what it has to do with the diagnostic.
type Related struct {
	Label string      `json:"label"`
	Range token.Range `json:"range"`
}

// List is what one or several stages found.
type List []Diagnostic

// HasErrors tells whether the list holds more than warnings.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(d Diagnostic) bool { return d.Severity == Error })
}

// Count returns the number of errors and of warnings.
func (l List) Count() (errors, warnings int) {
	for _, d := range l {
		if d.Severity == Error {
			errors++
		} else {
			warnings++
		}
	}
	return errors, warnings
}

// Err returns the list as an error of type [Errors], or nil when it holds no
// error.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	return Errors(l)
}

// Sort orders the list by file, place and code. Two lists with the same
// content are equal after it.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Diagnostic) int {
		return cmp.Or(
			cmp.Compare(a.Range.File, b.Range.File),
			cmp.Compare(a.Range.Start.Offset, b.Range.Start.Offset),
			cmp.Compare(a.Range.End.Offset, b.Range.End.Offset),
			cmp.Compare(a.Code, b.Code),
			cmp.Compare(a.Summary, b.Summary),
		)
	})
}

// MarshalJSON writes a list, never null.
func (l List) MarshalJSON() ([]byte, error) {
	if l == nil {
		return []byte("[]"), nil
	}
	return json.Marshal([]Diagnostic(l))
}

// Errors is a list with at least one error. Callers that want more than its
// text take it out with errors.As.
type Errors List

// Error returns the first error with its place, and the number of the others.
func (e Errors) Error() string {
	var first *Diagnostic
	count := 0
	for i := range e {
		if e[i].Severity != Error {
			continue
		}
		if first == nil {
			first = &e[i]
		}
		count++
	}
	if first == nil {
		return "no errors"
	}
	text := Escape(first.Summary)
	if first.Range.File != "" {
		text = fmt.Sprintf("%s:%d:%d: %s", Escape(first.Range.File), first.Range.Start.Line, first.Range.Start.Column, text)
	}
	switch count {
	case 1:
		return text
	case 2:
		return text + " (and 1 more error)"
	default:
		return fmt.Sprintf("%s (and %d more errors)", text, count-1)
	}
}
