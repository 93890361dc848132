package network

import (
	"errors"

	"github.com/google/nftables"
)

// Dropping lists the chains of this machine's firewall, as "table chain", that by
// default drop what is forwarded. What another table accepts they drop too:
// containers have no way out then, and exposed ports none in from other machines.
// It needs the privileges of a router; what the older iptables tells the kernel it
// does not see.
func Dropping() ([]string, error) {
	t, err := begin()
	if err != nil {
		return nil, err
	}
	chains, err := t.conn.ListChains()
	if err := errors.Join(err, t.conn.CloseLasting()); err != nil {
		return nil, &Error{Op: "list chains of the firewall", Err: err}
	}
	var found []string
	for _, c := range chains {
		if c.Hooknum != nil && *c.Hooknum == *nftables.ChainHookForward && c.Type == nftables.ChainTypeFilter &&
			c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
			found = append(found, c.Table.Name+" "+c.Name)
		}
	}
	return found, nil
}
