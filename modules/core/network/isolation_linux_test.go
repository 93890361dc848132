package network_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/network"
)

// What is refused is refused at once: a forgotten CONNECT is not a hang.
func TestRefusedAtOnce(t *testing.T) {
	p := newProject(t, "refused", "web", "db")
	p.apply(t)
	for _, addr := range []netip.Addr{p.addresses("db").IPv4, p.addresses("db").IPv6} {
		_, err := ask(t, p.endpoints["web"].NS(), "tcp", addr, 80)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

func TestNothingPassesBeforeRules(t *testing.T) {
	p := newProject(t, "norules", "web", "db")
	serve(t, p.endpoints["db"].NS(), "db", 80)
	requireNoAnswer(t, p.endpoints["web"].NS(), "tcp", p.addresses("db").IPv4, 80)
	requireNoAnswer(t, p.endpoints["web"].NS(), "tcp", p.addresses("db").IPv6, 80)
}

// A source address that is not the endpoint's own is dropped, even one that has
// the link that the endpoint lacks.
func TestSpoofedSource(t *testing.T) {
	p := newProject(t, "spoof", "web", "api", "evil")
	p.link("web", "api")
	p.apply(t)
	receiver := map[bool]net.PacketConn{}
	in(t, p.endpoints["api"].NS(), func() error {
		for _, six := range []bool{false, true} {
			c, err := net.ListenPacket(udpNetwork(six), ":7")
			if err != nil {
				return err
			}
			t.Cleanup(func() { _ = c.Close() })
			receiver[six] = c
		}
		return nil
	})
	for _, test := range []struct {
		name string
		six  bool
		by   string // who sends
		as   string // whose source address
		want bool
	}{
		{"IPv4 own", false, "web", "web", true},
		{"IPv4 another's", false, "evil", "web", false},
		{"IPv6 own", true, "web", "web", true},
		{"IPv6 another's", true, "evil", "web", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			source, target := p.addresses(test.as).IPv4, p.addresses("api").IPv4
			if test.six {
				source, target = p.addresses(test.as).IPv6, p.addresses("api").IPv6
			}
			in(t, p.endpoints[test.by].NS(), func() error { return sendAs(source, target, 7) })
			buffer := make([]byte, 100)
			wait := eventually
			if !test.want {
				wait = 200 * time.Millisecond
			}
			require.NoError(t, receiver[test.six].SetReadDeadline(time.Now().Add(wait)))
			n, from, err := receiver[test.six].ReadFrom(buffer)
			if test.want {
				require.NoError(t, err)
				require.Equal(t, "hello", string(buffer[:n]))
			} else {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded, "got a packet from %v", from)
			}
		})
	}
}

func udpNetwork(six bool) string {
	if six {
		return "udp6"
	}
	return "udp4"
}

// sendAs sends a datagram with a source address that need not be the sender's.
func sendAs(source, target netip.Addr, port int) error {
	domain, level, option := unix.AF_INET, unix.SOL_IP, unix.IP_TRANSPARENT
	var from, to unix.Sockaddr = &unix.SockaddrInet4{Addr: addr4(source)}, &unix.SockaddrInet4{Addr: addr4(target), Port: port}
	if source.Is6() {
		domain, level, option = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_TRANSPARENT
		from, to = &unix.SockaddrInet6{Addr: source.As16()}, &unix.SockaddrInet6{Addr: target.As16(), Port: port}
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, from); err != nil {
		return err
	}
	return unix.Sendto(fd, []byte("hello"), 0, to)
}

func addr4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}

