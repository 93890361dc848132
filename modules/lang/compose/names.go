package compose

import (
	"strconv"
	"strings"

	"github.com/containust/containust/modules/lang/schema"
)

// names gives each thing a name that no other one has.
type names map[string]string // folded name -> who has it

// give returns the wished name for who, or one with a number behind it. fold
// brings names to one form that may not be there together.
func (n names) give(who, wish string, fold func(string) string) string {
	name := wish
	for i := 2; ; i++ {
		owner, taken := n[fold(name)]
		if !taken || owner == who {
			n[fold(name)] = who
			return name
		}
		name = wish + "-" + strconv.Itoa(i)
	}
}

// foldName: components may not differ only in case, - and _.
func foldName(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

func sameName(s string) string { return s }

// componentName returns the name of a service as an identifier of .ctst.
func componentName(service string) string {
	name := identifier(service)
	if schema.IsReserved(name) {
		name += "-service"
	}
	return name
}

// identifier replaces what cannot stand in a name. It leaves room for a number.
func identifier(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= '0' && c <= '9':
			b.WriteByte(c)
		default:
			b.WriteByte('-')
		}
	}
	name := b.String()
	if len(name) > 59 {
		name = name[:55]
	}
	name = strings.Trim(name, "-")
	if name == "" || name[0] >= '0' && name[0] <= '9' {
		name = "c" + name
	}
	return name
}

// volumeIdentifier returns the name of a volume in the letters that .ctst has
// for them.
func volumeIdentifier(s string) string {
	var b strings.Builder
	for _, c := range []byte(strings.ToLower(s)) {
		switch {
		case c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || b.Len() > 0 && (c == '_' || c == '.' || c == '-'):
			b.WriteByte(c)
		case b.Len() > 0:
			b.WriteByte('-')
		}
	}
	if b.Len() == 0 {
		return "volume"
	}
	return b.String()[:min(b.Len(), 120)]
}
