package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"

	"github.com/containust/containust/modules/core/container"
	"github.com/containust/containust/modules/core/network"
)

// proxies lead ports of the host to containers, for who has no power over the
// host's network. The container sees connections come from its own address.
type proxies struct {
	dial func(ctx context.Context, id container.ID, addr string) (net.Conn, error)

	mu    sync.Mutex
	ports map[netip.AddrPort]*proxy
}

// proxy listens on one port.
type proxy struct {
	exposure network.Exposure
	target   string // the container's address and port
	listener net.Listener
	stop     context.CancelFunc
	tasks    sync.WaitGroup
}

// set makes these exposures and no others.
func (p *proxies) set(ctx context.Context, exposures []network.Exposure, addresses map[string]network.Addresses) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	want := map[netip.AddrPort]network.Exposure{}
	for _, e := range exposures {
		want[netip.AddrPortFrom(e.Address, e.HostPort)] = e
	}
	for at, running := range p.ports {
		if e, ok := want[at]; !ok || e != running.exposure {
			running.close()
			delete(p.ports, at)
		}
	}
	for at, e := range want {
		if p.ports[at] != nil {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp4", at.String())
		if err != nil {
			return &network.ExposeError{Exposure: e, Err: err}
		}
		life, stop := context.WithCancel(context.Background())
		new := &proxy{
			exposure: e, listener: l, stop: stop,
			target: netip.AddrPortFrom(addresses[e.Endpoint].IPv4, e.Port).String(),
		}
		if p.ports == nil {
			p.ports = map[netip.AddrPort]*proxy{}
		}
		p.ports[at] = new
		new.tasks.Go(func() { new.serve(life, p.dial) })
	}
	return nil
}

// close ends all connections.
func (p *proxies) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for at, running := range p.ports {
		running.close()
		delete(p.ports, at)
	}
}

func (p *proxy) close() {
	p.stop()
	_ = p.listener.Close() // it only frees the port, and nothing is left to do when that fails
	p.tasks.Wait()
}

func (p *proxy) serve(ctx context.Context, dial func(context.Context, container.ID, string) (net.Conn, error)) {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // that connection was given up by who made it
		}
		p.tasks.Go(func() {
			defer client.Close() //nolint:errcheck // what matters was copied
			server, err := dial(ctx, container.ID(p.exposure.Endpoint), p.target)
			if err != nil {
				return // nobody is there: the client sees the connection end
			}
			defer server.Close() //nolint:errcheck // likewise
			join(ctx, client, server)
		})
	}
}

// join copies both ways until both ends have said all, or ctx ends.
func join(ctx context.Context, a, b net.Conn) {
	cut := context.AfterFunc(ctx, func() { _, _ = a.Close(), b.Close() })
	defer cut()
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		// An error of one end is the other's end too.
		_, _ = io.Copy(to, from)
		if tcp, ok := to.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
	both.Go(func() { pass(a, b) })
	both.Go(func() { pass(b, a) })
	both.Wait()
}

// errUDP says what proxies cannot.
func errUDP(e container.Exposure) error {
	return fmt.Errorf("expose %d/%s: an ordinary user can expose tcp ports only: expose it as root, or not: %w",
		e.HostPort, e.Protocol, errors.ErrUnsupported)
}
