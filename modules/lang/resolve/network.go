package resolve

import (
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	"github.com/containust/containust/modules/lang/ast"
	"github.com/containust/containust/modules/lang/diag"
	"github.com/containust/containust/modules/lang/schema"
	"github.com/containust/containust/modules/lang/stack"
	"github.com/containust/containust/modules/lang/token"
)

// portsOf returns the ports of a component; ref, if not nil, is who asks. A
// component whose ports need themselves is reported.
func (r *resolver) portsOf(inst *instance, ref *ast.Reference) ([]stack.Port, bool) {
	switch inst.portState {
	case finished:
		return inst.ports, inst.portsOK
	case running:
		if ref != nil {
			r.circular(ref, fmt.Sprintf("the port of %q", inst.name))
		}
		return nil, false
	}
	inst.portState = running
	inst.ports, inst.portsOK = r.evalPorts(inst)
	inst.portState = finished
	return inst.ports, inst.portsOK
}

func (r *resolver) evalPorts(inst *instance) ([]stack.Port, bool) {
	if inst.settings["port"] == nil {
		return nil, !inst.broken
	}
	out := r.merged(inst, "port")
	if !out.set {
		return nil, out.unset
	}
	items := out.items
	if out.kind != list {
		items = []value{out.value}
	}
	ports := make([]stack.Port, 0, len(items))
	seen := map[stack.Port]token.Range{}
	for _, item := range items {
		parsed, _ := schema.ParsePort(item.text.Value)
		p := stack.Port(parsed)
		if first, ok := seen[p]; ok {
			r.report(diag.DuplicateProperty, item.rng, fmt.Sprintf("port %d/%s stands twice in the list", p.Number, p.Protocol), "remove one of the two", "", diag.Related{Label: "first here", Range: first})
			continue
		}
		seen[p] = item.rng
		ports = append(ports, p)
	}
	return ports, true
}

// connectionOf returns the connection string of a component; empty when it has
// neither one nor a port.
func (r *resolver) connectionOf(inst *instance, ref *ast.Reference) (stack.Text, bool) {
	switch inst.connectionState {
	case finished:
		return inst.connection, inst.connectionOK
	case running:
		if ref != nil {
			r.circular(ref, fmt.Sprintf("the connection string of %q", inst.name))
		}
		return stack.Text{}, false
	}
	inst.connectionState = running
	inst.connection, inst.connectionOK = r.evalConnection(inst)
	inst.connectionState = finished
	return inst.connection, inst.connectionOK
}

func (r *resolver) evalConnection(inst *instance) (stack.Text, bool) {
	if inst.settings["connection_string"] != nil {
		out := r.merged(inst, "connection_string")
		if !out.unset {
			return out.text, out.set
		}
	}
	ports, ok := r.portsOf(inst, nil)
	if !ok || len(ports) == 0 {
		return stack.Text{}, ok
	}
	return plain(fmt.Sprintf("%s://%s:%d", r.protocolOf(inst, ports[0]), inst.name, ports[0].Number)), true
}

// wellKnown are the schemes of images that everyone knows.
var wellKnown = map[string]string{
	"postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql", "redis": "redis", "valkey": "redis", "mongo": "mongodb", "rabbitmq": "amqp", "nats": "nats",
}

// protocolOf returns the scheme of a component: as it says, from its image's
// name, or from its port.
func (r *resolver) protocolOf(inst *instance, port stack.Port) string {
	if out := r.merged(inst, "protocol"); out.set {
		return out.text.Value
	}
	if out := r.merged(inst, "image"); out.set {
		if scheme := wellKnown[imageName(out.text.Value)]; scheme != "" {
			return scheme
		}
	}
	switch {
	case port.Protocol == "udp":
		return "udp"
	case port.Number == 443:
		return "https"
	case port.Number == 80 || port.Number == 3000 || port.Number == 8000 || port.Number == 8080:
		return "http"
	}
	return "tcp"
}

// imageName returns the bare name of an image: postgres for
// tar://./postgres-16.tar.zst and oci://host/library/postgres:16.
func imageName(uri string) string {
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "@sha256:")
	name := path.Base(rest)
	name, _, _ = strings.Cut(name, ":")
	name, _, _ = strings.Cut(name, ".")
	if i := strings.LastIndexByte(name, '-'); i > 0 && i+1 < len(name) && name[i+1] >= '0' && name[i+1] <= '9' {
		name = name[:i]
	}
	return strings.ToLower(name)
}

