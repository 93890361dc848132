package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/namespace"
)

// uplink is the router's interface to the host.
const uplink = "uplink"

// The fixed, locally administered hardware addresses of every veth pair: the
// end nearer to the host, and the other. A pair has a wire of its own, so they
// need not differ between pairs.
var (
	upperMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x01}
	lowerMAC = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x02}
)

// CreateRouter makes a project's router: its namespace, pinned, with an uplink
// to the host, and rules that let nothing pass. A router that exists is an
// error that matches fs.ErrExist. What a crash left of the project's earlier
// router is removed first. The caller closes the Router.
func CreateRouter(ctx context.Context, spec RouterSpec) (_ *Router, err error) {
	defer func() {
		if err != nil {
			err = &Error{Op: "create router", Target: spec.Project, Err: err}
		}
	}()
	if spec.Project == "" || !filepath.IsAbs(spec.Pin) {
		return nil, errors.New("a project and an absolute pin path are required")
	}
	reg, err := openRegistry(ctx, spec.Registry)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, reg.Close()) }()
	var undo undoing
	defer func() {
		if err != nil {
			err = errors.Join(err, undo.run())
		}
	}()
	if old, err := namespace.OpenPinned(spec.Pin, namespace.Network); err == nil {
		return nil, errors.Join(fs.ErrExist, old.Close())
	} else if !notExist(err) {
		return nil, err
	}
	if err := spec.removeHostSide(); err != nil {
		return nil, err
	}
	pool, err := choosePool(reg, spec)
	if err != nil {
		return nil, err
	}

	r := &Router{spec: spec, pool: pool}
	if r.ns, err = namespace.New(namespace.Network, func() error { return setUpRouter(pool) }); err != nil {
		return nil, err
	}
	undo.add(r.ns.Close)
	undo.add(spec.removeHostSide)
	if !spec.Isolated {
		if err := r.connectHost(ctx); err != nil {
			return nil, err
		}
	}
	if err := r.replaceRouterRules(Rules{}); err != nil {
		return nil, err
	}

	undo.add(func() error {
		delete(reg.Projects, spec.Project)
		return reg.Save()
	})
	reg.Projects[spec.Project] = registryEntry{Pin: spec.Pin, Pool: pool}
	if err := reg.Save(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(spec.Pin), 0o700); err != nil {
		return nil, err
	}
	// Last: what is not pinned ends with this process.
	if err := namespace.Pin(r.ns, spec.Pin); err != nil {
		removeEmpty(filepath.Dir(spec.Pin))
		return nil, err
	}
	return r, nil
}

// OpenRouter opens a project's router that exists; none is an error that
// matches fs.ErrNotExist. The caller closes it.
func OpenRouter(ctx context.Context, spec RouterSpec) (*Router, error) {
	failed := func(err error) error { return &Error{Op: "open router", Target: spec.Project, Err: err} }
	if err := ctx.Err(); err != nil {
		return nil, failed(err)
	}
	ns, err := namespace.OpenPinned(spec.Pin, namespace.Network)
	if err != nil {
		return nil, failed(err)
	}
	r := &Router{spec: spec, ns: ns}
	// The kernel knows the pool: it is told by the router's own addresses.
	err = namespace.Do(ns, func() error { return withHandle(r.readPool) })
	if err != nil {
		return nil, failed(errors.Join(err, ns.Close()))
	}
	return r, nil
}

// RemoveRouter removes a project's router and everything that belongs to it on
// the host: every endpoint's interface, the uplink, the tables, the pin and
// its folder if that is empty, the registry's entry. What is not there is not
// an error.
func RemoveRouter(ctx context.Context, spec RouterSpec) (err error) {
	defer func() {
		if err != nil {
			err = &Error{Op: "remove router", Target: spec.Project, Err: err}
		}
	}()
	reg, err := openRegistry(ctx, spec.Registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reg.Close()) }()

	ns, err := namespace.OpenPinned(spec.Pin, namespace.Network)
	if err != nil && !notExist(err) {
		return err
	}
	if ns != nil {
		defer func() { err = errors.Join(err, ns.Close()) }()
	}
	// First: with the pin goes the router. What a crash then leaves is removed by
	// the next call, or when the next router is made.
	if err := namespace.Unpin(spec.Pin); err != nil {
		return err
	}
	removeEmpty(filepath.Dir(spec.Pin))
	entry := reg.Projects[spec.Project]
	if err := stopForwarding(reg, spec.Project, entry.Forwarding); err != nil {
		return err
	}
	if err := spec.removeHostSide(); err != nil {
		return err
	}
	if ns != nil {
		// The kernel ends a namespace some time after its last user is gone.
		// The interfaces must not be seen until then.
		if err := namespace.Do(ns, func() error { return withHandle(deleteVeths) }); err != nil {
			return err
		}
	}
	delete(reg.Projects, spec.Project)
	return reg.Save()
}

