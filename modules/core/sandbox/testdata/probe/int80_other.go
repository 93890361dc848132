//go:build !amd64

package main

import "syscall"

func int80(number, a, b, c uintptr) (result int32) { return -int32(syscall.ENOSYS) }
