package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A contender starts the same program in its own way and waits for its end.
type contender struct {
	name  string
	start func() (time.Duration, error)
	times []time.Duration
}

// The contenders that the aims name.
const (
	library = "**library**"
	floor   = "the same calls in C, vfork"
	crun    = "crun run"
	runc    = "runc run"
	ctst    = "**ctst run**, without a network"
	routed  = "**ctst run**, with the project's network"
	podman  = "podman run, without a network"
	bwrap   = "bwrap, without cgroup and filter"
)

// aims are what the median of one may be at most, in medians of another.
var aims = []struct {
	who, beside string
	most        float64
}{
	{library, floor, 1.3},
	{library, crun, 0.35},
	{library, runc, 0.15},
	{ctst, crun, 1},
	{ctst, podman, 1},
}

// measure runs all contenders in turn, rotating who begins.
func measure(contenders []*contender, rounds int) error {
	const warmUp = 5
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
	for _, c := range contenders {
		slices.Sort(c.times)
	}
	return nil
}

// table formats what was measured.
func table(contenders []*contender, missing []string) string {
	var b strings.Builder
	b.WriteString("| start and exit of a static program | median ms | p99 ms |\n|---|---:|---:|\n")
	for _, c := range contenders {
		fmt.Fprintf(&b, "| %s | %.2f | %.2f |\n", c.name, milliseconds(c.quantile(0.5)), milliseconds(c.quantile(0.99)))
	}
	b.WriteString("\n| ratio of medians | aim | is | |\n|---|---:|---:|---|\n")
	for _, aim := range aims {
		who, beside := find(contenders, aim.who), find(contenders, aim.beside)
		if who == nil || beside == nil {
			continue
		}
		ratio, holds := float64(who.quantile(0.5))/float64(beside.quantile(0.5)), "missed"
		if ratio <= aim.most {
			holds = "holds"
		}
		fmt.Fprintf(&b, "| %s : %s | ≤ %.2f | %.2f | %s |\n", aim.who, aim.beside, aim.most, ratio, holds)
	}
	for _, m := range missing {
		fmt.Fprintf(&b, "\nnot measured: %s\n", m)
	}
	return b.String()
}

func find(contenders []*contender, name string) *contender {
	for _, c := range contenders {
		if c.name == name {
			return c
		}
	}
	return nil
}

// parts are where the time of the library goes.
var parts = breakdown{names: []string{"namespaces", "overlay", "cgroup", "launch", "run and end", "cgroup removed"}}

// breakdown is a sum of times, in parts.
type breakdown struct {
	names []string
	times [][]time.Duration
}

// add takes the moments at which the parts began, and the end.
func (b *breakdown) add(moments ...time.Time) {
	var times []time.Duration
	for i, m := range moments[1:] {
		times = append(times, m.Sub(moments[i]))
	}
	b.times = append(b.times, times)
}

// String lists the median of each part.
func (b *breakdown) String() string {
	var words []string
	for i, name := range b.names {
		c := contender{}
		for _, t := range b.times {
			c.times = append(c.times, t[i])
		}
		slices.Sort(c.times)
		words = append(words, fmt.Sprintf("%s %.2f", name, milliseconds(c.quantile(0.5))))
	}
	return "\nthe library's, median ms: " + strings.Join(words, ", ") + "\n"
}

func (c *contender) quantile(q float64) time.Duration {
	return c.times[min(int(q*float64(len(c.times))), len(c.times)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
