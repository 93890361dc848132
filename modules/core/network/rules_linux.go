package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/namespace"
)

// routerTable is the tables' name in the router's namespace, one for each
// family, replaced in one transaction.
const routerTable = "containust"

// SetRules replaces everything that may pass: in the router, and for exposed
// ports and the way outside on the host. Connections that the rules no longer
// allow end. A host port that is taken is a *PortInUseError, another exposure
// that cannot be is an *ExposeError; nothing has changed then. Called again
// with the same rules it restores what others removed, such as by
// "nft flush ruleset".
func (r *Router) SetRules(ctx context.Context, rules Rules) (err error) {
	defer func() {
		if err != nil {
			err = &Error{Op: "set rules", Target: r.spec.Project, Err: err}
		}
	}()
	if err := rules.check(r.pool); err != nil {
		return err
	}
	reg, err := openRegistry(ctx, r.spec.Registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reg.Close()) }()
	before := reg.Projects[r.spec.Project]
	ports, err := checkPorts(ctx, reg, r.spec.Project, rules.Expose)
	if err != nil {
		return err
	}

	after := registryEntry{Pin: r.spec.Pin, Pool: r.pool, Ports: ports}
	var relays []string
	if rules.needForwarding() && !r.spec.Isolated {
		if relays, err = relayInterfaces(); err != nil {
			return err
		}
		if after.Forwarding, err = mustForward(reg, relays); err != nil {
			return err
		}
	}
	// The registry first, and with both: a crash may leave an entry too much,
	// never one too few.
	both := after
	both.Ports = union(before.Ports, after.Ports)
	both.Forwarding = union(before.Forwarding, after.Forwarding)
	reg.Projects[r.spec.Project] = both
	if err := reg.Save(); err != nil {
		return err
	}
	if err := r.replaceRouterRules(rules); err != nil {
		return err
	}
	if r.spec.Isolated {
		reg.Projects[r.spec.Project] = after
		return reg.Save()
	}
	if err := r.replaceHostRules(rules, after.Forwarding); err != nil {
		return err
	}
	if err := r.setWayOut(rules.needForwarding(), after.Forwarding); err != nil {
		return err
	}
	unneeded := slices.DeleteFunc(slices.Clone(before.Forwarding), func(link string) bool {
		return slices.Contains(after.Forwarding, link)
	})
	if err := stopForwarding(reg, r.spec.Project, unneeded); err != nil {
		return err
	}
	reg.Projects[r.spec.Project] = after
	return reg.Save()
}

// check finds what makes the rules meaningless.
func (r Rules) check(pool Pool) error {
	byName := make(map[string]EndpointSpec, len(r.Endpoints))
	byAddress := make(map[netip.Addr]string, len(r.Endpoints))
	for _, e := range r.Endpoints {
		if err := pool.check(e); err != nil {
			return fmt.Errorf("endpoint %q: %w", e.Name, err)
		}
		if _, ok := byName[e.Name]; ok {
			return fmt.Errorf("endpoint %q is there twice", e.Name)
		}
		if other, ok := byAddress[e.IPv4]; ok {
			return fmt.Errorf("endpoints %q and %q have the same address %s", other, e.Name, e.IPv4)
		}
		byName[e.Name], byAddress[e.IPv4] = e, e.Name
	}
	for _, link := range r.Links {
		for _, name := range []string{link.From, link.To} {
			if _, ok := byName[name]; !ok {
				return fmt.Errorf("link from %q to %q: no endpoint %q", link.From, link.To, name)
			}
		}
	}
	for i, e := range r.Expose {
		if err := e.check(); err != nil {
			return &ExposeError{Exposure: e, Err: err}
		}
		if _, ok := byName[e.Endpoint]; !ok {
			return &ExposeError{Exposure: e, Err: fmt.Errorf("no endpoint %q", e.Endpoint)}
		}
		for _, other := range r.Expose[:i] {
			if e.hostPort().conflicts(other.hostPort()) {
				return &ExposeError{Exposure: e, Err: fmt.Errorf("exposed twice, for %q and %q", other.Endpoint, e.Endpoint)}
			}
		}
	}
	return nil
}

