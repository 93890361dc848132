package render

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/graph"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/sdk"
	"github.com/containust/containust/modules/sdk/plan"
	"github.com/containust/containust/modules/sdk/state"
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

// Plan writes what `run` would change and why.
func Plan(w io.Writer, d *sdk.Deployment, style Style) error {
	var out strings.Builder
	if d.Plan.Empty() {
		fmt.Fprintf(&out, "%s: nothing to change, %s as the file wants.\n",
			d.Stack.Name, are(d.Plan.Count(plan.Keep), "component"))
	} else {
		fmt.Fprintf(&out, "%s: what `ctst run` would change\n", d.Stack.Name)
	}
	out.WriteString("\n")
	writeChanges(&out, d, style)
	out.WriteString("\n")
	if order := Order(d); order != "" {
		fmt.Fprintf(&out, "Order: %s\n", order)
	}
	fmt.Fprintf(&out, "Exposed beyond this machine: %s\n", beyond(d.Stack, style))
	if names := unfiltered(d.Stack); len(names) > 0 {
		fmt.Fprintf(&out, "Without a system call filter: %s\n", style.Yellow(strings.Join(names, ", ")))
	}
	if text := tally(d.Plan); text != "" {
		fmt.Fprintf(&out, "%s.\n", text)
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

func writeChanges(out *strings.Builder, d *sdk.Deployment, style Style) {
	images := map[string]state.Image{}
	sources := 0
	for _, want := range d.Desired {
		images[want.Config.Name] = want.Image
		sources = max(sources, utf8.RuneCountInString(Source(want.Image.Source)))
	}
	names := 0
	for _, c := range d.Plan.Changes {
		names = max(names, utf8.RuneCountInString(c.Name))
	}
	// What changes comes first; what stays is only there for completeness.
	for _, keep := range []bool{false, true} {
		for _, c := range d.Plan.Changes {
			if (c.Action == plan.Keep) != keep {
				continue
			}
			head := fmt.Sprintf("  %s %s  %s", c.Action.Symbol(), pad(diag.Escape(c.Name), names), c.Action)
			out.WriteString(paintAction(style, c.Action, head))
			// The widest action has seven letters.
			column := len("  +   ") + names + len("replace   ")
			at := utf8.RuneCountInString(head)
			for _, reason := range reasonLines(c, images[c.Name], sources) {
				out.WriteString(strings.Repeat(" ", column-at) + reason + "\n")
				at = 0
			}
			if at > 0 {
				out.WriteString("\n")
			}
		}
	}
}

func paintAction(style Style, a plan.Action, text string) string {
	switch a {
	case plan.Create:
		return style.Green(text)
	case plan.Remove:
		return style.Red(text)
	case plan.Keep:
		return style.Dim(text)
	}
	return style.Yellow(text)
}

// reasonLines are what stands beside a change.
func reasonLines(c plan.Change, img state.Image, sources int) []string {
	if c.Action == plan.Create {
		return []string{strings.TrimRight(pad(Source(img.Source), sources)+"   "+Digest(img.Digest), " ")}
	}
	width := 0
	for _, r := range c.Reasons {
		width = max(width, utf8.RuneCountInString(r.Property))
	}
	var lines []string
	for _, r := range c.Reasons {
		line := diag.Escape(r.Text)
		if r.Property != "" {
			line = pad(diag.Escape(r.Property), width) + "  " + difference(r)
		}
		lines = append(lines, line)
	}
	switch {
	case len(lines) == 0:
	case c.Action == plan.Update:
		lines[0] += "   applied without a restart"
	case c.Action == plan.Start:
		lines[0] += "   would be started again"
	}
	return lines
}

func difference(r plan.Reason) string {
	switch {
	case r.Old == "":
		return "added: " + value(r.Property, r.New)
	case r.New == "":
		return "removed, was " + value(r.Property, r.Old)
	}
	return value(r.Property, r.Old) + " → " + value(r.Property, r.New)
}

// value shows a property's JSON text in the unit that a person writes it in.
func value(property, text string) string {
	switch property {
	case "image":
		return Digest(text)
	case "seccomp_profile":
		return Digest(strings.Trim(text, `"`))
	}
	last := property[strings.LastIndexByte(property, '.')+1:]
	var n int64
	if json.Unmarshal([]byte(text), &n) == nil {
		switch last {
		case "memory", "memory_swap", "size":
			return Size(n)
		case "interval", "timeout", "start_period", "stop_timeout":
			return time.Duration(n).String()
		}
	}
	return diag.Escape(Crop(text, 60))
}

// Order shows in which order components start: "db, cache → api → web".
func Order(d *sdk.Deployment) string {
	var names []string
	var edges []graph.Edge
	for _, want := range d.Desired {
		names = append(names, want.Config.Name)
		for _, dep := range want.DependsOn {
			edges = append(edges, graph.Edge{From: want.Config.Name, To: dep})
		}
	}
	g, err := graph.New(names, edges)
	if err != nil {
		return ""
	}
	layers, err := g.Order()
	if err != nil {
		return ""
	}
	parts := make([]string, len(layers))
	for i, layer := range layers {
		parts[i] = strings.Join(layer, ", ")
	}
	return strings.Join(parts, " → ")
}

// beyond lists the exposures that other machines may reach.
func beyond(s *stack.Stack, style Style) string {
	var open []string
	for _, e := range s.Exposures {
		if addr, err := netip.ParseAddr(e.Address); err == nil && addr.IsLoopback() {
			continue
		}
		open = append(open, endpoint(e.Address, e.HostPort, e.Protocol)+" → "+e.Component)
	}
	if len(open) == 0 {
		return "none"
	}
	return style.Yellow(strings.Join(open, ", "))
}

// unfiltered lists the components that may make any system call.
func unfiltered(s *stack.Stack) []string {
	var names []string
	for _, c := range s.Components {
		if c.Seccomp == "unconfined" {
			names = append(names, c.Name)
		}
	}
	return names
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
	for _, a := range []plan.Action{plan.Create, plan.Replace, plan.Update, plan.Start, plan.Remove} {
		if n := p.Count(a); n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", n, a))
		}
	}
	return strings.Join(parts, ", ")
}

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
