package network

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
)

// Host is a line of /etc/hosts for each of a host's addresses.
type Host struct {
	Names []string // the first is the canonical one
	Addresses
}

// Hosts returns the text of a container's /etc/hosts (hosts(5)): loopback, and
// then the given hosts in their order, which is the container itself and what
// it may reach.
func Hosts(hosts []Host) []byte {
	var b bytes.Buffer
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, h := range hosts {
		for _, a := range []netip.Addr{h.IPv4, h.IPv6} {
			if a.IsValid() {
				fmt.Fprintf(&b, "%s\t%s\n", a, strings.Join(h.Names, " "))
			}
		}
	}
	return b.Bytes()
}

// resolvConfs are where a host says which name servers it uses, most specific
// first. The second is systemd-resolved's list of what is behind its loopback
// stub (systemd-resolved.service(8)).
var resolvConfs = []string{"etc/resolv.conf", "run/systemd/resolve/resolv.conf"}

// ResolvConf returns the text of a container's /etc/resolv.conf
// (resolv.conf(5)), made from the host's, which is found in root
// (os.DirFS("/")). Name servers on a loopback address cannot be reached from
// a container: if the host has only those, the ones behind systemd-resolved
// are taken, and if there are none the text is empty. An offline container
// gets an empty one too.
func ResolvConf(root fs.FS, offline bool) ([]byte, error) {
	if offline {
		return nil, nil
	}
	for _, name := range resolvConfs {
		text, err := fs.ReadFile(root, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &Error{Op: "read", Target: name, Err: err}
		}
		if out := reachableResolvers(text); out != nil {
			return out, nil
		}
	}
	return nil, nil
}

// reachableResolvers returns the text without comments and without the name
// servers that a container cannot reach, or nil if no name server is left.
func reachableResolvers(text []byte) []byte {
	var out bytes.Buffer
	found := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			// Containers have no way to the outside over IPv6.
			addr, err := netip.ParseAddr(fields[1])
			if err != nil || addr.IsLoopback() || addr.IsUnspecified() || !addr.Is4() {
				continue
			}
			found = true
		case "search", "domain", "options":
		default:
			continue
		}
		out.WriteString(strings.Join(fields, " ") + "\n")
	}
	if !found {
		return nil
	}
	return out.Bytes()
}
