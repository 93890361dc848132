package native

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/network"
	"github.com/containust/containust/modules/sdk/state"
)

// projectNetwork is the project's router, made when the first container needs
// it, and the addresses of its containers, which outlive it.
type projectNetwork struct {
	spec network.RouterSpec
	file string // where pool and addresses last

	mu        sync.Mutex // may be held when Backend.mu is taken, never the other way
	router    *network.Router
	addresses map[string]network.Addresses
	proxies   *proxies // what leads exposed ports to an isolated router; else nil
	stale     bool     // the rules are not those of the containers
}

// saved is the content of the file.
type saved struct {
	Pool      network.Pool                 `json:"pool"`
	Addresses map[string]network.Addresses `json:"addresses"`
}

// open finds the addresses and, if it is there, the router.
func (n *projectNetwork) open(ctx context.Context) error {
	n.addresses = map[string]network.Addresses{}
	text, err := os.ReadFile(n.file)
	if err == nil {
		var s saved
		if err := json.Unmarshal(text, &s); err != nil {
			return &state.DamagedError{Path: n.file, Err: err}
		}
		n.spec.Pool = s.Pool
		maps.Copy(n.addresses, s.Addresses)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	n.router, err = network.OpenRouter(ctx, n.spec)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// reserve gives the named containers their addresses, making the router if
// there is none.
func (n *projectNetwork) reserve(ctx context.Context, names ...string) (map[string]network.Addresses, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.router == nil {
		router, err := network.CreateRouter(ctx, n.spec)
		if err != nil {
			return nil, err
		}
		n.router, n.stale = router, true
	}
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		a, ok := n.addresses[name]
		return ok && n.router.Pool().Contains(a)
	})
	if len(missing) > 0 {
		all := append(slices.Collect(maps.Keys(n.addresses)), missing...)
		addresses, err := n.router.Pool().Allocate(all, n.addresses)
		if err != nil {
			return nil, err
		}
		n.addresses = addresses
		text, err := json.MarshalIndent(saved{Pool: n.router.Pool(), Addresses: addresses}, "", "  ")
		if err != nil {
			return nil, err
		}
		if err := state.WriteFile(n.file, append(text, '\n'), 0o600); err != nil {
			return nil, err
		}
	}
	return maps.Clone(n.addresses), nil
}

// known returns the addresses that are reserved for a container; none are zero.
func (n *projectNetwork) known(name string) network.Addresses {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addresses[name]
}

// allKnown returns the addresses that are reserved, by container.
func (n *projectNetwork) allKnown() map[string]network.Addresses {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.addresses)
}

// changed says that the rules have to be made anew before the next start.
func (n *projectNetwork) changed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.stale = true
}

// attach connects a container's namespace, after bringing the rules up to date.
func (n *projectNetwork) attach(ctx context.Context, cfg container.Config, ns *os.File, all func() []container.Config) (*network.Endpoint, error) {
	if err := n.enforce(ctx, all); err != nil {
		return nil, err
	}
	n.mu.Lock()
	router, spec := n.router, n.endpoint(cfg)
	n.mu.Unlock()
	return router.Attach(ctx, spec, network.EndpointOptions{Namespace: ns})
}

func (n *projectNetwork) endpoint(cfg container.Config) network.EndpointSpec {
	return network.EndpointSpec{Name: cfg.Name, Addresses: n.addresses[cfg.Name], Offline: cfg.Network.Offline}
}

// enforce brings the rules up to date with the containers. Those that start at
// once make them once.
func (n *projectNetwork) enforce(ctx context.Context, all func() []container.Config) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.stale || n.router == nil {
		return nil
	}
	var rules network.Rules
	members := map[string]bool{}
	configs := slices.DeleteFunc(all(), func(cfg container.Config) bool {
		// One that is being created has no addresses yet. It says when it has.
		_, addressed := n.addresses[cfg.Name]
		return cfg.Network.Mode != container.NetworkProject || !addressed
	})
	for _, cfg := range configs {
		members[cfg.Name] = true
		rules.Endpoints = append(rules.Endpoints, n.endpoint(cfg))
	}
	for _, cfg := range configs {
		for _, to := range cfg.Network.Links {
			if members[to] {
				rules.Links = append(rules.Links, network.Link{From: cfg.Name, To: to})
			}
		}
		for _, e := range cfg.Network.Expose {
			if n.proxies != nil && e.Protocol != "tcp" {
				return errUDP(e)
			}
			address, err := netip.ParseAddr(e.Address)
			if err != nil {
				return err
			}
			rules.Expose = append(rules.Expose, network.Exposure{
				Address: address, HostPort: e.HostPort, Endpoint: cfg.Name, Port: e.ContainerPort, Protocol: e.Protocol,
			})
		}
	}
	if err := n.router.SetRules(ctx, rules); err != nil {
		return err
	}
	if n.proxies != nil {
		if err := n.proxies.set(ctx, rules.Expose, n.addresses); err != nil {
			return err
		}
	}
	n.stale = false
	return nil
}

func (n *projectNetwork) detach(ctx context.Context, name string) error {
	n.mu.Lock()
	router := n.router
	n.mu.Unlock()
	if router == nil {
		return nil
	}
	return router.Detach(ctx, name)
}

// remove takes the network off the machine; addresses stay reserved on disk.
func (n *projectNetwork) remove(ctx context.Context) error {
	err := n.close()
	return errors.Join(err, network.RemoveRouter(ctx, n.spec))
}

func (n *projectNetwork) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.router == nil {
		return nil
	}
	err := n.router.Close()
	n.router = nil
	return err
}
