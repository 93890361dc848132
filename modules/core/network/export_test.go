package network

// For tests that look at the host from outside.
var (
	HostLink  = hostLink
	HostTable = hostTable
)
