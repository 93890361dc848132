package render

import (
	"io"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
)

// Check is one line of the doctor: something needed, and what is wrong with it.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"` // nothing runs without it
	Found    string `json:"found,omitempty"`
	Err      string `json:"error,omitempty"`
	Mend     string `json:"mend,omitempty"`
}

// Checks writes what the doctor found.
func Checks(w io.Writer, checks []Check, style Style) error {
	var out strings.Builder
	missing := 0
	for _, c := range checks {
		if c.OK {
			out.WriteString("  " + style.Green("✔") + " " + strings.TrimRight(c.Name+"  "+style.Dim(diag.Escape(c.Found)), " ") + "\n")
			continue
		}
		symbol := style.Yellow("!")
		if c.Required {
			missing++
			symbol = style.Red("✘")
		}
		out.WriteString("  " + symbol + " " + c.Name + ": " + diag.Escape(c.Err) + "\n")
		if c.Mend != "" {
			out.WriteString("      mend: " + diag.Escape(c.Mend) + "\n")
		}
	}
	if missing == 0 {
		out.WriteString("\nComponents can run here.\n")
	} else {
		out.WriteString("\nComponents cannot run here: " + Count(missing, "requirement") + " missing.\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}
