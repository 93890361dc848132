package render

import (
	"io"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
)

// Check is one line of the doctor: something needed, and what is wrong with it.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Err  string `json:"error,omitempty"`
	Mend string `json:"mend,omitempty"`
}

// Checks writes what the doctor found.
func Checks(w io.Writer, checks []Check, style Style) error {
	var out strings.Builder
	missing := 0
	for _, c := range checks {
		if c.OK {
			out.WriteString("  " + style.Green("✔") + " " + c.Name + "\n")
			continue
		}
		missing++
		out.WriteString("  " + style.Red("✘") + " " + c.Name + ": " + diag.Escape(c.Err) + "\n")
		if c.Mend != "" {
			out.WriteString("      mend: " + diag.Escape(c.Mend) + "\n")
		}
	}
	if missing == 0 {
		out.WriteString("\nAll is there: components can run here.\n")
	} else {
		out.WriteString("\n" + Count(missing, "requirement") + " missing: components cannot run here.\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}
