package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/network"
)

func TestRouterLife(t *testing.T) {
	kerneltest.RequireRoot(t)
	up(t)
	spec := routerSpec(t, "life")
	_, err := network.OpenRouter(t.Context(), spec)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, network.RemoveRouter(t.Context(), spec), "nothing there")
	requireNothingLeft(t, spec)

	r, err := network.CreateRouter(t.Context(), spec)
	require.NoError(t, err)
	pool := r.Pool()
	_, err = network.CreateRouter(t.Context(), spec)
	require.ErrorIs(t, err, fs.ErrExist)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close(), "twice")

	// The registry is gone, as when someone cleans /run: nothing of it is
	// needed to go on.
	require.NoError(t, os.Remove(spec.Registry))
	r, err = network.OpenRouter(t.Context(), spec)
	require.NoError(t, err)
	require.Equal(t, pool, r.Pool())
	require.NoError(t, r.SetRules(t.Context(), network.Rules{}))
	require.FileExists(t, spec.Registry)
	require.NoError(t, r.Close())

	require.NoError(t, network.RemoveRouter(t.Context(), spec))
	requireNothingLeft(t, spec)
	require.NoError(t, network.RemoveRouter(t.Context(), spec), "twice")

	// The preferred pool is taken, so that addresses survive.
	spec.Pool = network.Pool{IPv4: netip.MustParsePrefix("10.87.77.0/24"), IPv6: netip.MustParsePrefix("fd12:3456:789a:1::/64")}
	r, err = network.CreateRouter(t.Context(), spec)
	require.NoError(t, err)
	require.Equal(t, spec.Pool, r.Pool())
	require.NoError(t, r.Close())
	r, err = network.OpenRouter(t.Context(), network.RouterSpec{Project: spec.Project, Pin: spec.Pin, Registry: spec.Registry})
	require.NoError(t, err)
	require.Equal(t, spec.Pool, r.Pool())
	require.NoError(t, r.Close())
	require.NoError(t, network.RemoveRouter(t.Context(), spec))
	requireNothingLeft(t, spec)
}

// Removal takes the endpoints' interfaces at once, though their namespaces
// live on with their processes.
func TestRemoveUnderEndpoints(t *testing.T) {
	p := newProject(t, "under", "web")
	p.apply(t)
	require.NoError(t, network.RemoveRouter(t.Context(), p.spec))
	require.Equal(t, []string{"lo"}, links(t, p.endpoints["web"].NS()))
	requireNothingLeft(t, p.spec)
}

// What a killed process left half made is taken away by the next.
func TestCreateAfterCrash(t *testing.T) {
	kerneltest.RequireRoot(t)
	up(t)
	spec := routerSpec(t, "crash")
	r, err := network.CreateRouter(t.Context(), spec)
	require.NoError(t, err)
	// Without a pin this is what a crash before the last step leaves; the
	// namespace is held as if it were not collected yet.
	require.NoError(t, namespace.Unpin(spec.Pin))
	again, err := network.CreateRouter(t.Context(), spec)
	require.NoError(t, err)
	require.Equal(t, r.Pool(), again.Pool())
	require.NoError(t, r.Close())
	require.NoError(t, again.Close())
	require.NoError(t, network.RemoveRouter(t.Context(), spec))
	requireNothingLeft(t, spec)
}

func TestCreateFailsWhole(t *testing.T) {
	kerneltest.RequireRoot(t)
	up(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	spec := network.RouterSpec{Project: "fails", Pin: filepath.Join(file, "router"), Registry: filepath.Join(dir, "run", "networks.json")}
	_, err := network.CreateRouter(t.Context(), spec)
	require.Error(t, err)
	require.NoDirExists(t, filepath.Join(dir, "run"))
	require.NotContains(t, strings.Join(links(t, nil), " "), "ctst")
	require.NotContains(t, run(t, nil, "nft", "list", "tables"), "containust")

	_, err = network.CreateRouter(t.Context(), network.RouterSpec{Project: "relative", Pin: "router"})
	require.Error(t, err)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	spec = routerSpec(t, "canceled")
	lock := holdRegistry(t, spec)
	_, err = network.CreateRouter(canceled, spec)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, lock.Close())
}

