// Package observe is the root of the module that will own metrics, the event
// stream and the eBPF tracer. It holds nothing yet.
package observe
