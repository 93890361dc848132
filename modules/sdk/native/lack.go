package native

import (
	"errors"
	"fmt"
	"strings"
)

// Lack is a setting of a container that this machine cannot carry out.
type Lack struct {
	Setting string // as the language names it: "memory"
	Limit   bool   // container.Resources.Lenient lets the container run without it
	Err     error  // why
	Mend    string // what to do about it
}

// LackError names settings that this machine cannot carry out. A backend never
// ignores one.
type LackError struct {
	Container string
	Lacks     []Lack
}

func (e *LackError) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: not on this machine: ", e.Container)
	for i, l := range e.Lacks {
		if i > 0 {
			text.WriteString("; ")
		}
		fmt.Fprintf(&text, "%s: %v (%s)", l.Setting, l.Err, l.Mend)
	}
	return text.String()
}

// Unwrap returns errors.ErrUnsupported.
func (e *LackError) Unwrap() error { return errors.ErrUnsupported }