// Taking a link away ends the connections that it allowed.
func TestReplacedRules(t *testing.T) {
	p := newProject(t, "replaced", "web", "api", "db")
	serve(t, p.endpoints["api"].NS(), "api", 80)
	serve(t, p.endpoints["db"].NS(), "db", 80)
	p.link("web", "api")
	p.apply(t)
	conn, err := network.DialIn(t.Context(), p.endpoints["web"].NS(), "tcp", fmt.Sprintf("%s:80", p.addresses("api").IPv4))
	require.NoError(t, err)
	defer conn.Close()
	require.True(t, echoes(conn, eventually))

	// Again the same, and more: what is open goes on.
	p.link("web", "db")
	p.apply(t)
	require.True(t, echoes(conn, eventually))
	requireAnswer(t, "db", p.endpoints["web"].NS(), "tcp", p.addresses("db").IPv4, 80)

	// And the answers end as much: here the other side speaks first.
	accepted := make(chan net.Conn, 1)
	in(t, p.endpoints["api"].NS(), func() error {
		l, err := net.Listen("tcp", ":81")
		if err != nil {
			return err
		}
		go func() {
			defer l.Close()
			if c, err := l.Accept(); err == nil {
				accepted <- c
			}
		}()
		return nil
	})
	pushed, err := network.DialIn(t.Context(), p.endpoints["web"].NS(), "tcp", fmt.Sprintf("%s:81", p.addresses("api").IPv4))
	require.NoError(t, err)
	defer pushed.Close()
	pusher := <-accepted
	defer pusher.Close()

	p.rules.Links = p.rules.Links[1:]
	p.apply(t)
	_, err = pusher.Write([]byte("secret"))
	require.NoError(t, err)
	require.NoError(t, pushed.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	n, err := pushed.Read(make([]byte, 10))
	require.Error(t, err, "%d bytes came over a link that is gone", n)
	require.False(t, echoes(conn, 300*time.Millisecond))
	requireNoAnswer(t, p.endpoints["web"].NS(), "tcp", p.addresses("api").IPv4, 80)
	requireAnswer(t, "db", p.endpoints["web"].NS(), "tcp", p.addresses("db").IPv4, 80)
}

func echoes(conn net.Conn, within time.Duration) bool {
	text := []byte(time.Now().Format(time.RFC3339Nano) + "\n")
	if _, err := conn.Write(text); err != nil {
		return false
	}
	if err := conn.SetReadDeadline(time.Now().Add(within)); err != nil {
		return false
	}
	var got strings.Builder
	buffer := make([]byte, 100)
	for !strings.Contains(got.String(), string(text)) {
		n, err := conn.Read(buffer)
		if err != nil {
			return false
		}
		got.Write(buffer[:n])
	}
	return true
}

// What firewall tools do on a host does not touch the links of projects.
func TestHostFirewall(t *testing.T) {
	p := newProject(t, "firewall", "web", "api")
	serve(t, p.endpoints["api"].NS(), "api", 80)
	serve(t, p.endpoints["web"].NS(), "web", 80)
	p.link("web", "api")
	p.rules.Expose = []network.Exposure{{Address: loopback, HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "tcp"}}
	p.apply(t)
	t.Cleanup(func() { run(t, nil, "nft", "flush", "ruleset") })

	run(t, nil, "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
	requireAnswer(t, "api", p.endpoints["web"].NS(), "tcp", p.addresses("api").IPv4, 80)
	requireAnswer(t, "web", nil, "tcp", loopback, 8080)

	run(t, nil, "nft", "flush", "ruleset")
	requireAnswer(t, "api", p.endpoints["web"].NS(), "tcp", p.addresses("api").IPv4, 80)
	requireNoAnswer(t, p.endpoints["api"].NS(), "tcp", p.addresses("web").IPv4, 80)
	requireNoAnswer(t, nil, "tcp", loopback, 8080)
	p.apply(t)
	requireAnswer(t, "web", nil, "tcp", loopback, 8080)
}

func TestProjectsAreApart(t *testing.T) {
	a := newProject(t, "one", "web")
	b := newProject(t, "two", "web")
	require.False(t, a.router.Pool().IPv4.Overlaps(b.router.Pool().IPv4))
	serve(t, a.endpoints["web"].NS(), "one", 80)
	serve(t, b.endpoints["web"].NS(), "two", 80)
	// Even where both may reach the outside and expose the port on loopback.
	a.rules.Expose = []network.Exposure{{Address: loopback, HostPort: 8081, Endpoint: "web", Port: 80, Protocol: "tcp"}}
	b.rules.Expose = []network.Exposure{{Address: loopback, HostPort: 8082, Endpoint: "web", Port: 80, Protocol: "tcp"}}
	a.apply(t)
	b.apply(t)
	requireAnswer(t, "one", nil, "tcp", loopback, 8081)
	requireAnswer(t, "two", nil, "tcp", loopback, 8082)
	requireNoAnswer(t, a.endpoints["web"].NS(), "tcp", b.addresses("web").IPv4, 80)
	requireNoAnswer(t, a.endpoints["web"].NS(), "tcp", b.router.Pool().Gateway().IPv4, 8082)
}

// The host is not the outside: its services are for itself.
func TestHostIsNotReachable(t *testing.T) {
	p := newProject(t, "hostside", "web")
	p.apply(t)
	outside := newOutside(t)
	serve(t, nil, "host", 9000)
	web := p.endpoints["web"].NS()
	requireAnswer(t, "host", nil, "tcp", loopback, 9000)
	requireNoAnswer(t, web, "tcp", p.router.Pool().Gateway().IPv4, 9000)
	requireNoAnswer(t, web, "tcp", outside.host, 9000)

	// A packet for 127.0.0.1 that really leaves the container, made possible
	// there by hand. And one from the router, as if its rules had let it pass:
	// the host's own interface allows such addresses, its table must not.
	for name, sender := range map[string]struct {
		ns     *os.File
		source netip.Addr
	}{
		"container": {web, p.addresses("web").IPv4},
		"router":    {p.router.NS(), p.addresses("web").IPv4},
	} {
		receiver := receive(t, nil, "127.0.0.1:9001")
		// Without loopback's own routes 127.0.0.1 goes where the default does.
		run(t, sender.ns, "ip", "route", "del", "local", "127.0.0.0/8", "table", "local")
		run(t, sender.ns, "ip", "route", "del", "local", "127.0.0.1", "table", "local")
		in(t, sender.ns, func() error { return sendAs(sender.source, loopback, 9001) })
		requireSilence(t, receiver, name)
	}
}

// A datagram needs no answer: every direction is held by itself.
func TestOneWay(t *testing.T) {
	out := newOutside(t)
	p := newProject(t, "oneway", "web", "vault")
	p.rules.Endpoints[1].Offline = true
	p.rules.Expose = []network.Exposure{{Address: loopback, HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "udp"}}
	p.apply(t)
	target := receive(t, p.endpoints["web"].NS(), ":7")
	in(t, nil, func() error { return sendAs(p.router.Pool().Gateway().IPv4, p.addresses("web").IPv4, 7) })
	requireSilence(t, target, "host to a port that is not exposed")

	// An offline container that gives itself the route it lacks.
	target = receive(t, out.ns, ":7")
	vault := p.endpoints["vault"].NS()
	run(t, vault, "ip", "route", "replace", "default", "via", "169.254.1.1", "dev", "eth0", "onlink")
	in(t, vault, func() error { return sendAs(p.addresses("vault").IPv4, out.address, 7) })
	requireSilence(t, target, "offline to the outside")
	target = receive(t, out.ns, ":7")
	in(t, p.endpoints["web"].NS(), func() error { return sendAs(p.addresses("web").IPv4, out.address, 7) })
	require.NoError(t, target.SetReadDeadline(time.Now().Add(eventually)))
	_, _, err := target.ReadFrom(make([]byte, 10))
	require.NoError(t, err, "online to the outside")
}

func receive(t testing.TB, ns *os.File, addr string) net.PacketConn {
	t.Helper()
	var c net.PacketConn
	in(t, ns, func() (err error) {
		c, err = net.ListenPacket("udp4", addr)
		return err
	})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func requireSilence(t testing.TB, c net.PacketConn, what string) {
	t.Helper()
	require.NoError(t, c.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, from, err := c.ReadFrom(make([]byte, 10))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded, "%s: a packet from %v", what, from)
	require.NoError(t, c.Close())
}

// outside is a machine beside the host.
type outside struct {
	ns      *os.File
	address netip.Addr
	host    netip.Addr // the host's, on the wire between them
}

func newOutside(t testing.TB) outside {
	t.Helper()
	o := outside{address: netip.MustParseAddr("203.0.113.2"), host: netip.MustParseAddr("203.0.113.1")}
	var err error
	o.ns, err = namespace.New(namespace.Network, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.ns.Close()) })
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: "wan0"})
	veth.PeerName, veth.PeerNamespace = "wan1", netlink.NsFd(o.ns.Fd())
	require.NoError(t, netlink.LinkAdd(veth))
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	bringUp := func(name string, addr netip.Addr) error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}); err != nil {
			return err
		}
		return netlink.LinkSetUp(link)
	}
	in(t, nil, func() error { return bringUp("wan0", o.host) })
	in(t, o.ns, func() error { return bringUp("wan1", o.address) })
	return o
}

