package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/sdk/plan"
)

// valueWidth bounds how much of a value is shown.
const valueWidth = 60

// difference shows how a property changes.
func difference(r plan.Reason) string {
	before, wasList := r.Old.([]string)
	after, isList := r.New.([]string)
	switch {
	case r.Old == nil:
		return "added: " + Crop(value(r.Property, r.New), valueWidth)
	case r.New == nil:
		return "removed, was " + Crop(value(r.Property, r.Old), valueWidth)
	case wasList && isList && strings.HasSuffix(r.Property, "command"):
		return words(before, after)
	case wasList && isList:
		return members(before, after)
	}
	old, now := crops(value(r.Property, r.Old), value(r.Property, r.New))
	return old + " → " + now
}

// words shows how a list changes whose order matters: without what both have
// at its ends.
func words(before, after []string) string {
	lead := 0
	for lead < min(len(before), len(after)) && before[lead] == after[lead] {
		lead++
	}
	tail := 0
	for tail < min(len(before), len(after))-lead && before[len(before)-1-tail] == after[len(after)-1-tail] {
		tail++
	}
	if min(len(before), len(after)) == lead+tail {
		// One has only been made longer: a word beside the place says where.
		if lead > 0 {
			lead--
		} else if tail > 0 {
			tail--
		}
	}
	show := func(list []string) string {
		text := listed(list[lead : len(list)-tail])
		if lead > 0 {
			text = strings.TrimSuffix("… "+text, " ")
		}
		if tail > 0 {
			text = strings.TrimPrefix(text+" …", " ")
		}
		return "[" + text + "]"
	}
	old, now := crops(show(before), show(after))
	return old + " → " + now
}

// members shows how a list changes that is a set.
func members(before, after []string) string {
	only := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
	}
	var parts []string
	if added := only(after, before); len(added) > 0 {
		parts = append(parts, "added "+Crop(listed(added), valueWidth))
	}
	if removed := only(before, after); len(removed) > 0 {
		parts = append(parts, "removed "+Crop(listed(removed), valueWidth))
	}
	if len(parts) == 0 {
		old, now := crops("["+listed(before)+"]", "["+listed(after)+"]")
		return old + " → " + now
	}
	return strings.Join(parts, ", ")
}

func listed(list []string) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = quoted(s)
	}
	return strings.Join(parts, ", ")
}

// crops shortens two values to where they differ.
func crops(a, b string) (string, string) {
	one, two := []rune(a), []rune(b)
	if len(one) <= valueWidth && len(two) <= valueWidth {
		return a, b
	}
	same := 0
	for same < min(len(one), len(two)) && one[same] == two[same] {
		same++
	}
	// Enough of what both have to find the place.
	const context = 12
	from := max(0, same-context)
	cut := func(text []rune) string {
		shown := Crop(string(text[min(from, len(text)):]), valueWidth)
		if from > 0 {
			shown = "…" + shown
		}
		return shown
	}
	return cut(one), cut(two)
}

// value shows a property's value as a person would write it.
func value(property string, v any) string {
	text, ok := v.(string)
	if !ok {
		return quoted(v)
	}
	if property == "image" || property == "seccomp_profile" {
		return Digest(text)
	}
	if digest, mode, found := strings.Cut(text, ", mode "); strings.HasPrefix(property, "files.") {
		text = Digest(digest)
		if found {
			text += ", mode " + mode
		}
		return diag.Escape(text)
	}
	switch property {
	case "memory", "memory_swap", "io.read_bps", "io.write_bps":
		if unit := strings.TrimLeft(text, "0123456789"); unit != "" {
			return strings.TrimSuffix(text, unit) + " " + unit
		}
		return text + " B"
	case "stop_timeout", "healthcheck.interval", "healthcheck.timeout", "healthcheck.start_period":
		return text
	}
	return quoted(text)
}

// quoted shows a value as the language would have it.
func quoted(v any) string {
	if list, ok := v.([]string); ok {
		return "[" + listed(list) + "]"
	}
	if text, ok := v.(string); ok {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		if enc.Encode(text) == nil {
			return diag.Escape(strings.TrimSuffix(out.String(), "\n"))
		}
	}
	return diag.Escape(fmt.Sprint(v))
}