// secretsDir is where a component finds its secrets.
const secretsDir = "/run/secrets"

// mounts fills in the folders in memory, and reports two mounts on one path.
func (r *resolver) mounts(c *stack.Component) {
	taken := map[string]token.Range{}
	claim := func(target string, rng token.Range) {
		if first, ok := taken[target]; ok {
			r.report(diag.MountCollision, rng, fmt.Sprintf("two mounts on %s", target), "one mount a path", "", diag.Related{Label: "the other", Range: first})
			return
		}
		taken[target] = rng
	}
	mount := func(target string, rng token.Range) {
		inside := systemFolder(target)
		if inside == "" {
			claim(target, rng)
			return
		}
		r.report(diag.BadPath, rng, fmt.Sprintf("nothing can be mounted at %s", target), "choose a path outside of "+inside,
			fmt.Sprintf("Every component has a %s of its own, and nothing of the file is put into it.%s", inside, systemHelp[inside]))
	}
	for _, v := range c.Volumes {
		mount(v.Target, v.Range)
	}
	for _, f := range c.Files {
		mount(f.Target, f.Range)
	}
	if len(c.Secrets) > 0 {
		claim(secretsDir, c.Where["secrets"])
	}
	for _, s := range c.Secrets {
		claim(secretsDir+"/"+s.Name, s.Range)
	}
	if c.Tmpfs != nil {
		for _, t := range c.Tmpfs {
			if t.Target == "/dev/shm" { // it is there, and gets its size
				claim(t.Target, c.Where["tmpfs"])
			} else {
				mount(t.Target, c.Where["tmpfs"])
			}
		}
		return
	}
	for _, target := range []string{"/tmp", "/run", "/var/tmp"} {
		if _, ok := taken[target]; !ok {
			c.Tmpfs = append(c.Tmpfs, stack.Tmpfs{Target: target})
		}
	}
}

// systemHelp is what to use instead of a mount in one of the folders that belong to
// the system.
var systemHelp = map[string]string{
	"/dev":  ` A device is added with devices, and /dev/shm gets its size with tmpfs = ["/dev/shm:256MiB"].`,
	"/proc": "",
	"/sys":  "",
}

// systemFolder returns the folder of systemHelp that a path is in, or "".
func systemFolder(p string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	if _, ok := systemHelp["/"+first]; ok {
		return "/" + first
	}
	return ""
}

// combinations reports properties that contradict each other.
func (r *resolver) combinations(c *stack.Component) {
	if c.Job && (c.Restart.Policy == "always" || c.Restart.Policy == "unless-stopped") {
		r.report(diag.Combination, c.Where["restart"], fmt.Sprintf("a job cannot have restart = %q", c.Restart.Policy), `a job has "never" or "on-failure"`, "", diag.Related{Label: "it is a job", Range: c.Where["job"]})
	}
	if c.Network == "none" && len(c.Egress) > 0 {
		r.report(diag.Combination, c.Where["egress"], "egress without a network", "remove it", "", diag.Related{Label: "it has no network", Range: c.Where["network"]})
	}
	if c.Offline && len(c.Egress) > 0 {
		r.report(diag.Combination, c.Where["egress"], "egress of a component that is offline", "remove one of the two", "offline reaches nothing outside, egress says what it reaches there.",
			diag.Related{Label: "it is offline", Range: c.Where["offline"]})
	}
}

// exposures resolves EXPOSE.
func (r *resolver) exposures() []stack.Exposure {
	var list []stack.Exposure
	byPort := map[string][]stack.Exposure{}
	for _, s := range r.root.tree.Statements {
		s, ok := s.(*ast.Expose)
		if !ok {
			continue
		}
		e, ok := r.exposure(s)
		if !ok {
			continue
		}
		key := fmt.Sprintf("%d/%s", e.HostPort, e.Protocol)
		if other, clash := clashing(byPort[key], e); clash {
			r.report(diag.ExposureConflict, s.Range, fmt.Sprintf("host port %d/%s is exposed twice", e.HostPort, e.Protocol), "choose another host port", "",
				diag.Related{Label: "the other", Range: other.Range})
			continue
		}
		byPort[key] = append(byPort[key], e)
		list = append(list, e)
	}
	return list
}

// clashing finds an exposure whose addresses overlap: a wildcard stands for
// all addresses of its family, and [::] for both.
func clashing(others []stack.Exposure, e stack.Exposure) (stack.Exposure, bool) {
	covers := func(a, b string) bool {
		switch a {
		case "::":
			return true
		case "0.0.0.0":
			return !strings.Contains(b, ":")
		}
		return a == b
	}
	for _, o := range others {
		if covers(o.Address, e.Address) || covers(e.Address, o.Address) {
			return o, true
		}
	}
	return stack.Exposure{}, false
}

