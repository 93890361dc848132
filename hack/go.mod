// What this repository needs to look after itself. Nothing imports it and it is
// never released. Only the standard library and small kernel bindings, so that
// `make demo` on a fresh machine fetches next to nothing.
module github.com/containust/containust/hack

go 1.26.0
