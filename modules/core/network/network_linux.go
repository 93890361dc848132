package network

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/namespace"
)

// None sets up a namespace with nothing but loopback. The caller closes it; the
// namespace goes on living while a process is in it.
func None(ctx context.Context, opts EndpointOptions) (*Endpoint, error) {
	failed := func(err error) error { return &Error{Op: "create namespace", Err: err} }
	if err := ctx.Err(); err != nil {
		return nil, failed(err)
	}
	setUp := func() error { return withHandle(setUpContainer) }
	if opts.Namespace == nil {
		ns, err := namespace.New(namespace.Network, setUp)
		if err != nil {
			return nil, failed(err)
		}
		return &Endpoint{ns: ns}, nil
	}
	fd, err := unix.FcntlInt(opts.Namespace.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, failed(err)
	}
	ns := os.NewFile(uintptr(fd), opts.Namespace.Name())
	if err := namespace.Do(ns, setUp); err != nil {
		return nil, failed(errors.Join(err, ns.Close()))
	}
	return &Endpoint{ns: ns}, nil
}

// DialIn connects to addr from inside a network namespace: a health probe. The
// address is an IP address and a port, a name is not looked up. The connection
// can be used anywhere; the caller closes it. The namespace stays the
// caller's.
func DialIn(ctx context.Context, ns *os.File, network, addr string) (net.Conn, error) {
	// A name would be resolved by the host's resolver, on goroutines that are
	// outside the namespace.
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, &Error{Op: "dial", Target: addr, Err: err}
	}
	var conn net.Conn
	err := namespace.Do(ns, func() error {
		var err error
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	if err != nil {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
		return nil, &Error{Op: "dial", Target: addr, Err: err}
	}
	return conn, nil
}

// withHandle gives f a netlink socket of the calling thread's namespace.
func withHandle(f func(*netlink.Handle) error) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return &Error{Op: "open netlink socket", Err: err}
	}
	defer h.Close()
	return f(h)
}

// setUpContainer prepares what every container's namespace has, before its
// interface comes.
func setUpContainer(h *netlink.Handle) error {
	ids, err := idmap.Own()
	if err != nil {
		return err
	}
	// Of the groups that exist for who sets it.
	lastGroup := min(ids.GIDs.Last(), math.MaxInt32)
	settings := []sysctl{
		// So that port 80 and ping need no capability: ip-sysctl.rst.
		{"net/ipv4/ip_unprivileged_port_start", "0"},
		{"net/ipv4/ping_group_range", "0 " + strconv.FormatUint(uint64(lastGroup), 10)},
	}
	if hasIPv6() {
		settings = append(settings,
			// The address is ours by configuration: no seconds of duplicate
			// address detection, no router to solicit, no link-local address.
			sysctl{"net/ipv6/conf/all/disable_ipv6", "0"},
			sysctl{"net/ipv6/conf/default/accept_dad", "0"},
			sysctl{"net/ipv6/conf/default/accept_ra", "0"},
			sysctl{"net/ipv6/conf/default/addr_gen_mode", "1"},
		)
	}
	if err := setSysctls(settings...); err != nil {
		return err
	}
	return setLinkUp(h, "lo")
}

// sysctl is a kernel setting; the path is relative to /proc/sys.
type sysctl struct{ path, value string }

// setSysctls writes settings of the calling thread's namespace.
func setSysctls(settings ...sysctl) error {
	for _, s := range settings {
		// /proc/sys/net shows the namespace of the thread that looks.
		f, err := os.OpenFile(filepath.Join("/proc/sys", s.path), os.O_WRONLY, 0)
		if err != nil {
			return &Error{Op: "set", Target: s.path, Err: err}
		}
		_, err = f.WriteString(s.value)
		if err := errors.Join(err, f.Close()); err != nil {
			return &Error{Op: "set", Target: s.path, Err: err}
		}
	}
	return nil
}

// hasIPv6 is false on a kernel without IPv6, or booted with ipv6.disable=1.
func hasIPv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6")
	return err == nil
}

func setLinkUp(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return &Error{Op: "find interface", Target: name, Err: err}
	}
	if err := h.LinkSetUp(link); err != nil {
		return &Error{Op: "set up interface", Target: name, Err: err}
	}
	return nil
}

// deleteLink deletes an interface, and with it its peer. None there is not an
// error.
func deleteLink(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil
	}
	if err == nil {
		err = h.LinkDel(link)
	}
	// ENODEV: it went by itself, with the namespace of its peer.
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return &Error{Op: "delete interface", Target: name, Err: err}
	}
	return nil
}

// hostPrefix is the address as the prefix of itself alone.
func hostPrefix(a netip.Addr) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// port is one end of a veth pair and how it is reached and reaches on.
type port struct {
	link      netlink.Link
	addresses []netip.Addr
	neighbors []neighbor
	routes    []netlink.Route // over the link
}

// neighbor is who is at the other end.
type neighbor struct {
	addr netip.Addr
	mac  net.HardwareAddr
}

// configure brings a port to life. Everything is told, so that nothing has to
// be found out: no ARP, no neighbour discovery, no duplicate detection.
func configure(h *netlink.Handle, p port) error {
	name, index := p.link.Attrs().Name, p.link.Attrs().Index
	for _, a := range p.addresses {
		addr := &netlink.Addr{IPNet: hostPrefix(a)}
		if a.Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := h.AddrAdd(p.link, addr); err != nil {
			return &Error{Op: "add address " + a.String() + " to", Target: name, Err: err}
		}
	}
	if err := h.LinkSetUp(p.link); err != nil {
		return &Error{Op: "set up interface", Target: name, Err: err}
	}
	for _, a := range p.addresses {
		// The kernel takes an IPv6 address for its own only by work that it
		// puts off, and until then does not receive for it. Telling it the
		// route leaves nothing to wait for.
		if !a.Is6() {
			continue
		}
		if err := h.RouteAdd(&netlink.Route{
			LinkIndex: index, Dst: hostPrefix(a), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL,
		}); err != nil && !errors.Is(err, unix.EEXIST) {
			return &Error{Op: "add local route " + a.String() + " to", Target: name, Err: err}
		}
	}
	for _, n := range p.neighbors {
		if err := h.NeighSet(&netlink.Neigh{
			LinkIndex: index, State: netlink.NUD_PERMANENT, IP: n.addr.AsSlice(), HardwareAddr: n.mac,
		}); err != nil {
			return &Error{Op: "add neighbour " + n.addr.String() + " to", Target: name, Err: err}
		}
	}
	for _, route := range p.routes {
		if route.Type != unix.RTN_UNREACHABLE { // which leads nowhere
			route.LinkIndex = index
		}
		if err := h.RouteAdd(&route); err != nil {
			return &Error{Op: "add route to " + route.Dst.String() + " to", Target: name, Err: err}
		}
	}
	return nil
}

// awaitCarrier waits until an interface sends. The end of a pair that was set up
// first learns of the other by work that the kernel puts off, and until then
// drops what it should send: a first connection would take the second that TCP
// waits before it tries again. Since Linux 6.8 asking for the interface does
// the work.
func awaitCarrier(ctx context.Context, h *netlink.Handle, name string) error {
	for {
		link, err := h.LinkByName(name)
		if err != nil {
			return &Error{Op: "find interface", Target: name, Err: err}
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		select {
		case <-ctx.Done():
			return &Error{Op: "wait for the carrier of", Target: name, Err: ctx.Err()}
		case <-time.After(time.Millisecond):
		}
	}
}

// notExist tells whether a pinned namespace is missing.
func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
