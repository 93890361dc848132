// Package core is the root of the module that owns the container as a type
// (package container, portable) and as a process (Linux): launching it in its
// namespaces, its root file system, cgroup, capabilities and network.
//
// The packages below are independent of each other and of the rest of
// Containust; a program imports the one whose concern it has.
package core
