package network_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/network"
)

var pool = network.Pool{IPv4: netip.MustParsePrefix("10.87.3.0/24"), IPv6: netip.MustParsePrefix("fd00:1:2:3::/64")}

func at(n int) network.Addresses {
	return network.Addresses{
		IPv4: netip.MustParseAddr(fmt.Sprintf("10.87.3.%d", n)),
		IPv6: netip.MustParseAddr(fmt.Sprintf("fd00:1:2:3::%x", n)),
	}
}

func TestAllocate(t *testing.T) {
	elsewhere := network.Addresses{IPv4: netip.MustParseAddr("10.87.4.10"), IPv6: at(10).IPv6}
	for _, test := range []struct {
		name     string
		names    []string
		existing map[string]network.Addresses
		want     map[string]network.Addresses
	}{
		{"fresh, by name", []string{"web", "api"}, nil, map[string]network.Addresses{"api": at(10), "web": at(11)}},
		{"kept", []string{"a", "web"}, map[string]network.Addresses{"web": at(10)}, map[string]network.Addresses{"a": at(11), "web": at(10)}},
		{"not one that was just left", []string{"a"}, map[string]network.Addresses{"old": at(10)}, map[string]network.Addresses{"a": at(11)}},
		{"of another pool", []string{"a"}, map[string]network.Addresses{"a": elsewhere}, map[string]network.Addresses{"a": at(10)}},
		{"the gateway's", []string{"a"}, map[string]network.Addresses{"a": at(1)}, map[string]network.Addresses{"a": at(10)}},
		{"claimed twice", []string{"a", "b"}, map[string]network.Addresses{"a": at(20), "b": at(20)}, map[string]network.Addresses{"a": at(20), "b": at(10)}},
		{"none", nil, nil, map[string]network.Addresses{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := pool.Allocate(test.names, test.existing)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			again, err := pool.Allocate(test.names, got)
			require.NoError(t, err)
			require.Equal(t, got, again)
		})
	}
}

func TestAllocateFull(t *testing.T) {
	var names []string
	for i := range 245 {
		names = append(names, fmt.Sprint("c", i))
	}
	got, err := pool.Allocate(names, nil)
	require.NoError(t, err)
	seen := map[network.Addresses]bool{}
	for _, a := range got {
		require.True(t, pool.Contains(a))
		require.False(t, seen[a])
		seen[a] = true
	}
	_, err = pool.Allocate(append(names, "more"), nil)
	require.ErrorIs(t, err, network.ErrPoolFull)
}

func TestHosts(t *testing.T) {
	got := network.Hosts([]network.Host{
		{Names: []string{"web", "web.shop"}, Addresses: at(10)},
		{Names: []string{"api"}, Addresses: network.Addresses{IPv4: at(11).IPv4}},
	})
	require.Equal(t, `127.0.0.1	localhost
::1	localhost ip6-localhost ip6-loopback
10.87.3.10	web web.shop
fd00:1:2:3::a	web web.shop
10.87.3.11	api
`, string(got))
}

func TestResolvConf(t *testing.T) {
	const stub = "etc/resolv.conf"
	const real = "run/systemd/resolve/resolv.conf"
	for _, test := range []struct {
		name    string
		files   map[string]string
		offline bool
		want    string
	}{
		{
			"as it is, without comments",
			map[string]string{stub: "# x\nsearch  example.org\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:2\nsortlist 1.2.3.4\n"},
			false,
			"search example.org\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:2\n",
		},
		{"loopback left out", map[string]string{stub: "nameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver ::1\n"}, false, "nameserver 192.0.2.1\n"},
		{"behind the stub", map[string]string{stub: "nameserver 127.0.0.53\n", real: "nameserver 192.0.2.7\n"}, false, "nameserver 192.0.2.7\n"},
		{"IPv6 is not reachable", map[string]string{stub: "nameserver 2001:db8::1\nnameserver 192.0.2.1\n"}, false, "nameserver 192.0.2.1\n"},
		{"only loopback", map[string]string{stub: "search example.org\nnameserver 127.0.0.53\n"}, false, ""},
		{"no file", nil, false, ""},
		{"offline", map[string]string{stub: "nameserver 192.0.2.1\n"}, true, ""},
		{"not an address", map[string]string{stub: "nameserver x\nnameserver\n"}, false, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			got, err := network.ResolvConf(root, test.offline)
			require.NoError(t, err)
			require.Equal(t, test.want, string(got))
		})
	}
}

func TestErrorTexts(t *testing.T) {
	loop := netip.MustParseAddr("127.0.0.1")
	for want, err := range map[string]error{
		`port 127.0.0.1:80/tcp is in use`:                             &network.PortInUseError{Address: loop, Port: 80, Protocol: "tcp"},
		`port 127.0.0.1:80/tcp is in use by "nginx" (process 7)`:      &network.PortInUseError{Address: loop, Port: 80, Protocol: "tcp", Owner: network.PortOwner{PID: 7, Command: "nginx"}},
		`port 127.0.0.1:80/udp is in use by project shop`:             &network.PortInUseError{Address: loop, Port: 80, Protocol: "udp", Owner: network.PortOwner{Project: "shop"}},
		`expose [::1]:80/tcp: not here`:                               &network.ExposeError{Exposure: network.Exposure{Address: netip.IPv6Loopback(), HostPort: 80, Protocol: "tcp"}, Err: fmt.Errorf("not here")},
		`network: attach web: network: set x: unsupported operation1`: &network.Error{Op: "attach", Target: "web", Err: &network.Error{Op: "set", Target: "x", Err: fmt.Errorf("unsupported operation1")}},
	} {
		require.EqualError(t, err, want)
	}
}