func TestOutside(t *testing.T) {
	out := newOutside(t)
	serve(t, out.ns, "outside", 80)
	p := newProject(t, "outside", "web", "vault")
	p.rules.Endpoints[1].Offline = true
	e, err := p.router.Attach(t.Context(), p.rules.Endpoints[1], network.EndpointOptions{})
	require.NoError(t, err)
	require.NoError(t, p.endpoints["vault"].Close())
	p.endpoints["vault"] = e
	require.Equal(t, "0", forwarding(t, "wan0"))
	p.apply(t)

	for _, protocol := range []string{"tcp", "udp"} {
		// The outside sees the host's address, as any way back needs it.
		requireAnswer(t, "outside saw "+out.host.String(), p.endpoints["web"].NS(), protocol, out.address, 80)
		requireNoAnswer(t, p.endpoints["vault"].NS(), protocol, out.address, 80)
	}
	_, err = ask(t, p.endpoints["vault"].NS(), "tcp", out.address, 80)
	require.ErrorIs(t, err, syscall.ENETUNREACH, "no default route")

	// Nothing comes in by itself, though the outside may well know a route.
	serve(t, p.endpoints["web"].NS(), "web", 80)
	run(t, out.ns, "ip", "route", "add", p.router.Pool().IPv4.String(), "via", out.host.String())
	requireNoAnswer(t, out.ns, "tcp", p.addresses("web").IPv4, 80)

	// The host forwards only as long as someone needs it.
	require.Equal(t, "1", forwarding(t, "wan0"))
	p.rules.Endpoints[0].Offline = true
	p.apply(t)
	require.Equal(t, "0", forwarding(t, "wan0"))
	requireNoAnswer(t, p.endpoints["web"].NS(), "tcp", out.address, 80)
}

