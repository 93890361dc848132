package network_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/network"
)

func TestExpose(t *testing.T) {
	out := newOutside(t)
	p := newProject(t, "expose", "web", "vault")
	serve(t, p.endpoints["web"].NS(), "web", 80)
	serve(t, p.endpoints["vault"].NS(), "vault", 80)
	p.rules.Endpoints[1].Offline = true
	anywhere := netip.IPv4Unspecified()
	p.rules.Expose = []network.Exposure{
		{Address: loopback, HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "tcp"},
		{Address: loopback, HostPort: 8080, Endpoint: "vault", Port: 80, Protocol: "udp"},
		{Address: out.host, HostPort: 8081, Endpoint: "web", Port: 80, Protocol: "tcp"},
		{Address: anywhere, HostPort: 8082, Endpoint: "vault", Port: 80, Protocol: "tcp"},
		{Address: anywhere, HostPort: 8083, Endpoint: "web", Port: 80, Protocol: "udp"},
	}
	p.apply(t)
	gateway := p.router.Pool().Gateway().IPv4.String()
	// Every file of ours is closed: the kernel alone keeps the ports.
	require.NoError(t, p.router.Close())

	type path struct {
		from     string
		protocol string
		addr     netip.Addr
		port     uint16
		answer   string // empty: none
	}
	namespaces := map[string]*os.File{"host": nil, "outside": out.ns, "web": p.endpoints["web"].NS()}
	for _, test := range []path{
		{"host", "tcp", loopback, 8080, "web"},
		{"host", "udp", loopback, 8080, "vault"},
		{"host", "tcp", out.host, 8080, ""},
		{"outside", "tcp", out.host, 8080, ""},
		{"host", "tcp", out.host, 8081, "web"},
		{"host", "tcp", loopback, 8081, ""},
		{"outside", "tcp", out.host, 8081, "web"},
		{"host", "tcp", loopback, 8082, "vault"},
		{"host", "tcp", out.host, 8082, "vault"},
		{"outside", "tcp", out.host, 8082, "vault"},
		{"outside", "udp", out.host, 8083, "web"},
		{"outside", "tcp", out.host, 8083, ""},
		// Not a way around the links.
		{"web", "tcp", out.host, 8082, ""},
		{"web", "tcp", p.addresses("vault").IPv4, 80, ""},
		{"web", "tcp", p.router.Pool().Gateway().IPv4, 8082, ""},
	} {
		t.Run(test.from+" to "+test.protocol+" "+netip.AddrPortFrom(test.addr, test.port).String(), func(t *testing.T) {
			if test.answer == "" {
				requireNoAnswer(t, namespaces[test.from], test.protocol, test.addr, test.port)
			} else {
				requireAnswer(t, test.answer+" saw "+gateway, namespaces[test.from], test.protocol, test.addr, test.port)
			}
		})
	}
}

func TestExposeErrors(t *testing.T) {
	p := newProject(t, "exposeerr", "web")
	good := network.Exposure{Address: loopback, HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "tcp"}
	for name, change := range map[string]func(*network.Exposure){
		"IPv6 loopback":    func(e *network.Exposure) { e.Address = netip.IPv6Loopback() },
		"no address":       func(e *network.Exposure) { e.Address = netip.Addr{} },
		"foreign address":  func(e *network.Exposure) { e.Address = netip.MustParseAddr("203.0.113.9") },
		"no host port":     func(e *network.Exposure) { e.HostPort = 0 },
		"no port":          func(e *network.Exposure) { e.Port = 0 },
		"unknown protocol": func(e *network.Exposure) { e.Protocol = "sctp" },
		"unknown endpoint": func(e *network.Exposure) { e.Endpoint = "db" },
	} {
		t.Run(name, func(t *testing.T) {
			e := good
			change(&e)
			rules := p.rules
			rules.Expose = []network.Exposure{e}
			err := p.router.SetRules(t.Context(), rules)
			var exposeErr *network.ExposeError
			require.ErrorAs(t, err, &exposeErr)
			require.Equal(t, e, exposeErr.Exposure)
			require.Equal(t, name == "IPv6 loopback", errors.Is(err, errors.ErrUnsupported), "%v", err)
		})
	}
	t.Run("twice", func(t *testing.T) {
		rules := p.rules
		again := good
		again.Address = netip.IPv4Unspecified()
		rules.Expose = []network.Exposure{good, again}
		require.ErrorAs(t, p.router.SetRules(t.Context(), rules), new(*network.ExposeError))
	})
}

