package compose

import (
	"slices"
	"strings"
)

// mesh is a CONNECT between members of one network.
type mesh struct {
	network  string
	from, to []string
}

// linked tells whether components can be connected: a component without a
// network only with a job, which is order alone.
func linked(e edge) bool {
	return e.to.job || e.from.mode() != "none" && e.to.mode() != "none"
}

// networkLinks finds what Compose lets reach each other without the file
// saying so: the members of a network.
func (c *converter) networkLinks() {
	c.edges = slices.DeleteFunc(c.edges, func(e edge) bool {
		if linked(e) {
			return false
		}
		c.lose(e.from, "depends_on", c.model.place("services", e.from.Name, "depends_on", e.to.Name), "nothing connects %s and %s, because one of them has no network: the order is lost", e.from.name, e.to.name)
		return true
	})
	members := map[string][]*component{}
	for _, s := range c.all {
		for _, name := range c.networksOf(s) {
			members[name] = append(members[name], s)
		}
	}
	known := map[edge]bool{}
	for _, e := range c.edges {
		known[e] = true
	}
	for _, name := range sorted(members) {
		from, to := map[*component]bool{}, map[*component]bool{}
		for _, a := range members[name] {
			for _, b := range members[name] {
				if e := (edge{a, b}); a != b && !b.job && !known[e] {
					known[e], from[a], to[b] = true, true, true
				}
			}
		}
		m := mesh{network: name}
		for _, s := range members[name] {
			if from[s] {
				m.from = append(m.from, s.name)
			}
			if to[s] {
				m.to = append(m.to, s.name)
			}
		}
		if m.from != nil {
			c.meshes = append(c.meshes, m)
		}
	}
}

// connections writes CONNECT.
func (c *converter) connections() string {
	var b strings.Builder
	for _, s := range c.all {
		var to []string
		for _, e := range c.edges {
			if e.from == s {
				to = append(to, e.to.name)
			}
		}
		if to == nil {
			continue
		}
		if b.Len() == 0 {
			b.WriteByte('\n')
		}
		b.WriteString("CONNECT " + s.name + " -> " + strings.Join(to, ", ") + "\n")
	}
	for i, m := range c.meshes {
		if i == 0 {
			b.WriteByte('\n')
			b.WriteString(comment("Everyone in a network of Compose may talk to everyone else in it. Here links are the firewall: remove what nobody uses. NOWAIT is a link without order. It gives variables such as NAME_HOST and NAME_PORT too.", ""))
		}
		b.WriteString("CONNECT " + strings.Join(m.from, ", ") + " -> " + strings.Join(m.to, ", ") + " NOWAIT // network " + m.network + "\n")
	}
	return b.String()
}
