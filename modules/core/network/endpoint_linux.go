package network

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"github.com/containust/containust/modules/core/namespace"
)

// The gateways that an endpoint sends to. They are on no interface: the
// neighbour entries say where they are.
var (
	gateway4 = netip.MustParseAddr("169.254.1.1")
	gateway6 = netip.MustParseAddr("fe80::1")
)

// endpointInterface is what a container sees.
const endpointInterface = "eth0"

// Attach sets up a container's network namespace, with loopback and eth0 up, and
// connects it to the router. What may pass is said by SetRules, before or
// after. An endpoint of that name that is attached is cut off: a container has
// one namespace at a time.
//
// The caller closes the Endpoint, after a process has entered the namespace.
func (r *Router) Attach(ctx context.Context, spec EndpointSpec, opts EndpointOptions) (_ *Endpoint, err error) {
	failed := func(err error) error { return &Error{Op: "attach", Target: spec.Name, Err: err} }
	if err := ctx.Err(); err != nil {
		return nil, failed(err)
	}
	if err := r.pool.check(spec); err != nil {
		return nil, failed(err)
	}
	e, err := None(ctx, opts)
	if err != nil {
		return nil, failed(err)
	}
	name := endpointLink(spec.Name)
	err = namespace.Do(r.ns, func() error {
		return withHandle(func(h *netlink.Handle) error {
			if err := deleteLink(h, name); err != nil {
				return err
			}
			return plug(h, name, e, spec)
		})
	})
	if err == nil {
		err = namespace.Do(e.ns, func() error {
			return withHandle(func(h *netlink.Handle) error { return r.setUpEndpoint(h, spec) })
		})
	}
	if err == nil {
		err = namespace.Do(r.ns, func() error {
			return withHandle(func(h *netlink.Handle) error { return awaitCarrier(ctx, h, name) })
		})
	}
	if err != nil {
		return nil, failed(errors.Join(err, r.Detach(ctx, spec.Name), e.Close()))
	}
	return e, nil
}

// Detach cuts an endpoint off: its interface ends. One that is not attached is
// not an error.
func (r *Router) Detach(_ context.Context, name string) error {
	err := namespace.Do(r.ns, func() error {
		return withHandle(func(h *netlink.Handle) error { return deleteLink(h, endpointLink(name)) })
	})
	if err != nil {
		return &Error{Op: "detach", Target: name, Err: err}
	}
	return nil
}

// plug makes the pair of interfaces and sets up the router's.
func plug(h *netlink.Handle, name string, e *Endpoint, spec EndpointSpec) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = name, upperMAC
	veth := netlink.NewVeth(attrs)
	veth.PeerName, veth.PeerHardwareAddr = endpointInterface, lowerMAC
	veth.PeerNamespace = netlink.NsFd(e.ns.Fd())
	if err := h.LinkAdd(veth); err != nil {
		return &Error{Op: "create interface", Target: name, Err: err}
	}
	p := port{link: veth}
	for _, addr := range families(spec.Addresses) {
		p.neighbors = append(p.neighbors, neighbor{addr, lowerMAC})
		p.routes = append(p.routes, netlink.Route{Dst: hostPrefix(addr), Scope: netlink.SCOPE_LINK})
	}
	return configure(h, p)
}

// setUpEndpoint sets up the container's interface, from inside.
func (r *Router) setUpEndpoint(h *netlink.Handle, spec EndpointSpec) error {
	link, err := h.LinkByName(endpointInterface)
	if err != nil {
		return &Error{Op: "find interface", Target: endpointInterface, Err: err}
	}
	p := port{link: link, addresses: families(spec.Addresses)}
	for _, addr := range p.addresses {
		gateway, pool := gateway4, r.pool.IPv4
		if addr.Is6() {
			gateway, pool = gateway6, r.pool.IPv6
		}
		destination := pool
		if !spec.Offline && addr.Is4() {
			destination = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		}
		p.neighbors = append(p.neighbors, neighbor{gateway, upperMAC})
		p.routes = append(p.routes, netlink.Route{
			Dst: ipNet(destination), Gw: gateway.AsSlice(), Src: addr.AsSlice(), Flags: int(netlink.FLAG_ONLINK),
		})
	}
	return configure(h, p)
}

// families returns the addresses that this kernel can have.
func families(a Addresses) []netip.Addr {
	if hasIPv6() {
		return []netip.Addr{a.IPv4, a.IPv6}
	}
	return []netip.Addr{a.IPv4}
}

// check tells whether an endpoint can be of this pool.
func (p Pool) check(spec EndpointSpec) error {
	if spec.Name == "" {
		return errors.New("an endpoint needs a name")
	}
	if !p.Contains(spec.Addresses) {
		return fmt.Errorf("%s and %s are not an endpoint's addresses in %s", spec.IPv4, spec.IPv6, p.IPv4)
	}
	return nil
}