func forwarding(t testing.TB, link string) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/ipv4/conf/" + link + "/forwarding")
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

// Two projects need the host to forward: it does until the last is gone. It
// does not begin to pass packets between its own interfaces.
func TestForwardingIsSharedAndGuarded(t *testing.T) {
	out := newOutside(t)
	second := secondWire(t)
	a := newProject(t, "share-a", "web")
	spec := routerSpec(t, "share-b")
	spec.Registry = a.spec.Registry
	b, err := network.CreateRouter(t.Context(), spec)
	require.NoError(t, err)
	defer b.Close()
	addrs, err := b.Pool().Allocate([]string{"x"}, nil)
	require.NoError(t, err)
	online := network.Rules{Endpoints: []network.EndpointSpec{{Name: "x", Addresses: addrs["x"]}}}
	a.apply(t)
	require.NoError(t, b.SetRules(t.Context(), online))
	require.Equal(t, "1", forwarding(t, "wan0"))
	require.Equal(t, "1", forwarding(t, "lan0"))

	serve(t, second, "lan", 80)
	run(t, out.ns, "ip", "route", "add", "198.51.100.0/24", "via", out.host.String())
	run(t, second, "ip", "route", "add", "default", "via", "198.51.100.1")
	requireNoAnswer(t, out.ns, "tcp", netip.MustParseAddr("198.51.100.2"), 80)
	// The test can fail: without our tables the host does pass it.
	rules := run(t, nil, "nft", "list", "ruleset")
	run(t, nil, "nft", "flush", "ruleset")
	requireAnswer(t, "lan", out.ns, "tcp", netip.MustParseAddr("198.51.100.2"), 80)
	require.Contains(t, rules, "relays")
	a.apply(t)
	require.NoError(t, b.SetRules(t.Context(), online))

	require.NoError(t, network.RemoveRouter(t.Context(), spec))
	require.Equal(t, "1", forwarding(t, "wan0"))
	require.NoError(t, network.RemoveRouter(t.Context(), a.spec))
	require.Equal(t, "0", forwarding(t, "wan0"))
	require.Equal(t, "0", forwarding(t, "lan0"))
}

func secondWire(t testing.TB) *os.File {
	t.Helper()
	ns, err := namespace.New(namespace.Network, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ns.Close()) })
	veth := netlink.NewVeth(netlink.LinkAttrs{Name: "lan0"})
	veth.PeerName, veth.PeerNamespace = "lan1", netlink.NsFd(ns.Fd())
	require.NoError(t, netlink.LinkAdd(veth))
	t.Cleanup(func() { _ = netlink.LinkDel(veth) })
	run(t, nil, "ip", "addr", "add", "198.51.100.1/24", "dev", "lan0")
	run(t, nil, "ip", "link", "set", "lan0", "up")
	run(t, ns, "ip", "addr", "add", "198.51.100.2/24", "dev", "lan1")
	run(t, ns, "ip", "link", "set", "lan1", "up")
	return ns
}

// A host that forwards by its own will is left as it is.
func TestForwardingOfTheHostStays(t *testing.T) {
	newOutside(t)
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	t.Cleanup(func() { _ = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0) })
	p := newProject(t, "willing", "web")
	p.apply(t)
	require.NoError(t, network.RemoveRouter(context.Background(), p.spec))
	require.Equal(t, "1", forwarding(t, "wan0"))

	// Nor one that began to while we needed it too.
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0))
	p = newProject(t, "willing later", "web")
	p.apply(t)
	require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	require.NoError(t, network.RemoveRouter(context.Background(), p.spec))
	require.Equal(t, "1", forwarding(t, "wan0"))
}