func (r *resolver) exposure(s *ast.Expose) (stack.Exposure, bool) {
	e := stack.Exposure{Address: "127.0.0.1", Protocol: "tcp", Range: s.Range}
	if s.Text != nil {
		if !r.exposureText(s, &e) {
			return e, false
		}
	} else if !r.exposureNumbers(s, &e) {
		return e, false
	}
	target, ok := r.exposureTarget(s, e)
	if !ok || target.disabled {
		return e, false
	}
	e.Component = target.name
	if target.component.Network != "project" {
		r.report(diag.ExposureNetwork, s.Range, fmt.Sprintf("%q cannot be exposed: its network is %q", target.name, target.component.Network), "",
			"On the host's network its ports are open anyway; without a network it has none.", diag.Related{Label: "its network", Range: target.component.Where["network"]})
		return e, false
	}
	return e, true
}

func (r *resolver) exposureNumbers(s *ast.Expose, e *stack.Exposure) bool {
	if s.Protocol != nil {
		e.Protocol = s.Protocol.Name
		if e.Protocol != "tcp" && e.Protocol != "udp" {
			r.report(diag.BadExposure, s.Protocol.Range, fmt.Sprintf("%q is not a protocol of ports", e.Protocol), "write tcp or udp", "")
			return false
		}
	}
	for _, n := range []struct {
		from ast.Number
		into *uint16
	}{{s.Host, &e.HostPort}, {s.Container, &e.Port}} {
		p, problem := schema.ParsePort(n.from.Text)
		if problem != nil {
			r.report(diag.BadPort, n.from.Range, fmt.Sprintf("%s is not a port", n.from.Text), "a port is 1 to 65535", "")
			return false
		}
		*n.into = p.Number
	}
	return true
}

// exposureText reads [address:]host[:container][/tcp|/udp].
func (r *resolver) exposureText(s *ast.Expose, e *stack.Exposure) bool {
	notAllowed := func(rng token.Range) bool {
		var related []diag.Related
		if rng.Start.Offset < s.Text.Range.Start.Offset || rng.End.Offset > s.Text.Range.End.Offset {
			related = append(related, diag.Related{Label: "used here", Range: s.Text.Range})
		}
		r.report(diag.ReferenceNotAllowed, rng, "only env and let can stand in an exposure", "write the address and the ports", "", related...)
		return false
	}
	for _, part := range s.Text.Parts {
		if ref := part.Reference; ref != nil && r.isOfComponent(ref) {
			return notAllowed(ref.Range)
		}
	}
	v := r.eval(s.Text, &scope{unit: r.root, letIndex: -1})
	if len(v.uses) > 0 {
		return notAllowed(v.uses[0].rng)
	}
	if v.kind == bad || v.kind == unknown {
		return false
	}
	bad := func(detail string) bool {
		r.report(diag.BadExposure, v.rng, fmt.Sprintf("%q is not an exposure", v.text.Shown), "", detail)
		return false
	}
	form := `The form is "[address:]host[:container][/udp]", such as "0.0.0.0:8443:8080"; an IPv6 address stands in brackets.`
	if v.kind != text && v.kind != number {
		return bad(form)
	}
	rest, protocol, found := strings.Cut(v.text.Value, "/")
	if found {
		if protocol != "tcp" && protocol != "udp" {
			return bad("The protocol is tcp or udp.")
		}
		e.Protocol = protocol
	}
	if strings.HasPrefix(rest, "[") {
		inside, after, ok := strings.Cut(rest[1:], "]:")
		if !ok || net.ParseIP(inside) == nil || !strings.Contains(inside, ":") {
			return bad(form)
		}
		e.Address, rest = net.ParseIP(inside).String(), after
	}
	parts := strings.Split(rest, ":")
	if len(parts) > 1 && strings.Contains(parts[0], ".") && e.Address == "127.0.0.1" {
		ip := net.ParseIP(parts[0])
		if ip == nil {
			return bad(fmt.Sprintf("%q is not an IP address.", parts[0]))
		}
		e.Address, parts = ip.String(), parts[1:]
	} else if len(parts) > 1 && parts[0] == "localhost" {
		parts = parts[1:]
	}
	if len(parts) > 2 {
		return bad(form)
	}
	host, problemA := schema.ParsePort(parts[0])
	container, problemB := schema.ParsePort(parts[len(parts)-1])
	if problemA != nil || problemB != nil {
		return bad("Ports are 1 to 65535.")
	}
	e.HostPort, e.Port = host.Number, container.Number
	return true
}

