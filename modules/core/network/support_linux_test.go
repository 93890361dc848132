package network_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/namespace"
	"github.com/containust/containust/modules/core/network"
)

const (
	eventually = 10 * time.Second
	tick       = 5 * time.Millisecond
	// refusedWithin bounds what a test waits for a connection that must not
	// be: it is refused at once where we refuse it, and hangs where it is
	// dropped.
	refusedWithin = 700 * time.Millisecond
)

var loopback = netip.MustParseAddr("127.0.0.1")

// project is a router with attached endpoints.
type project struct {
	spec      network.RouterSpec
	router    *network.Router
	endpoints map[string]*network.Endpoint
	rules     network.Rules
}

// newProject makes a router and the endpoints, which have no rules yet.
func newProject(t testing.TB, id string, names ...string) *project {
	t.Helper()
	kerneltest.RequireRoot(t)
	up(t)
	p := &project{spec: routerSpec(t, id), endpoints: map[string]*network.Endpoint{}}
	var err error
	p.router, err = network.CreateRouter(t.Context(), p.spec)
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, e := range p.endpoints {
			require.NoError(t, e.Close())
		}
		require.NoError(t, p.router.Close())
		require.NoError(t, network.RemoveRouter(context.Background(), p.spec))
		requireNothingLeft(t, p.spec)
	})
	addrs, err := p.router.Pool().Allocate(names, nil)
	require.NoError(t, err)
	for _, name := range names {
		p.rules.Endpoints = append(p.rules.Endpoints, network.EndpointSpec{Name: name, Addresses: addrs[name]})
	}
	for _, e := range p.rules.Endpoints {
		p.endpoints[e.Name], err = p.router.Attach(t.Context(), e, network.EndpointOptions{})
		require.NoError(t, err)
	}
	return p
}

func routerSpec(t testing.TB, id string) network.RouterSpec {
	dir := t.TempDir()
	return network.RouterSpec{
		Project:  id,
		Pin:      filepath.Join(dir, "run", id, "router"),
		Registry: filepath.Join(dir, "run", "networks.json"),
	}
}

// up brings the loopback of the test's host up.
func up(t testing.TB) {
	lo, err := netlink.LinkByName("lo")
	require.NoError(t, err)
	require.NoError(t, netlink.LinkSetUp(lo))
}

func (p *project) link(from, to string) {
	p.rules.Links = append(p.rules.Links, network.Link{From: from, To: to})
}

func (p *project) apply(t testing.TB) {
	t.Helper()
	require.NoError(t, p.router.SetRules(t.Context(), p.rules))
}

func (p *project) addresses(name string) network.Addresses {
	for _, e := range p.rules.Endpoints {
		if e.Name == name {
			return e.Addresses
		}
	}
	panic("no endpoint " + name)
}

// serve answers on all addresses of a namespace, TCP and UDP: its name, and
// whom it saw. nil is the host.
func serve(t testing.TB, ns *os.File, name string, port int) {
	t.Helper()
	in(t, ns, func() error {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				// A connection whose link was taken away does not end by
				// itself.
				stop := context.AfterFunc(t.Context(), func() { _ = c.Close() })
				go func() {
					defer stop()
					defer c.Close()
					fmt.Fprintf(c, "%s saw %s\n", name, c.RemoteAddr())
					_, _ = io.Copy(c, c)
				}()
			}
		}()
		u, err := net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = u.Close() })
		go func() {
			buffer := make([]byte, 100)
			for {
				_, from, err := u.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = u.WriteTo(fmt.Appendf(nil, "%s saw %s\n", name, from), from)
			}
		}()
		return nil
	})
}

// ask connects from a namespace, nil is the host, and returns the answer.
func ask(t testing.TB, ns *os.File, protocol string, addr netip.Addr, port uint16) (string, error) {
	t.Helper()
	if ns == nil {
		var err error
		ns, err = namespace.Current(namespace.Network)
		require.NoError(t, err)
		defer ns.Close()
	}
	ctx, cancel := context.WithTimeout(t.Context(), refusedWithin)
	defer cancel()
	c, err := network.DialIn(ctx, ns, protocol, netip.AddrPortFrom(addr, port).String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write([]byte("?\n")); err != nil {
		return "", err
	}
	require.NoError(t, c.SetReadDeadline(time.Now().Add(refusedWithin)))
	buffer := make([]byte, 100)
	n, err := c.Read(buffer)
	return strings.TrimSpace(string(buffer[:n])), err
}

func requireAnswer(t testing.TB, want string, ns *os.File, protocol string, addr netip.Addr, port uint16) {
	t.Helper()
	got, err := ask(t, ns, protocol, addr, port)
	require.NoError(t, err, "%s to %s port %d", protocol, addr, port)
	require.True(t, strings.HasPrefix(got, want), "%s to %s port %d: got %q, want %q", protocol, addr, port, got, want)
}

func requireNoAnswer(t testing.TB, ns *os.File, protocol string, addr netip.Addr, port uint16) {
	t.Helper()
	got, err := ask(t, ns, protocol, addr, port)
	require.Error(t, err, "%s to %s port %d was answered: %q", protocol, addr, port, got)
}

// in runs f in a namespace, nil is the host.
func in(t testing.TB, ns *os.File, f func() error) {
	t.Helper()
	if ns == nil {
		require.NoError(t, f())
		return
	}
	require.NoError(t, namespace.Do(ns, f))
}

// run runs a program in a namespace and returns what it writes.
func run(t testing.TB, ns *os.File, name string, args ...string) string {
	t.Helper()
	if ns != nil {
		args = append([]string{fmt.Sprintf("--net=/proc/%d/fd/%d", os.Getpid(), ns.Fd()), name}, args...)
		name = "nsenter"
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
	return string(out)
}

// requireNothingLeft looks for everything that a project may leave.
func requireNothingLeft(t testing.TB, spec network.RouterSpec) {
	t.Helper()
	require.NotContains(t, links(t, nil), network.HostLink(spec.Project))
	if _, err := exec.LookPath("nft"); err == nil {
		require.NotContains(t, run(t, nil, "nft", "list", "tables"), network.HostTable(spec.Project))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), spec.Pin)
	require.NoDirExists(t, filepath.Dir(spec.Pin))
	require.NoDirExists(t, filepath.Dir(spec.Registry))
}

func flock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) }
