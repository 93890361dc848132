//go:build !linux

// Command init is the first process of the guest, which runs Linux.
package main

func main() { panic("init: needs Linux") }
