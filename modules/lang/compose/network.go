package compose

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"github.com/containust/containust/modules/lang/schema"
)

// edge says that a component starts after another one.
type edge struct{ from, to *component }

// exposure is a host port that leads to a component.
type exposure struct {
	address string
	host    string // the port, or the variable that holds it
	port    schema.Port
	to      *component
}

// mode is the network of a component: "", "host" or "none".
func (s *component) mode() string {
	if s.NetworkMode == "host" || s.NetworkMode == "none" {
		return s.NetworkMode
	}
	return ""
}

// network writes the network of a component.
func (c *converter) network(s *component) {
	if mode := s.mode(); mode != "" {
		s.set("network", c.quote(mode, tab))
		return
	}
	at := c.at(s, "network_mode")
	switch {
	case s.NetworkMode == "bridge":
		c.remark(s, "network_mode", at, "it is in the project's network, without links of its own; CONNECT makes them")
	case s.NetworkMode != "":
		c.lose(s, "network_mode", at, "the network of %s is not shared: the component has an address of its own, and ports that others reach on localhost are reached by host name", s.NetworkMode)
	}
	if nets := c.networksOf(s); nets != nil && !slices.ContainsFunc(nets, func(name string) bool { return !c.networks[name].Internal }) {
		s.set("offline", "true")
	}
}

// networksOf returns the networks of a service, in order. Without any it is in
// the default one.
func (c *converter) networksOf(s *component) []string {
	if s.NetworkMode != "" {
		return nil
	}
	if len(s.Networks) == 0 {
		return []string{"default"}
	}
	return sorted(s.Networks)
}

// dependencies reads what waits for what, and which services are jobs.
func (c *converter) dependencies() error {
	for _, s := range c.all {
		for _, name := range c.inOrder(s, "depends_on", sorted(s.DependsOn)) {
			if err := c.dependency(s, name, s.DependsOn[name]); err != nil {
				return err
			}
		}
		for i, link := range s.Links {
			name, alias, _ := strings.Cut(link, ":")
			at := c.item(s, "links", i, len(s.Links))
			to, err := c.target(s, "links", name, at, true)
			if err != nil {
				return err
			}
			if to == nil {
				continue
			}
			if alias != "" && alias != to.name {
				c.lose(s, "links", at, "%s is reached as %s, not as %s", name, to.name, alias)
			}
			c.addEdge(s, to)
		}
		if name, ok := strings.CutPrefix(s.NetworkMode, types.ServicePrefix); ok {
			to, err := c.target(s, "network_mode", name, c.at(s, "network_mode"), true)
			if err != nil {
				return err
			}
			if to != nil {
				c.addEdge(s, to)
			}
		}
	}
	return c.checkOrder()
}

func (c *converter) addEdge(from, to *component) {
	if e := (edge{from, to}); !c.known[e] {
		c.known[e] = true
		c.edges = append(c.edges, e)
	}
}

func (c *converter) dependency(s *component, name string, d types.ServiceDependency) error {
	at := c.model.place("services", s.Name, "depends_on", name)
	to, err := c.target(s, "depends_on", name, at, d.Required)
	if err != nil || to == nil {
		return err
	}
	c.addEdge(s, to)
	if s.NetworkMode == "" && to.NetworkMode == "" && !c.meet(s, to) && d.Condition != types.ServiceConditionCompletedSuccessfully {
		c.remark(s, "depends_on", at, "it shares no network with %s; here CONNECT lets it reach that too", to.name)
	}
	checked := to.HealthCheck != nil && !to.HealthCheck.Disable && len(to.HealthCheck.Test) > 0 && to.HealthCheck.Test[0] != "NONE"
	switch d.Condition {
	case types.ServiceConditionStarted, "":
		if checked {
			c.remark(s, "depends_on", at, "it waits until %s is healthy, not only until it is started", to.name)
		}
	case types.ServiceConditionHealthy:
		if !checked {
			c.lose(s, "depends_on", at, "%s has no health check in the file, and the one of an image is not read: it waits until %s runs. Give %s a healthcheck", name, to.name, to.name)
		}
	case types.ServiceConditionCompletedSuccessfully:
		to.job = true
	default:
		return at.errorf("services.%s.depends_on.%s: Compose has no condition %q", s.Name, name, d.Condition)
	}
	return nil
}