func TestPortInUse(t *testing.T) {
	p := newProject(t, "inuse", "web")
	serve(t, p.endpoints["web"].NS(), "web", 80)
	for _, test := range []struct {
		name     string
		protocol string
		listen   string
		expose   string
		taken    bool
	}{
		{"same", "tcp", "127.0.0.1:8080", "127.0.0.1", true},
		{"all addresses", "tcp", "0.0.0.0:8080", "127.0.0.1", true},
		{"both families", "tcp", "[::]:8080", "127.0.0.1", true},
		{"one of all", "tcp", "127.0.0.1:8080", "0.0.0.0", true},
		{"another port", "tcp", "127.0.0.1:8081", "127.0.0.1", false},
		{"datagrams", "udp", "127.0.0.1:8080", "127.0.0.1", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			var close func() error
			if test.protocol == "udp" {
				l, err := net.ListenPacket("udp", test.listen)
				require.NoError(t, err)
				close = l.Close
			} else {
				l, err := net.Listen("tcp", test.listen)
				require.NoError(t, err)
				close = l.Close
			}
			rules := p.rules
			rules.Expose = []network.Exposure{{
				Address: netip.MustParseAddr(test.expose), HostPort: 8080, Endpoint: "web", Port: 80, Protocol: test.protocol,
			}}
			err := p.router.SetRules(t.Context(), rules)
			require.NoError(t, close())
			if !test.taken {
				require.NoError(t, err)
				require.NoError(t, p.router.SetRules(t.Context(), p.rules))
				return
			}
			var taken *network.PortInUseError
			require.ErrorAs(t, err, &taken)
			require.Equal(t, uint16(8080), taken.Port)
			require.Equal(t, test.protocol, taken.Protocol)
			require.Equal(t, os.Getpid(), taken.Owner.PID)
			require.NotEmpty(t, taken.Owner.Command)
			// Nothing has changed, and now it is free.
			requireNoAnswer(t, nil, test.protocol, loopback, 8080)
			require.NoError(t, p.router.SetRules(t.Context(), rules))
			requireAnswer(t, "web", nil, test.protocol, loopback, 8080)
			require.NoError(t, p.router.SetRules(t.Context(), p.rules))
			requireNoAnswer(t, nil, test.protocol, loopback, 8080)
		})
	}
}

func TestPortOfAnotherProject(t *testing.T) {
	p := newProject(t, "first", "web")
	p.rules.Expose = []network.Exposure{{Address: loopback, HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "tcp"}}
	p.apply(t)
	p.apply(t) // its own

	spec := routerSpec(t, "second")
	spec.Registry = p.spec.Registry
	second, err := network.CreateRouter(t.Context(), spec)
	require.NoError(t, err)
	defer func() {
		require.NoError(t, second.Close())
		require.NoError(t, network.RemoveRouter(context.Background(), spec))
	}()
	addrs, err := second.Pool().Allocate([]string{"web"}, nil)
	require.NoError(t, err)
	rules := network.Rules{
		Endpoints: []network.EndpointSpec{{Name: "web", Addresses: addrs["web"]}},
		Expose:    []network.Exposure{{Address: netip.IPv4Unspecified(), HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "tcp"}},
	}
	err = second.SetRules(t.Context(), rules)
	var taken *network.PortInUseError
	require.ErrorAs(t, err, &taken)
	require.Equal(t, "first", taken.Owner.Project)
	require.Contains(t, err.Error(), "port 0.0.0.0:8080/tcp is in use by project first")

	p.rules.Expose = nil
	p.apply(t)
	require.NoError(t, second.SetRules(t.Context(), rules))
}

// The process that owns a port is named by its command.
func TestPortOwner(t *testing.T) {
	nc, err := exec.LookPath("busybox")
	if err != nil {
		t.Skip("needs busybox")
	}
	p := newProject(t, "owner", "web")
	cmd := exec.Command(nc, "nc", "-l", "-p", "8099")
	require.NoError(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	rules := p.rules
	rules.Expose = []network.Exposure{{Address: loopback, HostPort: 8099, Endpoint: "web", Port: 80, Protocol: "tcp"}}
	require.Eventually(t, func() bool {
		sockets, err := exec.Command("cat", "/proc/net/tcp", "/proc/net/tcp6").Output()
		return err == nil && strings.Contains(string(sockets), ":1FA3 ") // 8099
	}, eventually, tick, "nc does not listen on port 8099")
	var taken *network.PortInUseError
	require.ErrorAs(t, p.router.SetRules(t.Context(), rules), &taken)
	require.Equal(t, cmd.Process.Pid, taken.Owner.PID)
	require.Equal(t, "busybox", taken.Owner.Command)
}
