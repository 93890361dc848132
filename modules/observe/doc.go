// Package observe is the root of the module that says what containers do: what
// they use, in package metrics.
package observe