func (r Rules) endpoint(name string) EndpointSpec {
	i := slices.IndexFunc(r.Endpoints, func(e EndpointSpec) bool { return e.Name == name })
	return r.Endpoints[i]
}

// needForwarding tells whether the host must pass packets between the router
// and its other interfaces.
func (r Rules) needForwarding() bool {
	return slices.ContainsFunc(r.Endpoints, func(e EndpointSpec) bool { return !e.Offline }) ||
		slices.ContainsFunc(r.Expose, func(e Exposure) bool { return !e.Address.IsLoopback() })
}

// replaceRouterRules puts the rules into the router's namespace.
func (r *Router) replaceRouterRules(rules Rules) error {
	return namespace.Do(r.ns, func() error {
		t, err := begin()
		if err != nil {
			return err
		}
		r.familyRules(t, family4, rules)
		if hasIPv6() {
			r.familyRules(t, family6, rules)
		}
		return t.commit()
	})
}

// familyRules writes the router's table of one family. With nft(8):
//
//	chain prerouting { type filter hook prerouting priority raw; policy drop;
//		iifname . ip saddr @sources accept
//		iifname "lo" accept
//		iifname "uplink" ip saddr != <pool> accept        # IPv4
//		iifname "uplink" ip saddr <gateway> accept        # IPv4
//	}
//	chain forward { type filter hook forward priority filter; policy drop;
//		ct state invalid drop
//		iifname "uplink" goto inward                      # IPv4
//		oifname "uplink" goto outward                     # IPv4
//		ct direction original ip saddr . ip daddr @links accept
//		ct direction reply ip daddr . ip saddr @links accept
//		goto refuse
//	}
//	chain inward {
//		ct state related accept
//		ct direction original ip daddr . meta l4proto . th dport @exposed accept
//		ct direction reply ip daddr @outside accept
//		drop
//	}
//	chain outward {
//		ct state related accept
//		ct direction reply ip saddr . meta l4proto . th sport @exposed accept
//		ct direction original ip saddr @outside accept
//		goto refuse
//	}
//	chain refuse {
//		meta l4proto tcp reject with tcp reset
//		reject with icmp admin-prohibited
//	}
//	chain input { type filter hook input priority filter; policy drop; iifname "lo" accept }
//
// An answer is compared with the rules as much as what it answers, so that
// nothing passes any more when its link is gone. What a container may not do is
// refused rather than dropped: it learns at once, and no secret. A reset,
// because an ICMP error that arrives while connect(2) still holds the socket is
// lost.
func (r *Router) familyRules(t *transaction, f family, rules Rules) {
	table := t.table(f.table, routerTable)
	address := func(a Addresses) []byte {
		if f.table == nftables.TableFamilyIPv4 {
			return a.IPv4.AsSlice()
		}
		return a.IPv6.AsSlice()
	}
	var sources, links keys
	byName := make(map[string][]byte, len(rules.Endpoints))
	for _, e := range rules.Endpoints {
		byName[e.Name] = address(e.Addresses)
		sources.add(ifname(endpointLink(e.Name)), address(e.Addresses))
	}
	for _, l := range rules.Links {
		links.add(byName[l.From], byName[l.To])
	}
	sourceSet := t.set(table, "sources", sources, nftables.TypeIFName, f.address)
	linkSet := t.set(table, "links", links, f.address, f.address)

	prerouting := t.chain(table, "prerouting", nftables.ChainTypeFilter,
		nftables.ChainHookPrerouting, nftables.ChainPriorityRaw, nftables.ChainPolicyDrop)
	const ifnameWords = unix.IFNAMSIZ / 4
	t.rule(prerouting, exprs{
		&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: firstRegister},
		f.addressAt(f.source, firstRegister+ifnameWords),
	}, in(sourceSet), accept())
	t.rule(prerouting, iifname("lo"), accept())

	// Before the chains that go there.
	refuse := t.conn.AddChain(&nftables.Chain{Table: table, Name: "refuse"})
	t.rule(refuse, l4proto(unix.IPPROTO_TCP), reset())
	t.rule(refuse, f.refuse())

	forward := t.chain(table, "forward", nftables.ChainTypeFilter,
		nftables.ChainHookForward, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop)
	t.rule(forward, ctState(expr.CtStateBitINVALID), drop())
	if f.table == nftables.TableFamilyIPv4 {
		pool := ipNet(r.pool.IPv4)
		t.rule(prerouting, iifname(uplink), f.prefixed(f.source, pool.IP, pool.Mask, unequal), accept())
		t.rule(prerouting, iifname(uplink), exprs{
			f.addressAt(f.source, firstRegister), equal(r.pool.Gateway().IPv4.AsSlice()),
		}, accept())
		inward, outward := edgeRules(t, refuse, rules)
		t.rule(forward, iifname(uplink), goTo(inward))
		t.rule(forward, oifname(uplink), goTo(outward))
	}
	t.rule(forward, from(), f.addresses(f.source, f.target), in(linkSet), accept())
	t.rule(forward, back(), f.addresses(f.target, f.source), in(linkSet), accept())
	t.rule(forward, goTo(refuse))

	input := t.chain(table, "input", nftables.ChainTypeFilter,
		nftables.ChainHookInput, nftables.ChainPriorityFilter, nftables.ChainPolicyDrop)
	t.rule(input, iifname("lo"), accept())
}