// meet tells whether two services share a network.
func (c *converter) meet(a, b *component) bool {
	others := c.networksOf(b)
	return slices.ContainsFunc(c.networksOf(a), func(name string) bool { return slices.Contains(others, name) })
}

// target finds the component of a service that another one names; nil: it is
// not converted.
func (c *converter) target(s *component, attribute, name string, at place, required bool) (*component, error) {
	if to := c.byService[name]; to != nil {
		if to == s {
			return nil, at.errorf("services.%s.%s: the service needs itself", s.Name, attribute)
		}
		return to, nil
	}
	known := slices.ContainsFunc(c.services, func(other *types.ServiceConfig) bool { return other.Name == name })
	switch {
	case !known && required:
		return nil, at.errorf("services.%s.%s: there is no service %q", s.Name, attribute, name)
	case required:
		c.lose(s, attribute, at, "%s is left out, so that nothing waits for it", name)
	default:
		c.remark(s, attribute, at, "%s is left out, and not required", name)
	}
	return nil, nil
}

// checkOrder makes sure that the components can be started one after the other.
func (c *converter) checkOrder() error {
	next := map[*component][]*component{}
	for _, e := range c.edges {
		next[e.from] = append(next[e.from], e.to)
	}
	done, open := map[*component]bool{}, map[*component]bool{}
	var path []*component
	var visit func(s *component) error
	visit = func(s *component) error {
		if open[s] {
			var cycle []string
			for _, p := range append(path[slices.Index(path, s):], s) {
				cycle = append(cycle, p.Name)
			}
			return c.at(s, "depends_on").errorf("services wait for each other: %s", strings.Join(cycle, " → "))
		}
		if done[s] {
			return nil
		}
		path, open[s] = append(path, s), true
		for _, to := range next[s] {
			if err := visit(to); err != nil {
				return err
			}
		}
		path = path[:len(path)-1]
		done[s], open[s] = true, false
		return nil
	}
	for _, s := range c.all {
		if err := visit(s); err != nil {
			return err
		}
	}
	return nil
}

// publishPorts writes ports, and collects what is exposed.
func (c *converter) publishPorts(s *component) error {
	protocol := ""
	for i, p := range s.Ports {
		at := c.item(s, "ports", i, len(s.Ports))
		port, ok := c.port(s, "ports", strconv.FormatUint(uint64(p.Target), 10), p.Protocol, at)
		if !ok {
			continue
		}
		if p.AppProtocol != "" {
			if port == s.ports[0] {
				protocol = p.AppProtocol
			} else {
				c.lose(s, "ports.app_protocol", at, "`protocol` is that of the first port")
			}
		}
		if err := c.publishPort(s, p, port, at); err != nil {
			return err
		}
	}
	for i, text := range s.Expose {
		at := c.item(s, "expose", i, len(s.Expose))
		span, protocol, _ := strings.Cut(text, "/")
		first, last, ok := portRange(span)
		if !ok {
			return at.errorf("services.%s.expose: %q is not a port", s.Name, text)
		}
		for n := first; n <= last; n++ {
			c.port(s, "expose", strconv.Itoa(n), protocol, at)
		}
	}
	var ports []string
	for _, p := range s.ports {
		text := strconv.Itoa(int(p.Number))
		if p.Protocol != "tcp" {
			text = `"` + text + "/" + p.Protocol + `"`
		}
		ports = append(ports, text)
	}
	switch len(ports) {
	case 0:
	case 1:
		s.set("port", ports[0])
	default:
		s.set("ports", "["+strings.Join(ports, ", ")+"]")
	}
	c.text(s, "protocol", "ports.app_protocol", protocol)
	return nil
}

// port adds a port that the component listens on.
func (c *converter) port(s *component, attribute, number, protocol string, at place) (schema.Port, bool) {
	text := number
	if protocol != "" {
		text += "/" + strings.ToLower(protocol)
	}
	port, problem := schema.ParsePort(text)
	if problem != nil {
		c.lose(s, attribute, at, "%s: ports are TCP or UDP, 1 to 65535", text)
		return port, false
	}
	if !s.listens[port] {
		s.listens[port] = true
		s.ports = append(s.ports, port)
	}
	return port, true
}