func TestPoolAvoidsTheHostsRoutes(t *testing.T) {
	kerneltest.RequireRoot(t)
	up(t)
	first := create(t, "avoid")
	taken := first.Pool().IPv4
	require.Equal(t, "10.87", strings.Join(strings.Split(taken.String(), ".")[:2], "."))
	for _, test := range []struct{ name, route, want string }{
		{"a part of it", netip.PrefixFrom(taken.Addr(), 30).String(), "10.87."},
		{"all of the range", "10.0.0.0/8", "172.27."},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, nil, "ip", "route", "add", "blackhole", test.route)
			defer run(t, nil, "ip", "route", "del", "blackhole", test.route)
			pool := create(t, "avoid").Pool()
			require.False(t, pool.IPv4.Overlaps(netip.MustParsePrefix(test.route)), "%s", pool.IPv4)
			require.True(t, strings.HasPrefix(pool.IPv4.String(), test.want), "%s", pool.IPv4)
		})
	}
	t.Run("everything", func(t *testing.T) {
		for _, route := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"} {
			run(t, nil, "ip", "route", "add", "blackhole", route)
			defer run(t, nil, "ip", "route", "del", "blackhole", route)
		}
		_, err := network.CreateRouter(t.Context(), routerSpec(t, "avoid"))
		require.ErrorIs(t, err, network.ErrNoPool)
	})
}

// create makes a router and removes it at once.
func create(t testing.TB, id string) *network.Router {
	t.Helper()
	spec := routerSpec(t, id)
	r, err := network.CreateRouter(t.Context(), spec)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, network.RemoveRouter(context.Background(), spec))
	return r
}

