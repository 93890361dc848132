package compose

import (
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/diag"
)

// mesh is a CONNECT between members of one network.
type mesh struct {
	network  string
	from, to []string
}

// maxLinks is how many links a stack may have.
const maxLinks = 200_000

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
	pairs := len(c.edges)
	members := map[string][]*component{}
	for _, s := range c.all {
		for _, name := range c.networksOf(s) {
			members[name] = append(members[name], s)
		}
	}
	for _, name := range sorted(members) {
		n := len(members[name])
		if pairs += n * (n - 1); pairs > maxLinks {
			c.lose(nil, "networks."+name, c.model.place("networks", name), "%d components that all reach each other are too many links: connect those that need it", n)
			break
		}
		from, to := map[*component]bool{}, map[*component]bool{}
		for _, a := range members[name] {
			for _, b := range members[name] {
				if e := (edge{a, b}); a != b && !b.job && !c.known[e] {
					c.known[e], from[a], to[b] = true, true, true
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
	to := map[*component][]string{}
	for _, e := range c.edges {
		to[e.from] = append(to[e.from], e.to.name)
	}
	if len(to) > 0 {
		b.WriteByte('\n')
	}
	for _, s := range c.all {
		if to[s] != nil {
			b.WriteString("CONNECT " + s.name + " -> " + strings.Join(to[s], ", ") + "\n")
		}
	}
	for i, m := range c.meshes {
		if i == 0 {
			b.WriteByte('\n')
			b.WriteString(comment("Everyone in a network of Compose may talk to everyone else in it. Here links are the firewall: remove what nobody uses. NOWAIT is a link without order. It gives variables such as NAME_HOST and NAME_PORT too.", ""))
		}
		b.WriteString("CONNECT " + strings.Join(m.from, ", ") + " -> " + strings.Join(m.to, ", ") + " NOWAIT // network " + diag.Escape(m.network) + "\n")
	}
	return b.String()
}
