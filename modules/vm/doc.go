// Package vm is the root of the module that will own the virtual machine
// backend: a small Linux guest under QEMU, the agent inside it, and the
// protocol between them. So far it has what a guest needs to boot: package
// initramfs writes what its kernel unpacks first, package guest is what its
// first process does, and package qemu runs it. The project's own tests run in
// such a guest, see integration/guest.
package vm
