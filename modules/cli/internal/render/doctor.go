package render

import (
	"io"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk/native"
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

// Leftovers writes what is left of projects that are gone.
func Leftovers(w io.Writer, left []native.Leftover, style Style) error {
	var out strings.Builder
	for i, l := range left {
		if project := l.Project; i == 0 || project != left[i-1].Project {
			from := l.StateDir
			if project == "" {
				project = "of nobody known"
			} else if from == "" {
				from = "its state folder is not known"
			}
			out.WriteString(strings.TrimRight(style.Bold(diag.Escape(project))+"  "+style.Dim(diag.Escape(from)), " ") + "\n")
		}
		out.WriteString("  " + pad(l.Kind, len("reservation")) + "  " + diag.Escape(l.Name) + "\n")
	}
	if len(left) == 0 {
		out.WriteString("Nothing is left of projects that are gone.\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
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
