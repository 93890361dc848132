package main

// int80 makes a system call of x86 from a program of amd64.
func int80(number, a, b, c uintptr) (result int32)
