package sdk

import (
	"fmt"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk/native"
	"github.com/containust/containust/modules/sdk/plan"
)

// lacks finds what a component wants and this machine cannot carry out. Limits
// that cannot be enforced are left out, with a warning, if that is allowed.
func lacks(machine *native.Machine, c *stack.Component, d *plan.Desired, stateDir string, allow bool) (found []diag.Diagnostic) {
	for _, l := range machine.Lacks(d.Config, stateDir) {
		place, ok := c.Where[l.Setting]
		if !ok {
			place = c.Range
		}
		p := diag.Diagnostic{
			Code: MachineLacks, Severity: diag.Error, Range: place,
			Summary: fmt.Sprintf("%s cannot be had on this machine: %v", l.Setting, l.Err),
			Detail:  l.Mend,
		}
		if l.Limit {
			p.Summary = fmt.Sprintf("%s cannot be enforced on this machine: %v", l.Setting, l.Err)
			p.Detail += ",\nor run without: ctst run --allow-unenforced-limits"
		}
		if l.Limit && allow {
			p.Severity, p.Detail = diag.Warning, l.Mend
			d.Config.Resources.Lenient, d.Shown.Resources.Lenient = true, true
		}
		found = append(found, p)
	}
	return found
}
