package compose

import (
	"cmp"
	"fmt"
	"strings"
)

// place is where something stands.
type place struct {
	file         string
	line, column int
}

// String returns the place as the start of a message: "compose.yaml:12: ".
func (p place) String() string {
	switch {
	case p.file == "":
		return ""
	case p.line == 0:
		return p.file + ": "
	}
	return fmt.Sprintf("%s:%d: ", p.file, p.line)
}

func (p place) errorf(format string, args ...any) error {
	return &Error{File: p.file, Line: p.line, Err: fmt.Errorf(format, args...)}
}

// order compares places: by file, as they were read, and line.
func (l *loader) order(a, b place) int {
	return cmp.Or(cmp.Compare(l.ranks[a.file], l.ranks[b.file]), cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
}

// places says where everything of a model stands: first by owner, a service or
// another named thing, then by the keys in it. Entries of lists have the keys
// #0, #1 and so on; those that are texts also the NAME of NAME=value, by which
// Compose merges them.
type places map[string]map[string]spot

// spot is a place, and the length of the list that is there.
type spot struct {
	place
	length int
}

// owner splits keys into those of the owner and the rest.
func owner(keys []string) (string, string) {
	n := min(len(keys), 2)
	return strings.Join(keys[:n], "/"), strings.Join(keys[n:], "/")
}

func (p places) set(at place, keys ...string) {
	of, rest := owner(keys)
	if p[of] == nil {
		p[of] = map[string]spot{}
	}
	p[of][rest] = spot{place: at}
}

func (p places) setLength(n int, keys ...string) {
	of, rest := owner(keys)
	if s, ok := p[of][rest]; ok {
		s.length = n
		p[of][rest] = s
	}
}

// get returns where something stands, if it stands anywhere.
func (p places) get(keys ...string) (spot, bool) {
	of, rest := owner(keys)
	s, ok := p[of][rest]
	return s, ok
}

// add takes over other places. Those that are there give way, or stay.
func (p places) add(other places, stay bool) {
	for of, spots := range other {
		p.inherit(of, spots, stay)
	}
}

func (p places) inherit(of string, spots map[string]spot, stay bool) {
	if p[of] == nil {
		p[of] = map[string]spot{}
	}
	for rest, s := range spots {
		// A service stays where it was first, so that the order stays too.
		if _, own := p[of][rest]; !own || !stay && rest != "" {
			p[of][rest] = s
		}
	}
}
