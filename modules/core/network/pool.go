package network

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Pool is a project's addresses: a /24 of 10.87.0.0/16, or where that is taken
// of 172.27.0.0/16 or 192.168.0.0/16, and a /64 of the unique local IPv6 range
// (RFC 4193).
type Pool struct {
	IPv4 netip.Prefix `json:"ipv4"`
	IPv6 netip.Prefix `json:"ipv6"`
}

// poolRanges are where projects' pools are: poolsPerRange in each.
var poolRanges = [...]netip.Prefix{
	netip.MustParsePrefix("10.87.0.0/16"),
	netip.MustParsePrefix("172.27.0.0/16"),
	netip.MustParsePrefix("192.168.0.0/16"),
}

const (
	poolBits4     = 24
	poolBits6     = 64
	poolsPerRange = 256
	poolCount     = len(poolRanges) * poolsPerRange
	firstEndpoint = 10 // host numbers below are for the router's own use
	lastEndpoint  = 254
)

// poolAt returns the i-th pool that a project would take, i from 0 to
// poolCount-1: where to start follows from the project, so that it mostly gets
// the same one again.
func poolAt(project string, i int) Pool {
	sum := sha256.Sum256([]byte(project))
	v4 := poolRanges[i/poolsPerRange].Addr().As4()
	v4[2] = byte(int(sum[0]) + i) // wraps around within the range
	// fd, 40 bits of global id, 16 of subnet.
	var v6 [16]byte
	v6[0] = 0xfd
	copy(v6[1:8], sum[1:8])
	return Pool{
		IPv4: netip.PrefixFrom(netip.AddrFrom4(v4), poolBits4),
		IPv6: netip.PrefixFrom(netip.AddrFrom16(v6), poolBits6),
	}
}

// Gateway is the host's address on the project's uplink: where connections to
// exposed ports seem to come from.
func (p Pool) Gateway() Addresses { return p.at(1) }

// router is the router's own address.
func (p Pool) router() Addresses { return p.at(2) }

func (p Pool) at(n int) Addresses {
	v4, v6 := p.IPv4.Addr().As4(), p.IPv6.Addr().As16()
	binary.BigEndian.PutUint16(v4[2:], binary.BigEndian.Uint16(v4[2:])+uint16(n))
	binary.BigEndian.PutUint16(v6[14:], uint16(n))
	return Addresses{IPv4: netip.AddrFrom4(v4), IPv6: netip.AddrFrom16(v6)}
}

func (p Pool) valid() bool {
	return p.IPv4.IsValid() && p.IPv4.Addr().Is4() && p.IPv4.Bits() == poolBits4 && p.IPv4 == p.IPv4.Masked() &&
		p.IPv6.IsValid() && p.IPv6.Addr().Is6() && p.IPv6.Bits() == poolBits6 && p.IPv6 == p.IPv6.Masked()
}

// Contains tells whether both addresses are an endpoint's of this pool.
func (p Pool) Contains(a Addresses) bool {
	if !p.IPv4.Contains(a.IPv4) || !p.IPv6.Contains(a.IPv6) {
		return false
	}
	n := int(a.IPv4.As4()[3])
	return n >= firstEndpoint && n <= lastEndpoint && p.at(n) == a
}

// Allocate gives every name its addresses: those that it has in existing if
// they are of this pool, otherwise the lowest free ones, in the order of the
// names sorted. The result has exactly the names; two calls with the result of
// one as the other's existing agree.
func (p Pool) Allocate(names []string, existing map[string]Addresses) (map[string]Addresses, error) {
	out := make(map[string]Addresses, len(names))
	taken := make(map[Addresses]bool, len(names))
	// An address that a name had is not given to another in the same step,
	// even if the name is gone: its container may still be stopping.
	for _, name := range slices.Sorted(maps.Keys(existing)) {
		a := existing[name]
		if !p.Contains(a) || taken[a] {
			continue
		}
		taken[a] = true
		if slices.Contains(names, name) {
			out[name] = a
		}
	}
	next := firstEndpoint
	for _, name := range slices.Sorted(slices.Values(names)) {
		if _, ok := out[name]; ok {
			continue
		}
		for next <= lastEndpoint && taken[p.at(next)] {
			next++
		}
		if next > lastEndpoint {
			return nil, &Error{
				Op: "allocate an address for", Target: name,
				Err: fmt.Errorf("%s: %w", p.IPv4, ErrPoolFull),
			}
		}
		out[name] = p.at(next)
		next++
	}
	return out, nil
}