// isOfComponent tells whether a reference is to what only components have.
func (r *resolver) isOfComponent(ref *ast.Reference) bool {
	return ref.Root == "param" || ref.Root == "self" || ref.Root == "secret" || r.root.components[ref.Root] != nil
}

// exposureTarget finds the component, and checks that it has the port.
func (r *resolver) exposureTarget(s *ast.Expose, e stack.Exposure) (*instance, bool) {
	want := stack.Port{Number: e.Port, Protocol: e.Protocol}
	if s.Target != nil {
		inst, ok := r.deployed(*s.Target)
		if !ok || inst.disabled {
			return inst, ok
		}
		ports, ok := r.portsOf(inst, nil)
		if !ok || len(ports) == 0 || slices.Contains(ports, want) {
			return inst, true
		}
		r.report(diag.ExposedPort, s.Range, fmt.Sprintf("%q does not listen on %d/%s", inst.name, e.Port, e.Protocol), "",
			fmt.Sprintf("It has %s. The port of the component stands behind the colon: EXPOSE host:container.", portsText(ports)),
			diag.Related{Label: "its ports", Range: inst.portsPlace()})
		return nil, false
	}
	candidates := r.listeners(want)
	switch {
	case r.portsFailed:
		return nil, false // one of them is in error: it may be the one
	case len(candidates) == 1:
		return candidates[0], true
	case r.root.incomplete:
		return nil, false
	case len(candidates) == 0:
		r.report(diag.ExposureTarget, s.Range, fmt.Sprintf("no component listens on %d/%s", e.Port, e.Protocol), "add TO and a component's name", "")
	default:
		var names []string
		for _, inst := range candidates[:min(mostNames, len(candidates))] {
			names = append(names, inst.name)
		}
		r.report(diag.ExposureTarget, s.Range, fmt.Sprintf("several components listen on %d/%s", e.Port, e.Protocol), "add TO and one of their names", fewNames("They are ", names, len(candidates)))
	}
	return nil, false
}

// listeners returns the deployed components that declare a port.
func (r *resolver) listeners(port stack.Port) []*instance {
	if r.byPort == nil {
		r.byPort = map[stack.Port][]*instance{}
		for _, inst := range r.order {
			ports, ok := r.portsOf(inst, nil)
			r.portsFailed = r.portsFailed || !ok
			for _, p := range ports {
				if !inst.disabled {
					r.byPort[p] = append(r.byPort[p], inst)
				}
			}
		}
	}
	return r.byPort[port]
}

func (i *instance) portsPlace() token.Range {
	if s := i.settings["port"]; s != nil {
		return s.rng
	}
	return i.def.name.Range
}

func portsText(ports []stack.Port) string {
	var all []string
	for _, p := range ports {
		all = append(all, fmt.Sprintf("%d/%s", p.Number, p.Protocol))
	}
	return strings.Join(all, ", ")
}

// deployed finds a component of the root file that can be connected and
// exposed.
func (r *resolver) deployed(name ast.Ident) (*instance, bool) {
	if name.Name == "" {
		return nil, false
	}
	if inst := r.instances[name.Name]; inst != nil {
		return inst, true
	}
	if d := r.root.components[name.Name]; d != nil {
		r.report(diag.TemplateAsTarget, name.Range, fmt.Sprintf("%q is a template, which is not deployed", name.Name), "",
			fmt.Sprintf("Make a component of it: COMPONENT my-%s FROM %s(…).", name.Name, name.Name), diag.Related{Label: "the template", Range: d.name.Range})
		return nil, false
	}
	if _, ok := r.root.aliases[name.Name]; ok {
		r.isImport(name.Name, name.Range)
		return nil, false
	}
	if !r.root.incomplete {
		r.report(diag.UnknownComponent, name.Range, fmt.Sprintf("unknown component %q", name.Name), r.near(name.Name, r.root.deployed), namesDetail("The components are ", r.root.deployed))
	}
	return nil, false
}

// isImport reports the alias of an import where a component is needed.
func (r *resolver) isImport(name string, rng token.Range) {
	r.report(diag.TemplateAsTarget, rng, fmt.Sprintf("%q is an import, not a deployed component", name), "", "Refer to the component that is made from it.")
}