// portCount is how many ports one entry of ports or expose becomes.
func portCount(text string) int {
	container, _, _ := strings.Cut(text[strings.LastIndexByte(text, ':')+1:], "/")
	first, last, ok := portRange(container)
	if !ok {
		return 1
	}
	return last - first + 1
}

func portRange(text string) (first, last int, ok bool) {
	from, to, found := strings.Cut(text, "-")
	if !found {
		to = from
	}
	a, errA := strconv.ParseUint(from, 10, 16)
	b, errB := strconv.ParseUint(to, 10, 16)
	return int(a), int(b), errA == nil && errB == nil && a <= b
}

func (c *converter) publishPort(s *component, p types.ServicePortConfig, port schema.Port, at place) error {
	switch s.mode() {
	case "host":
		c.remark(s, "ports", at, "%d is on the host as it is, because the network is the host's", port.Number)
		return nil
	case "none":
		c.lose(s, "ports", at, "%d leads nowhere, because there is no network", port.Number)
		return nil
	}
	e := exposure{address: "0.0.0.0", host: p.Published, port: port, to: s}
	if p.HostIP != "" {
		address, err := netip.ParseAddr(p.HostIP)
		if err != nil {
			return at.errorf("services.%s.ports: %q is not an address", s.Name, p.HostIP)
		}
		e.address = address.WithZone("").String()
	}
	first, last, ok := portRange(c.expand(p.Published))
	switch {
	case p.Published == "" || ok && first == 0:
		e.host = strconv.Itoa(int(port.Number))
		c.lose(s, "ports", at, "Docker chooses the host port of %d, ctst does not: it is %d", port.Number, port.Number)
	case !ok:
		return at.errorf("services.%s.ports: %q is not a port", s.Name, c.expand(p.Published))
	case last == first && !refers(p.Published):
		e.host = strconv.Itoa(first) // without leading zeros
	case last > first:
		e.host = strconv.Itoa(first)
		c.lose(s, "ports", at, "Docker chooses the host port of %d out of %s, ctst does not: it is %d", port.Number, p.Published, first)
	}
	if other := c.clash(e); other != nil {
		c.lose(s, "ports", at, "host port %s leads to %s already", e.host, other.to.name)
		return nil
	}
	c.exposed = append(c.exposed, e)
	c.byHost[c.hostPort(e)] = append(c.byHost[c.hostPort(e)], e)
	return nil
}

// clash finds an exposure of the same host port. An address that stands for all
// overlaps with every other one; [::] stands for both families.
func (c *converter) clash(e exposure) *exposure {
	for _, o := range c.byHost[c.hostPort(e)] {
		overlap := o.address == e.address || o.address == "::" || e.address == "::" ||
			o.address == "0.0.0.0" && !strings.Contains(e.address, ":") || e.address == "0.0.0.0" && !strings.Contains(o.address, ":")
		if overlap {
			return &o
		}
	}
	return nil
}

func (c *converter) hostPort(e exposure) string { return c.expand(e.host) + "/" + e.port.Protocol }

// exposures writes EXPOSE.
func (c *converter) exposures() string {
	var b strings.Builder
	everywhere := false
	for _, e := range c.exposed {
		everywhere = everywhere || e.address == "0.0.0.0" || e.address == "::"
	}
	for i, e := range c.exposed {
		if i == 0 {
			b.WriteByte('\n')
			if everywhere {
				b.WriteString(comment("0.0.0.0 is every address of this machine, as for Compose. Without it a port is open to this machine only: EXPOSE 8080:80 TO name.", ""))
			}
		}
		pair := e.host
		if inside := strconv.Itoa(int(e.port.Number)); inside != e.host {
			pair += ":" + inside
		}
		if e.port.Protocol != "tcp" {
			pair += "/" + e.port.Protocol
		}
		switch {
		case e.address == "127.0.0.1" && !refers(pair):
		case strings.Contains(e.address, ":"):
			pair = c.quote("["+e.address+"]:"+pair, "")
		default:
			pair = c.quote(e.address+":"+pair, "")
		}
		fmt.Fprintf(&b, "EXPOSE %s TO %s\n", pair, e.to.name)
	}
	return b.String()
}
