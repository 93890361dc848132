// What this repository needs to look after itself. Nothing imports it and it is
// never released. Only the standard library and small kernel bindings, so that
// `make demo` on a fresh machine fetches next to nothing.
module github.com/containust/containust/hack

go 1.26.0

require github.com/google/nftables v0.3.0

require (
	github.com/google/go-cmp v0.6.0 // indirect
	github.com/mdlayher/netlink v1.7.3-0.20250113171957-fbb4dce95f42 // indirect
	github.com/mdlayher/socket v0.5.0 // indirect
	golang.org/x/net v0.33.0 // indirect
	golang.org/x/sync v0.6.0 // indirect
	golang.org/x/sys v0.28.0 // indirect
)