// edgeRules writes the chains of what comes from the host and what goes to it.
func edgeRules(t *transaction, refuse *nftables.Chain, rules Rules) (inward, outward *nftables.Chain) {
	var exposed, outside keys
	for _, e := range rules.Expose {
		exposed.add(rules.endpoint(e.Endpoint).IPv4.AsSlice(), []byte{e.protocol()}, bigEndian(e.Port))
	}
	for _, e := range rules.Endpoints {
		if !e.Offline {
			outside.add(e.IPv4.AsSlice())
		}
	}
	table := refuse.Table
	exposedSet := t.set(table, "exposed", exposed, nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	outsideSet := t.set(table, "outside", outside, nftables.TypeIPAddr)
	service := func(address, port uint32) exprs {
		return exprs{
			family4.addressAt(address, firstRegister),
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: firstRegister + 1},
			portAt(port, firstRegister+2),
		}
	}
	host := func(address uint32) exprs { return exprs{family4.addressAt(address, firstRegister)} }
	source, target := family4.source, family4.target

	inward = t.conn.AddChain(&nftables.Chain{Table: table, Name: "inward"})
	t.rule(inward, ctState(expr.CtStateBitRELATED), accept())
	t.rule(inward, from(), service(target, targetPort), in(exposedSet), accept())
	t.rule(inward, back(), host(target), in(outsideSet), accept())
	t.rule(inward, drop())

	outward = t.conn.AddChain(&nftables.Chain{Table: table, Name: "outward"})
	t.rule(outward, ctState(expr.CtStateBitRELATED), accept())
	t.rule(outward, back(), service(source, sourcePort), in(exposedSet), accept())
	t.rule(outward, from(), host(source), in(outsideSet), accept())
	t.rule(outward, goTo(refuse))
	return inward, outward
}

// setWayOut gives the router a default route through the host, or takes it
// away, and has the host pass what comes from there.
func (r *Router) setWayOut(open bool, forwarding []string) error {
	route := netlink.Route{
		Dst: ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0)),
		Gw:  r.pool.Gateway().IPv4.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
	}
	err := namespace.Do(r.ns, func() error {
		return withHandle(func(h *netlink.Handle) error {
			link, err := h.LinkByName(uplink)
			if err != nil {
				return &Error{Op: "find interface", Target: uplink, Err: err}
			}
			route.LinkIndex = link.Attrs().Index
			if open {
				err = h.RouteReplace(&route)
			} else if err = h.RouteDel(&route); errors.Is(err, unix.ESRCH) {
				err = nil
			}
			if err != nil {
				return &Error{Op: "set default route of", Target: uplink, Err: err}
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return startForwarding(hostLink(r.spec.Project), open, forwarding)
}

// union returns what is in a or b.
func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}
