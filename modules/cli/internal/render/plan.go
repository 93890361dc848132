package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
)

// Headline says how much a stack holds: "3 components, 2 links, 1 exposed port".
func Headline(s *stack.Stack) string {
	parts := []string{Count(len(s.Components), "component")}
	if n := len(s.Links); n > 0 {
		parts = append(parts, Count(n, "link"))
	}
	if n := len(s.Exposures); n > 0 {
		parts = append(parts, Count(n, "exposed port"))
	}
	return strings.Join(parts, ", ")
}

// PlanOptions say how to show a plan.
type PlanOptions struct {
	Now   time.Time // what ages are counted from
	Save  string    // the command that would save the plan; empty: not told
	Style Style
}

// Plan writes what `run` would change and why.
func Plan(w io.Writer, d *sdk.Deployment, opts PlanOptions) error {
	doc, style, name := d.Document(), opts.Style, diag.Escape(d.Stack.Name)
	var out strings.Builder
	switch {
	case !d.Plan.Empty():
		fmt.Fprintf(&out, "%s: what `ctst run` would change\n", name)
	case d.Refused:
		fmt.Fprintf(&out, "%s: `ctst run` would refuse it; apart from that there is nothing to change\n", name)
	case len(d.Plan.Changes) == 0:
		fmt.Fprintf(&out, "%s describes no component: nothing to do.\n", name)
	default:
		fmt.Fprintf(&out, "%s: nothing to change, %s as the file wants.\n",
			name, are(d.Plan.Count(plan.Keep), "component"))
	}
	out.WriteString("\n")
	writeChanges(&out, d, opts)
	out.WriteString("\n")
	if order := layers(doc.Order); order != "" {
		fmt.Fprintf(&out, "Order: %s\n", order)
	}
	fmt.Fprintf(&out, "Exposed beyond this machine: %s\n", beyond(doc.Exposures, style))
	if len(doc.Unconfined) > 0 {
		fmt.Fprintf(&out, "Less confined: %s\n", style.Yellow(unconfined(doc.Unconfined)))
	}
	if len(doc.Unpinned) > 0 {
		out.WriteString(style.Dim("Not pinned by a digest: "+unpinned(doc.Unpinned)) + "\n")
	}
	if text := tally(d.Plan); text != "" {
		out.WriteString(text + ".")
		if opts.Save != "" {
			out.WriteString("    Save it: " + opts.Save)
		}
		out.WriteString("\n")
	}
	if d.Refused && !d.Plan.Empty() {
		out.WriteString(style.Yellow("`ctst run` would refuse it as it is: see the warnings.") + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func are(n int, noun string) string {
	if n == 1 {
		return "the " + noun + " is"
	}
	return fmt.Sprintf("all %d %ss are", n, noun)
}

// silent tells whether there is nothing to say about a change.
func silent(c plan.Change) bool { return c.Action == plan.Keep && len(c.Reasons) == 0 }

// label is what stands in front of a change and names it.
func label(c plan.Change) (symbol, word string) {
	if c.Drift {
		return "!", "drift"
	}
	return c.Action.Symbol(), string(c.Action)
}

func writeChanges(out *strings.Builder, d *sdk.Deployment, opts PlanOptions) {
	sources, names := 0, 0
	for _, c := range d.Plan.Changes {
		names = max(names, utf8.RuneCountInString(c.Name))
		if c.Action == plan.Create {
			sources = max(sources, utf8.RuneCountInString(Source(c.Image.Source)))
		}
	}
	// What changes comes first; what stays is only there for completeness.
	for _, quiet := range []bool{false, true} {
		for _, c := range d.Plan.Changes {
			if silent(c) != quiet {
				continue
			}
			symbol, word := label(c)
			head := fmt.Sprintf("  %s %s  %s", symbol, pad(diag.Escape(c.Name), names), word)
			out.WriteString(paintChange(opts.Style, c, head))
			// The widest action has seven letters.
			column := len("  +   ") + names + len("replace   ")
			at := utf8.RuneCountInString(head)
			for _, reason := range reasonLines(c, sources, opts.Now) {
				out.WriteString(strings.Repeat(" ", column-at) + reason + "\n")
				at = 0
			}
			if at > 0 {
				out.WriteString("\n")
			}
		}
	}
}

func paintChange(style Style, c plan.Change, text string) string {
	switch {
	case c.Action == plan.Create:
		return style.Green(text)
	case c.Action == plan.Remove:
		return style.Red(text)
	case silent(c):
		return style.Dim(text)
	}
	return style.Yellow(text)
}

// reasonLines are what stands beside a change.
func reasonLines(c plan.Change, sources int, now time.Time) []string {
	if c.Action == plan.Create {
		digest := Digest(c.Image.Digest)
		if digest == "" {
			digest = "not there yet"
		}
		return []string{pad(Source(c.Image.Source), sources) + "   " + digest}
	}
	width := 0
	for _, r := range c.Reasons {
		width = max(width, utf8.RuneCountInString(propertyName(r)))
	}
	var lines []string
	for _, r := range c.Reasons {
		lines = append(lines, reasonLine(r, width, now))
	}
	if len(lines) == 0 {
		return nil
	}
	switch {
	case c.Action == plan.Update:
		lines[0] += "   applied without a restart"
	case c.Action == plan.Start:
		lines[0] += "   would be started again"
	case c.Action == plan.Replace && c.Drift:
		lines[0] += "   would be replaced"
	case c.Action == plan.Keep:
		lines[0] += "   goes on as it is"
	}
	return lines
}

func reasonLine(r plan.Reason, width int, now time.Time) string {
	var parts []string
	if r.Old != nil || r.New != nil {
		parts = append(parts, difference(r))
	}
	if text := diag.Escape(r.Text); text != "" {
		if !r.Since.IsZero() {
			text += ", " + Age(now.Sub(r.Since)) + " ago"
		}
		parts = append(parts, text)
	}
	line := strings.Join(parts, "   ")
	if r.Property != "" {
		line = pad(propertyName(r), width) + "  " + line
	}
	return line
}

func propertyName(r plan.Reason) string {
	if r.Property == "starts_after" {
		return "starts after"
	}
	return diag.Escape(r.Property)
}

// layers shows in which order components start: "db, cache → api → web".
func layers(order [][]string) string {
	parts := make([]string, len(order))
	for i, layer := range order {
		parts[i] = strings.Join(layer, ", ")
	}
	return strings.Join(parts, " → ")
}

// beyond lists the exposures that other machines may reach.
func beyond(exposures []plan.Exposure, style Style) string {
	var open []string
	for _, e := range exposures {
		if e.Beyond {
			open = append(open, endpoint(e.Address, e.HostPort, e.Protocol)+" → "+e.Component)
		}
	}
	if len(open) == 0 {
		return "none"
	}
	return style.Yellow(strings.Join(open, ", "))
}

// unconfined tells of each component which settings weaken its isolation.
func unconfined(list []plan.Unconfined) string {
	var names []string
	settings := map[string][]string{}
	for _, u := range list {
		if settings[u.Component] == nil {
			names = append(names, u.Component)
		}
		settings[u.Component] = append(settings[u.Component], u.Property+" = "+quoted(u.Value))
	}
	for i, name := range names {
		names[i] = fmt.Sprintf("%s (%s)", diag.Escape(name), strings.Join(settings[name], ", "))
	}
	return strings.Join(names, ", ")
}

// unpinnedShown is how many sources without a digest are named.
const unpinnedShown = 5

func unpinned(list []plan.Unpinned) string {
	var sources []string
	for _, u := range list {
		if source := Source(u.Image); !slices.Contains(sources, source) && len(sources) < unpinnedShown {
			sources = append(sources, source)
		}
	}
	distinct := map[string]bool{}
	for _, u := range list {
		distinct[u.Image] = true
	}
	text := strings.Join(sources, ", ")
	if more := len(distinct) - len(sources); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// endpoint is a host address and port; the protocol is told unless it is tcp.
func endpoint(address string, port uint16, protocol string) string {
	if strings.Contains(address, ":") {
		address = "[" + address + "]"
	}
	text := fmt.Sprintf("%s:%d", address, port)
	if protocol != "" && protocol != "tcp" {
		text += "/" + protocol
	}
	return text
}

func tally(p *plan.Plan) string {
	var parts []string
	for _, a := range plan.Actions {
		if n := p.Count(a); n > 0 && a != plan.Keep {
			parts = append(parts, fmt.Sprintf("%d to %s", n, a))
		}
	}
	return strings.Join(parts, ", ")
}

// Listening is where this machine listens for an exposed port: "127.0.0.1:8080".
func Listening(e container.Exposure) string { return endpoint(e.Address, e.HostPort, e.Protocol) }

// Ports shows where a component is reached: "127.0.0.1:8080 → 8080".
func Ports(exposures []container.Exposure) string {
	var parts []string
	for _, e := range exposures {
		parts = append(parts, fmt.Sprintf("%s → %d", endpoint(e.Address, e.HostPort, e.Protocol), e.ContainerPort))
	}
	if len(parts) == 0 {
		return "–"
	}
	return strings.Join(parts, ", ")
}
