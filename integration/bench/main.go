// Command bench measures how long it takes to start an isolated process and to
// see its end: ours, a floor in C, and the container runtimes that are
// installed, one after the other in each round, so that all meet the same
// machine. It prints a Markdown table.
//
//	go run ./integration/bench -n 300
//
// It needs Linux and root. What is not installed is named below the table.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	rounds := flag.Int("n", 200, "number of rounds")
	heap := flag.Int("heap", 64, "megabytes that our process holds, as a program that embeds it would")
	profile := flag.String("cpuprofile", "", "write a CPU profile of our launches to this file")
	flag.Parse()
	if err := run(*rounds, *heap, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A contender starts the same program in its own way and waits for its end.
type contender struct {
	name  string
	start func() (time.Duration, error)
	times []time.Duration
	floor *contender // the same from C; nil: that of the first contender
}

// measure runs all contenders in turn, rotating who begins.
func measure(contenders []*contender, rounds int) error {
	const warmUp = 10
	for round := range rounds + warmUp {
		for i := range contenders {
			c := contenders[(round+i)%len(contenders)]
			d, err := c.start()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if round >= warmUp {
				c.times = append(c.times, d)
			}
		}
	}
	return nil
}

// table formats what was measured; the first contender is what others are
// compared with.
func table(contenders []*contender, missing []string) string {
	var b strings.Builder
	b.WriteString("| start and exit of a static program | median ms | p99 ms | to the floor | to ours |\n|---|---:|---:|---:|---:|\n")
	ours := contenders[0]
	for _, c := range contenders {
		slices.Sort(c.times)
	}
	for _, c := range contenders {
		ratio, floor := "–", c.floor
		if floor == nil {
			floor = ours.floor
		}
		if floor != nil {
			ratio = fmt.Sprintf("%.2f", float64(c.quantile(0.5))/float64(floor.quantile(0.5)))
		}
		fmt.Fprintf(&b, "| %s | %.2f | %.2f | %s | %.2f |\n", c.name, milliseconds(c.quantile(0.5)),
			milliseconds(c.quantile(0.99)), ratio, float64(c.quantile(0.5))/float64(ours.quantile(0.5)))
	}
	for _, m := range missing {
		fmt.Fprintf(&b, "\nnot measured: %s\n", m)
	}
	return b.String()
}

// parts are where the time of a launch in a user namespace goes.
var parts = breakdown{names: []string{"namespaces", "overlay", "launch", "run and end"}}

// breakdown is a sum of times, in parts.
type breakdown struct {
	names []string
	times [][]time.Duration
}

func (b *breakdown) add(times ...time.Duration) { b.times = append(b.times, times) }

// String lists the median of each part.
func (b *breakdown) String() string {
	if len(b.times) == 0 {
		return ""
	}
	var words []string
	for i, name := range b.names {
		c := contender{}
		for _, t := range b.times {
			c.times = append(c.times, t[i])
		}
		slices.Sort(c.times)
		words = append(words, fmt.Sprintf("%s %.2f", name, milliseconds(c.quantile(0.5))))
	}
	return "\nin a user namespace, median ms: " + strings.Join(words, ", ") + "\n"
}

func (c *contender) quantile(q float64) time.Duration {
	return c.times[min(int(q*float64(len(c.times))), len(c.times)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

const floorName = "floor: the same calls in C, vfork"
