package network

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// Strays returns what the host's namespace has of routers whose projects are none
// of these: names of interfaces, or of nftables tables where there is no interface.
func Strays(_ context.Context, projects []string) ([]string, error) {
	var found []string
	known := func(hash string) bool {
		return slices.ContainsFunc(projects, func(p string) bool { return shortHash(p) == hash })
	}
	err := withHandle(func(h *netlink.Handle) error {
		links, err := h.LinkList()
		if err != nil {
			return &Error{Op: "list interfaces", Err: err}
		}
		for _, link := range links {
			if hash, ok := hashOf(link.Attrs().Name); ok && !known(hash) {
				found = append(found, link.Attrs().Name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t, err := begin()
	if err != nil {
		return nil, err
	}
	tables, err := t.conn.ListTablesOfFamily(family4.table)
	if err := errors.Join(err, t.conn.CloseLasting()); err != nil {
		return nil, &Error{Op: "list nftables tables", Err: err}
	}
	for _, table := range tables {
		hash, ok := hashOf(table.Name)
		if ok && !known(hash) && !slices.Contains(found, hostLinkPrefix+hash) {
			found = append(found, table.Name)
		}
	}
	slices.Sort(found)
	return found, nil
}

// RemoveStray removes what Strays has found.
func RemoveStray(_ context.Context, name string) error {
	hash, ok := hashOf(name)
	if !ok {
		return &Error{Op: "remove", Target: name, Err: errors.New("it is not of a router")}
	}
	return removeHostSide(hostLinkPrefix+hash, hostTablePrefix+hash)
}

// hashOf returns what the name of an interface or a table says of its project.
func hashOf(name string) (hash string, ok bool) {
	for _, prefix := range []string{hostTablePrefix, hostLinkPrefix} {
		if hash, ok := strings.CutPrefix(name, prefix); ok {
			return hash, len(hash) == len(shortHash("")) && strings.Trim(hash, "0123456789abcdef") == ""
		}
	}
	return "", false
}
