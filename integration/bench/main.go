// Command bench measures how long it takes to start an isolated process and to
// see its end: ours as a library and as a command, the same system calls in C,
// and the container runtimes that are installed, one after the other in each
// round, so that all meet the same machine. All give a container its own user
// namespace, cgroup, mounts, masked paths and the default filter of system calls,
// and no network but loopback, unless their name says more. It prints Markdown
// tables: what was measured, and whether what we aim at holds.
//
//	go run ./integration/bench -n 300
//
// It needs Linux and root. What is not installed is named below the table.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	rounds := flag.Int("n", 100, "number of rounds")
	heap := flag.Int("heap", 64, "megabytes that our process holds, as a program that embeds it would")
	profile := flag.String("cpuprofile", "", "write a CPU profile of the library's launches, and of nothing else, to this file")
	flag.Parse()
	if err := run(*rounds, *heap, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
