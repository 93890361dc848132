// Package vm is the root of the module that will own the virtual machine
// backend: a small Linux guest under QEMU, the agent inside it, and the
// protocol between them. It holds nothing yet.
package vm