// Many processes at once get different pools, and no entry is lost.
func TestRegistryIsShared(t *testing.T) {
	kerneltest.RequireRoot(t)
	up(t)
	shared := routerSpec(t, "shared").Registry
	var group sync.WaitGroup
	var mutex sync.Mutex
	pools := map[netip.Prefix]string{}
	const n = 8
	for i := range n {
		group.Go(func() {
			spec := network.RouterSpec{
				Project: "shared" + string(rune('a'+i)), Registry: shared,
				Pin: filepath.Join(filepath.Dir(shared), "shared"+string(rune('a'+i)), "router"),
			}
			r, err := network.CreateRouter(t.Context(), spec)
			if err != nil {
				t.Error(err)
				return
			}
			mutex.Lock()
			pools[r.Pool().IPv4] = spec.Project
			mutex.Unlock()
			if err := errors.Join(r.SetRules(t.Context(), network.Rules{}), r.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.Len(t, pools, n)
	text, err := os.ReadFile(shared)
	require.NoError(t, err)
	var file struct{ Projects map[string]any }
	require.NoError(t, json.Unmarshal(text, &file))
	require.Len(t, file.Projects, n)
	for project := range file.Projects {
		group.Go(func() {
			spec := network.RouterSpec{Project: project, Registry: shared, Pin: filepath.Join(filepath.Dir(shared), project, "router")}
			if err := network.RemoveRouter(t.Context(), spec); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	require.NoDirExists(t, filepath.Dir(shared))
}

// Whoever empties the registry removes the lock's file too. One who waited for
// that file has not the lock that counts.
func TestLockThatIsReplaced(t *testing.T) {
	kerneltest.RequireRoot(t)
	up(t)
	spec := routerSpec(t, "lock")
	first := holdRegistry(t, spec)
	done := make(chan error, 1)
	go func() {
		r, err := network.CreateRouter(t.Context(), spec)
		if err == nil {
			err = r.Close()
		}
		done <- err
	}()
	path := spec.Registry + ".lock"
	require.Eventually(t, func() bool { return opened(path) > 1 }, eventually, tick)
	require.NoError(t, os.Remove(path))
	second := holdRegistry(t, spec)
	require.NoError(t, first.Close())
	select {
	case err := <-done:
		t.Fatalf("two had the lock: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	require.NoError(t, second.Close())
	require.NoError(t, <-done)
	require.NoError(t, network.RemoveRouter(t.Context(), spec))
}

// opened counts this process's open files of a path.
func opened(path string) int {
	files, _ := filepath.Glob("/proc/self/fd/*")
	n := 0
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil && target == path {
			n++
		}
	}
	return n
}

func TestRegistryOfAnotherBootOrBroken(t *testing.T) {
	kerneltest.RequireRoot(t)
	up(t)
	spec := routerSpec(t, "boot")
	require.NoError(t, os.MkdirAll(filepath.Dir(spec.Registry), 0o700))
	require.NoError(t, os.WriteFile(spec.Registry, []byte(`{"version":1,"projects":{"old":{"boot":"x","pin":"/x","forwarding":["wan0"],
		"pool":{"ipv4":"10.87.0.0/16","ipv6":"fd00::/64"}}}}`), 0o600))
	r, err := network.CreateRouter(t.Context(), spec)
	require.NoError(t, err, "an entry of another boot holds nothing")
	require.NoError(t, r.Close())
	text, err := os.ReadFile(spec.Registry)
	require.NoError(t, err)
	require.NotContains(t, string(text), "old")
	require.NoError(t, network.RemoveRouter(t.Context(), spec))

	for _, broken := range []string{`{"version":1,"proj`, `{"version":2}`} {
		require.NoError(t, os.MkdirAll(filepath.Dir(spec.Registry), 0o700))
		require.NoError(t, os.WriteFile(spec.Registry, []byte(broken), 0o600))
		_, err = network.CreateRouter(t.Context(), spec)
		require.ErrorContains(t, err, spec.Registry)
	}
}

func TestEndpoint(t *testing.T) {
	p := newProject(t, "endpoint", "web", "api")
	web := p.endpoints["web"].NS()
	for path, want := range map[string]string{
		"net/ipv4/ip_unprivileged_port_start": "0",
		"net/ipv4/ping_group_range":           "0\t2147483647",
	} {
		in(t, web, func() error {
			text, err := os.ReadFile(filepath.Join("/proc/sys", path))
			require.Equal(t, want, strings.TrimSpace(string(text)), path)
			return err
		})
	}
	in(t, web, func() error {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		require.Equal(t, "02:00:00:00:00:02", eth0.HardwareAddr.String())
		addrs, err := eth0.Addrs()
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		slices.Sort(got)
		want := p.addresses("web")
		require.Equal(t, []string{want.IPv4.String() + "/32", want.IPv6.String() + "/128"}, got)
		return err
	})

	// Attached again, the first is cut off.
	again, err := p.router.Attach(t.Context(), p.rules.Endpoints[0], network.EndpointOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"lo"}, links(t, web))
	require.Equal(t, []string{"lo", "eth0"}, links(t, again.NS()))

	// Without a process the namespace ends when it is closed, and takes its
	// interface in the router with it. Detach does not wait for that.
	before := len(links(t, p.router.NS()))
	require.NoError(t, again.Close())
	require.Eventually(t, func() bool { return len(links(t, p.router.NS())) == before-1 }, eventually, tick)
	require.NoError(t, p.router.Detach(t.Context(), "api"))
	require.Equal(t, before-2, len(links(t, p.router.NS())))
	require.NoError(t, p.router.Detach(t.Context(), "api"), "twice")
	require.Equal(t, []string{"lo"}, links(t, p.endpoints["api"].NS()))
}

func TestAttachErrors(t *testing.T) {
	p := newProject(t, "attacherr", "web")
	before := links(t, p.router.NS())
	for name, spec := range map[string]network.EndpointSpec{
		"no name":       {Addresses: p.addresses("web")},
		"no address":    {Name: "x"},
		"the gateway's": {Name: "x", Addresses: p.router.Pool().Gateway()},
		"mixed":         {Name: "x", Addresses: network.Addresses{IPv4: p.addresses("web").IPv4, IPv6: netip.MustParseAddr("fd00::1")}},
	} {
		_, err := p.router.Attach(t.Context(), spec, network.EndpointOptions{})
		var netErr *network.Error
		require.ErrorAs(t, err, &netErr, name)
		require.Equal(t, "attach", netErr.Op)
	}
	// An address that another endpoint has: the kernel refuses its route, and
	// what was made by then goes.
	_, err := p.router.Attach(t.Context(), network.EndpointSpec{Name: "twin", Addresses: p.addresses("web")}, network.EndpointOptions{})
	require.ErrorIs(t, err, fs.ErrExist)
	require.Equal(t, before, links(t, p.router.NS()))
}

func TestNone(t *testing.T) {
	kerneltest.RequireRoot(t)
	e, err := network.None(t.Context(), network.EndpointOptions{})
	require.NoError(t, err)
	defer e.Close()
	require.Equal(t, []string{"lo"}, links(t, e.NS()))
	serve(t, e.NS(), "self", 80)
	requireAnswer(t, "self", e.NS(), "tcp", loopback, 80)
	_, err = ask(t, e.NS(), "tcp", netip.MustParseAddr("192.0.2.1"), 80)
	require.Error(t, err)
}

func TestDialInTakesNoNames(t *testing.T) {
	kerneltest.RequireRoot(t)
	e, err := network.None(t.Context(), network.EndpointOptions{})
	require.NoError(t, err)
	defer e.Close()
	_, err = network.DialIn(t.Context(), e.NS(), "tcp", "localhost:80")
	require.Error(t, err)
	require.NotContains(t, err.Error(), "lookup")
}

func TestRulesErrors(t *testing.T) {
	p := newProject(t, "ruleserr", "web", "api")
	for name, change := range map[string]func(*network.Rules){
		"unknown from": func(r *network.Rules) { r.Links = []network.Link{{From: "x", To: "api"}} },
		"unknown to":   func(r *network.Rules) { r.Links = []network.Link{{From: "web", To: "x"}} },
		"name twice":   func(r *network.Rules) { r.Endpoints = append(r.Endpoints, r.Endpoints[0]) },
		"address twice": func(r *network.Rules) {
			r.Endpoints = append(r.Endpoints, network.EndpointSpec{Name: "x", Addresses: r.Endpoints[0].Addresses})
		},
	} {
		t.Run(name, func(t *testing.T) {
			rules := network.Rules{Endpoints: slices.Clone(p.rules.Endpoints)}
			change(&rules)
			require.Error(t, p.router.SetRules(t.Context(), rules))
		})
	}
}

// A full pool with every link there can be fits the kernel's messages.
func TestManyLinks(t *testing.T) {
	p := newProject(t, "many")
	var names []string
	for i := range 60 {
		names = append(names, "e"+strings.Repeat("x", i))
	}
	addrs, err := p.router.Pool().Allocate(names, nil)
	require.NoError(t, err)
	for _, from := range names {
		p.rules.Endpoints = append(p.rules.Endpoints, network.EndpointSpec{Name: from, Addresses: addrs[from]})
		for _, to := range names {
			if from != to {
				p.link(from, to)
			}
		}
	}
	p.apply(t)
	last := p.rules.Endpoints[len(names)-1]
	first := p.rules.Endpoints[0]
	for _, e := range []network.EndpointSpec{first, last} {
		p.endpoints[e.Name], err = p.router.Attach(t.Context(), e, network.EndpointOptions{})
		require.NoError(t, err)
	}
	serve(t, p.endpoints[first.Name].NS(), "first", 80)
	requireAnswer(t, "first", p.endpoints[last.Name].NS(), "tcp", first.IPv6, 80)
}

func links(t testing.TB, ns *os.File) []string {
	t.Helper()
	var names []string
	in(t, ns, func() error {
		all, err := netlink.LinkList()
		for _, link := range all {
			names = append(names, link.Attrs().Name)
		}
		return err
	})
	return names
}

// holdRegistry locks the registry, as another process does.
func holdRegistry(t testing.TB, spec network.RouterSpec) *os.File {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(spec.Registry), 0o700))
	f, err := os.Create(spec.Registry + ".lock")
	require.NoError(t, err)
	require.NoError(t, flock(f))
	return f
}

func BenchmarkAttach(b *testing.B) {
	p := newProject(b, "bench", "web")
	for b.Loop() {
		e, err := p.router.Attach(b.Context(), p.rules.Endpoints[0], network.EndpointOptions{})
		require.NoError(b, err)
		b.StopTimer()
		require.NoError(b, e.Close())
		require.NoError(b, p.router.Detach(b.Context(), "web"))
		b.StartTimer()
	}
}

func BenchmarkSetRules(b *testing.B) {
	p := newProject(b, "bench", "web", "api", "db")
	p.link("web", "api")
	p.link("api", "db")
	p.rules.Expose = []network.Exposure{{Address: loopback, HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "tcp"}}
	for b.Loop() {
		p.apply(b)
	}
}

func BenchmarkRouter(b *testing.B) {
	kerneltest.RequireRoot(b)
	up(b)
	for b.Loop() {
		create(b, "bench")
	}
}
