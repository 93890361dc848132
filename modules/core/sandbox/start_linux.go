//go:build amd64 || arm64

package sandbox

import "unsafe"

// start makes a process with h.clone, whose child walks the ops from h.first,
// and returns its id or a negative errno. All signals are blocked around the
// clone and stay so in the child: one that arrived there would run a handler
// of the Go runtime without a Go stack.
//
//go:noescape
func start(h *header) (pid int64)

// initCode is where the text of the init program begins.
func initCode() unsafe.Pointer

// walkerCode is where the text of the walker begins.
func walkerCode() unsafe.Pointer
