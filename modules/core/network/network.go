// Package network gives the containers of a project a network of their own:
// one router namespace per project, a routed veth pair per container, and
// nftables rules that let packets pass only along declared links.
//
//	router, err := network.CreateRouter(ctx, network.RouterSpec{Project: id, Pin: pin})
//	if err != nil {
//		return err
//	}
//	defer router.Close()
//	addrs, err := router.Pool().Allocate([]string{"web", "api"}, nil)
//	if err != nil {
//		return err
//	}
//	web := network.EndpointSpec{Name: "web", Addresses: addrs["web"]}
//	api := network.EndpointSpec{Name: "api", Addresses: addrs["api"]}
//	err = router.SetRules(ctx, network.Rules{
//		Endpoints: []network.EndpointSpec{web, api},
//		Links:     []network.Link{{From: "web", To: "api"}},
//		Expose:    []network.Exposure{{Address: loopback, HostPort: 8080, Endpoint: "web", Port: 80, Protocol: "tcp"}},
//	})
//	...
//	endpoint, err := router.Attach(ctx, web, network.EndpointOptions{}) // endpoint.NS() is the container's namespace
//
// Everything is kernel state: the router namespace is kept by a bind mount, so
// links and exposed ports go on working when every process that made them is
// gone. [RemoveRouter] removes all of it.
//
// What holds by default: a packet whose source is not its endpoint's address is
// dropped; endpoints reach each other only along links, IPv4 and IPv6 alike;
// nothing but an exposed port is reachable from the host; the host's own
// addresses are not reachable from an endpoint. The outside is reached through
// the host, masqueraded, over IPv4 only, by endpoints that are not Offline.
//
// The host's side is the network namespace of the calling process.
//
// Platform: Linux 5.14 with nftables; elsewhere every function that touches the
// kernel returns an error that matches errors.ErrUnsupported. Privileges: root; in a user namespace a router is Isolated.
// No external program is run. A Router is safe for concurrent use, also by
// several processes.
package network

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"os"
)

// DefaultRegistry is the file that holds which project has which addresses and
// ports of this host.
const DefaultRegistry = "/run/containust/networks.json"

// RouterSpec describes a project's router.
type RouterSpec struct {
	// Project identifies the project on this host. Names of interfaces and
	// tables derive from its hash.
	Project string
	// Pin is the path of the bind mount that keeps the router's namespace,
	// /run/containust/<project>/router. Its folder is made if missing, and
	// removed by RemoveRouter if empty.
	Pin string
	// Pool is preferred if it is free, so that addresses survive a restart.
	Pool Pool
	// Isolated leaves the host's side out: the way outside, and what leads
	// exposed ports to an endpoint. It is what a user namespace can have without
	// power over the host's network. An exposed port is reserved all the same;
	// whoever has a process listen there connects with DialIn.
	Isolated bool
	// Registry is the path of the host's allocation file; empty is
	// DefaultRegistry.
	Registry string
}

// Router is a project's router namespace. Close frees the file that it holds;
// RemoveRouter removes the router.
type Router struct {
	spec RouterSpec
	pool Pool
	ns   *os.File
}

// Addresses are an endpoint's, one of each family.
type Addresses struct {
	IPv4 netip.Addr `json:"ipv4"`
	IPv6 netip.Addr `json:"ipv6"`
}

// EndpointSpec describes a container's place in the network.
type EndpointSpec struct {
	Name string
	Addresses
	// Offline endpoints reach their links and have no route to anything else.
	Offline bool
}

// EndpointOptions are of a container's network namespace.
type EndpointOptions struct {
	// Namespace is the one to set up: fresh, such as a user namespace owns,
	// see sandbox.Prepare. It stays the caller's. Nil: a new one.
	Namespace *os.File
}

// Endpoint is a container's network namespace, attached to the router.
type Endpoint struct {
	ns *os.File
}

// NS returns the namespace's file, for setns(2). It stays the Endpoint's: it
// is closed by Close.
func (e *Endpoint) NS() *os.File { return e.ns }

// Close closes the namespace's file. The namespace goes on living while a
// process is in it; if none is, it ends, and its interface in the router with
// it.
func (e *Endpoint) Close() error { return closeFile(e.ns) }

// Rules are everything that may pass a router. What they don't name is refused.
type Rules struct {
	Endpoints []EndpointSpec // attached already, or later
	Links     []Link
	Expose    []Exposure
}

// Link lets one endpoint open connections to another, on any port, and the
// answers back.
type Link struct {
	From, To string // names of endpoints
}

// Exposure leads a port of the host to a port of an endpoint.
type Exposure struct {
	// Address is an IPv4 address of the host; 127.0.0.1 is reachable from the
	// host alone, 0.0.0.0 stands for all. The endpoint sees connections come
	// from the pool's gateway address.
	Address  netip.Addr
	HostPort uint16
	Endpoint string // name
	Port     uint16 // the endpoint's
	Protocol string // "tcp" or "udp"
}

// Pool returns the project's addresses.
func (r *Router) Pool() Pool { return r.pool }

// NS returns the router's namespace. It stays the Router's: it is closed by
// Close.
func (r *Router) NS() *os.File { return r.ns }

// Close closes the router's file. The router stays.
func (r *Router) Close() error { return closeFile(r.ns) }

// The names of what a project owns in the host's namespace. An interface's
// name has at most 15 bytes.
const (
	hostLinkPrefix  = "ctst"
	hostTablePrefix = "containust-"
)

func hostLink(project string) string { return hostLinkPrefix + shortHash(project) }

func hostTable(project string) string { return hostTablePrefix + shortHash(project) }

// endpointLink is the name of an endpoint's interface in the router.
func endpointLink(name string) string { return "ep" + shortHash(name) }

func shortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:5])
}
