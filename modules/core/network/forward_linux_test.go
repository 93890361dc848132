package network_test

import (
	"testing"

	"github.com/google/nftables"
	"github.com/stretchr/testify/require"

	"github.com/containust/containust/modules/core/kerneltest"
	"github.com/containust/containust/modules/core/network"
)

func TestDropping(t *testing.T) {
	kerneltest.RequireRoot(t)
	conn, err := nftables.New()
	require.NoError(t, err)
	drop, accept := nftables.ChainPolicyDrop, nftables.ChainPolicyAccept
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "firewall"})
	for name, c := range map[string]nftables.Chain{
		"dropping":  {Hooknum: nftables.ChainHookForward, Policy: &drop},
		"accepting": {Hooknum: nftables.ChainHookForward, Policy: &accept},
		"input":     {Hooknum: nftables.ChainHookInput, Policy: &drop},
	} {
		c.Name, c.Table, c.Type, c.Priority = name, table, nftables.ChainTypeFilter, nftables.ChainPriorityFilter
		conn.AddChain(&c)
	}
	conn.AddChain(&nftables.Chain{Name: "called", Table: table})
	require.NoError(t, conn.Flush())
	t.Cleanup(func() {
		conn.DelTable(table)
		require.NoError(t, conn.Flush())
	})
	found, err := network.Dropping()
	require.NoError(t, err)
	require.Equal(t, []string{"firewall dropping"}, found)
}