// setUpRouter prepares a fresh namespace, from inside.
func setUpRouter(pool Pool) error {
	settings := []sysctl{{"net/ipv4/ip_forward", "1"}}
	if hasIPv6() {
		settings = append(settings,
			sysctl{"net/ipv6/conf/all/disable_ipv6", "0"},
			sysctl{"net/ipv6/conf/all/forwarding", "1"},
			sysctl{"net/ipv6/conf/default/accept_dad", "0"},
			sysctl{"net/ipv6/conf/default/addr_gen_mode", "1"},
		)
	}
	if err := setSysctls(settings...); err != nil {
		return err
	}
	return withHandle(func(h *netlink.Handle) error {
		lo, err := h.LinkByName("lo")
		if err != nil {
			return &Error{Op: "find interface", Target: "lo", Err: err}
		}
		p := port{link: lo}
		own := pool.router()
		for _, family := range []struct {
			addr netip.Addr
			pool netip.Prefix
			have bool
		}{{own.IPv4, pool.IPv4, true}, {own.IPv6, pool.IPv6, hasIPv6()}} {
			if !family.have {
				continue
			}
			// The router's own address is what its ICMP errors come from.
			p.addresses = append(p.addresses, family.addr)
			// An endpoint that is not attached is not sent on to the host.
			p.routes = append(p.routes, netlink.Route{
				Dst: ipNet(family.pool), Type: unix.RTN_UNREACHABLE, Priority: 1 << 20,
			})
		}
		return configure(h, p)
	})
}

// connectHost makes the uplink. IPv6 stays inside the project.
func (r *Router) connectHost(ctx context.Context) error {
	name := hostLink(r.spec.Project)
	gateway, own := r.pool.Gateway().IPv4, r.pool.router().IPv4
	err := withHandle(func(h *netlink.Handle) error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.HardwareAddr = name, upperMAC
		veth := netlink.NewVeth(attrs)
		veth.PeerName, veth.PeerHardwareAddr = uplink, lowerMAC
		veth.PeerNamespace = netlink.NsFd(r.ns.Fd())
		if err := h.LinkAdd(veth); err != nil {
			return &Error{Op: "create interface", Target: name, Err: err}
		}
		settings := []sysctl{
			// Lets 127.0.0.1 be translated to a container's address on this
			// interface; the host's table drops what would abuse it.
			{filepath.Join("net/ipv4/conf", name, "route_localnet"), "1"},
		}
		if hasIPv6() {
			settings = append(settings, sysctl{filepath.Join("net/ipv6/conf", name, "disable_ipv6"), "1"})
		}
		if err := setSysctls(settings...); err != nil {
			return err
		}
		return configure(h, port{
			link:      veth,
			addresses: []netip.Addr{gateway},
			neighbors: []neighbor{{own, lowerMAC}},
			routes: []netlink.Route{{
				Dst: ipNet(r.pool.IPv4), Gw: own.AsSlice(), Src: gateway.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
			}},
		})
	})
	if err != nil {
		return err
	}
	err = namespace.Do(r.ns, func() error {
		return withHandle(func(h *netlink.Handle) error {
			if hasIPv6() {
				if err := setSysctls(sysctl{"net/ipv6/conf/uplink/disable_ipv6", "1"}); err != nil {
					return err
				}
			}
			link, err := h.LinkByName(uplink)
			if err != nil {
				return &Error{Op: "find interface", Target: uplink, Err: err}
			}
			return configure(h, port{
				link:      link,
				neighbors: []neighbor{{gateway, upperMAC}},
				routes:    []netlink.Route{{Dst: hostPrefix(gateway), Scope: netlink.SCOPE_LINK}},
			})
		})
	})
	if err != nil {
		return err
	}
	return withHandle(func(h *netlink.Handle) error { return awaitCarrier(ctx, h, name) })
}

