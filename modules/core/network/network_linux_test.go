package network_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/idmap"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/core/sandbox"
)

func TestLinks(t *testing.T) {
	p := newProject(t, "links", "web", "api", "db")
	p.link("web", "api")
	p.link("api", "db")
	for name, e := range p.endpoints {
		serve(t, e.NS(), name, 80)
	}
	p.apply(t)
	reached := map[string]map[string]bool{
		"web": {"api": true}, "api": {"db": true}, "db": {},
	}
	for from, links := range reached {
		for to := range reached {
			if from == to {
				continue
			}
			for _, protocol := range []string{"tcp", "udp"} {
				for _, a := range []netip.Addr{p.addresses(to).IPv4, p.addresses(to).IPv6} {
					t.Run(from+" to "+to+" "+protocol+" "+a.String(), func(t *testing.T) {
						if links[to] {
							requireAnswer(t, to+" saw ", p.endpoints[from].NS(), protocol, a, 80)
						} else {
							requireNoAnswer(t, p.endpoints[from].NS(), protocol, a, 80)
						}
					})
				}
			}
		}
	}
	t.Run("nft can show the rules", func(t *testing.T) {
		require.Contains(t, run(t, p.router.NS(), "nft", "list", "ruleset"), "ct direction reply ip6 daddr . ip6 saddr @links accept")
	})
	t.Run("host to container", func(t *testing.T) {
		requireNoAnswer(t, nil, "tcp", p.addresses("web").IPv4, 80)
	})
}

// An endpoint is ready when Attach returns: the first packet is not lost, which
// would cost a connection the second until it is sent again.
func TestReadyWhenAttached(t *testing.T) {
	p := newProject(t, "ready", "web", "api")
	p.link("web", "api")
	p.apply(t)
	for range 20 {
		for _, e := range p.rules.Endpoints {
			require.NoError(t, p.endpoints[e.Name].Close())
			var err error
			p.endpoints[e.Name], err = p.router.Attach(t.Context(), e, network.EndpointOptions{})
			require.NoError(t, err)
		}
		serve(t, p.endpoints["api"].NS(), "api", 80)
		requireAnswer(t, "api", p.endpoints["web"].NS(), "tcp", p.addresses("api").IPv6, 80)
		requireAnswer(t, "api", p.endpoints["web"].NS(), "tcp", p.addresses("api").IPv4, 80)
	}
}

// A namespace that a container's user namespace owns is connected as any other,
// and has the same settings.
func TestNamespaceOfUser(t *testing.T) {
	p := newProject(t, "user", "web", "api")
	p.link("web", "api")
	p.apply(t)
	for i, e := range p.rules.Endpoints {
		ns, err := sandbox.Prepare(t.Context(), idmap.Contiguous(1<<30+uint32(i)*idmap.Size), sandbox.PrepareOptions{Network: true})
		require.NoError(t, err)
		require.NoError(t, p.endpoints[e.Name].Close())
		p.endpoints[e.Name], err = p.router.Attach(t.Context(), e, network.EndpointOptions{Namespace: ns.Network})
		require.NoError(t, err)
		require.NoError(t, ns.Close(), "the endpoint has its own file")
		in(t, p.endpoints[e.Name].NS(), func() error {
			text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
			require.Equal(t, "0", strings.TrimSpace(string(text)))
			return err
		})
	}
	serve(t, p.endpoints["api"].NS(), "api", 80)
	requireAnswer(t, "api", p.endpoints["web"].NS(), "tcp", p.addresses("api").IPv4, 80)
	requireAnswer(t, "api", p.endpoints["web"].NS(), "tcp", p.addresses("api").IPv6, 80)
}
