package network

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// replaceHostRules puts a project's table into the host's namespace. With
// nft(8), where <link> is the project's interface:
//
//	chain guard { type filter hook prerouting priority raw;
//		iifname <link> ip saddr != <pool> drop
//		iifname <link> ip daddr 127.0.0.0/8 drop
//	}
//	chain prerouting { type nat hook prerouting priority dstnat;
//		iifname != <link> ip daddr <address> meta l4proto <protocol> th dport <port> dnat to <endpoint>
//	}
//	chain output { type nat hook output priority dstnat; the same, loopback addresses too }
//	chain postrouting { type nat hook postrouting priority srcnat;
//		oifname <link> ct status dnat snat to <gateway>
//		oifname != <link> ip saddr <pool> masquerade
//	}
//	chain input { type filter hook input priority filter;
//		iifname <link> ct state established,related accept
//		iifname <link> drop
//	}
//	chain forward { type filter hook forward priority filter;
//		oifname <link> ct state established,related accept
//		oifname <link> ct status dnat accept
//		oifname <link> drop
//		iifname @relays oifname @relays drop
//	}
//
// Relays are interfaces that forward only because a project of ours needs it:
// between them the host must not begin to pass what it did not pass before.
func (r *Router) replaceHostRules(rules Rules, relays []string) error {
	t, err := begin()
	if err != nil {
		return err
	}
	link, f := hostLink(r.spec.Project), family4
	pool := ipNet(r.pool.IPv4)
	loopback := ipNet(netip.MustParsePrefix("127.0.0.0/8"))
	established := ctState(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	table := t.table(f.table, hostTable(r.spec.Project))
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return t.chain(table, name, kind, hook, priority, nftables.ChainPolicyAccept)
	}

	guard := chain("guard", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw)
	t.rule(guard, iifname(link), f.prefixed(f.source, pool.IP, pool.Mask, unequal), drop())
	t.rule(guard, iifname(link), f.prefixed(f.target, loopback.IP, loopback.Mask, equal), drop())

	prerouting := chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest)
	output := chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest)
	for _, e := range rules.Expose {
		match := slices.Concat(f.daddr(e.Address.AsSlice()), l4proto(e.protocol()), dport(e.HostPort))
		if e.Address.IsUnspecified() {
			match = slices.Concat(toLocal(), l4proto(e.protocol()), dport(e.HostPort))
		}
		translate := dnat(rules.endpoint(e.Endpoint).IPv4.AsSlice(), e.Port)
		t.rule(output, match, translate)
		if !e.Address.IsLoopback() {
			t.rule(prerouting, notIifname(link), match, translate)
		}
	}

	postrouting := chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	t.rule(postrouting, oifname(link), translated(), snat(r.pool.Gateway().IPv4.AsSlice()))
	t.rule(postrouting, notOifname(link), f.prefixed(f.source, pool.IP, pool.Mask, equal), masquerade())

	input := chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	t.rule(input, iifname(link), established, accept())
	t.rule(input, iifname(link), drop())

	forward := chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	t.rule(forward, oifname(link), established, accept())
	t.rule(forward, oifname(link), translated(), accept())
	t.rule(forward, oifname(link), drop())
	var names keys
	for _, relay := range relays {
		names.add(ifname(relay))
	}
	set := t.set(table, "relays", names, nftables.TypeIFName)
	t.rule(forward,
		exprs{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: firstRegister}}, in(set),
		exprs{&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: firstRegister}}, in(set),
		drop())
	return t.commit()
}

// deleteHostTable deletes a project's table. None there is not an error.
func deleteHostTable(name string) error {
	t, err := begin()
	if err != nil {
		return err
	}
	if t.exists(family4.table, name) {
		t.remove(family4.table, name)
	}
	return t.commit()
}

// relayInterfaces returns the host's interfaces, ours left out, that packets
// may take to the outside.
func relayInterfaces() ([]string, error) {
	var names []string
	err := withHandle(func(h *netlink.Handle) error {
		routes, err := h.RouteList(nil, netlink.FAMILY_V4)
		if err != nil {
			return &Error{Op: "list routes", Err: err}
		}
		links, err := h.LinkList()
		if err != nil {
			return &Error{Op: "list interfaces", Err: err}
		}
		for _, link := range links {
			attrs := link.Attrs()
			if attrs.Flags&unix.IFF_LOOPBACK != 0 || strings.HasPrefix(attrs.Name, hostLinkPrefix) {
				continue
			}
			if slices.ContainsFunc(routes, func(route netlink.Route) bool { return uses(route, attrs.Index) }) {
				names = append(names, attrs.Name)
			}
		}
		return nil
	})
	return names, err
}

// uses tells whether a route leads over an interface.
func uses(route netlink.Route, index int) bool {
	return route.LinkIndex == index ||
		slices.ContainsFunc(route.MultiPath, func(hop *netlink.NexthopInfo) bool { return hop.LinkIndex == index })
}

// mustForward returns those interfaces that do not forward by the host's own
// will: they are off, or a project turned them on.
func mustForward(reg *registry, names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		on, err := forwards(name)
		if err != nil {
			return nil, err
		}
		if !on || reg.forwards("", name) {
			out = append(out, name)
		}
	}
	return out, nil
}

// startForwarding has the host pass packets of a project's interface, and of
// those by which the answers come.
func startForwarding(link string, open bool, relays []string) error {
	value := "0"
	if open {
		value = "1"
	}
	settings := []sysctl{{forwardingPath(link), value}}
	for _, name := range relays {
		settings = append(settings, sysctl{forwardingPath(name), "1"})
	}
	return setSysctls(settings...)
}

// stopForwarding turns forwarding off where only this project needed it.
func stopForwarding(reg *registry, project string, names []string) error {
	// Someone has turned it on for the whole host since: it is theirs now.
	if all, err := forwards("all"); err != nil || all {
		return err
	}
	for _, name := range names {
		if reg.forwards(project, name) {
			continue
		}
		err := setSysctls(sysctl{forwardingPath(name), "0"})
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // the interface is gone
			return err
		}
	}
	return nil
}

func forwards(name string) (bool, error) {
	text, err := os.ReadFile(filepath.Join("/proc/sys", forwardingPath(name)))
	if err != nil {
		return false, &Error{Op: "read", Target: forwardingPath(name), Err: err}
	}
	return strings.TrimSpace(string(text)) != "0", nil
}

func forwardingPath(name string) string { return filepath.Join("net/ipv4/conf", name, "forwarding") }