// removeHostSide removes what a project has in the host's namespace but the
// settings of interfaces that are not its own.
func (spec RouterSpec) removeHostSide() error {
	if spec.Isolated {
		return nil
	}
	return removeHostSide(hostLink(spec.Project), hostTable(spec.Project))
}

// removeHostSide removes an interface and a table of the host's namespace.
func removeHostSide(link, table string) error {
	// Side by side: for either the kernel waits until nobody can be using it.
	linkGone := make(chan error, 1)
	go func() {
		linkGone <- withHandle(func(h *netlink.Handle) error { return deleteLink(h, link) })
	}()
	return errors.Join(deleteHostTable(table), <-linkGone)
}

// deleteVeths deletes every veth interface of the calling thread's namespace.
func deleteVeths(h *netlink.Handle) error {
	links, err := h.LinkList()
	if err != nil {
		return &Error{Op: "list interfaces", Err: err}
	}
	for _, link := range links {
		if link.Type() != "veth" {
			continue
		}
		if err := deleteLink(h, link.Attrs().Name); err != nil {
			return err
		}
	}
	return nil
}

// choosePool takes the preferred pool, or the first free one.
func choosePool(reg *registry, spec RouterSpec) (Pool, error) {
	var used []netip.Prefix
	for project, entry := range reg.Projects {
		if project != spec.Project {
			used = append(used, entry.Pool.IPv4)
		}
	}
	err := withHandle(func(h *netlink.Handle) error {
		// Table 0: of all tables.
		routes, err := h.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return &Error{Op: "list routes", Err: err}
		}
		for _, route := range routes {
			if route.Dst == nil {
				continue
			}
			addr, ok := netip.AddrFromSlice(route.Dst.IP)
			bits, _ := route.Dst.Mask.Size()
			// The default route covers every pool and conflicts with none.
			if ok && bits > 0 {
				used = append(used, netip.PrefixFrom(addr.Unmap(), bits))
			}
		}
		return nil
	})
	if err != nil {
		return Pool{}, err
	}
	free := func(p Pool) bool {
		for _, u := range used {
			if u.Overlaps(p.IPv4) {
				return false
			}
		}
		return true
	}
	if spec.Pool.valid() && free(spec.Pool) {
		return spec.Pool, nil
	}
	for i := range poolCount {
		if p := poolAt(spec.Project, i); free(p) {
			return p, nil
		}
	}
	return Pool{}, fmt.Errorf("%w: the host's routes and other projects use all of %v", ErrNoPool, poolRanges)
}

// readPool finds the pool from the addresses that setUpRouter gave.
func (r *Router) readPool(h *netlink.Handle) error {
	lo, err := h.LinkByName("lo")
	if err != nil {
		return &Error{Op: "find interface", Target: "lo", Err: err}
	}
	addrs, err := h.AddrList(lo, netlink.FAMILY_ALL)
	if err != nil {
		return &Error{Op: "list addresses", Err: err}
	}
	for _, a := range addrs {
		addr, _ := netip.AddrFromSlice(a.IP)
		switch addr = addr.Unmap(); {
		case addr.IsLoopback():
		case addr.Is4():
			r.pool.IPv4 = netip.PrefixFrom(addr, poolBits4).Masked()
		default:
			r.pool.IPv6 = netip.PrefixFrom(addr, poolBits6).Masked()
		}
	}
	if !r.pool.IPv6.IsValid() {
		// A kernel without IPv6: the addresses exist on paper.
		r.pool.IPv6 = poolAt(r.spec.Project, 0).IPv6
	}
	if !r.pool.IPv4.IsValid() {
		return fmt.Errorf("the namespace at %s is no router", r.spec.Pin)
	}
	return nil
}

// undoing is what a constructor that fails takes back, last first.
type undoing []func() error

func (u *undoing) add(f func() error) { *u = append(*u, f) }

func (u undoing) run() error {
	var err error
	for i := len(u) - 1; i >= 0; i-- {
		err = errors.Join(err, u[i]())
	}
	return err
}
