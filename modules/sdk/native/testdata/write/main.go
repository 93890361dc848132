// Command write writes to standard output what tests of logs can check:
//
//	write count RATE     numbered lines of 64 bytes, RATE bytes a second, until SIGTERM
//	write lines N        N of them, as fast as it can
//	write flood BYTES    so many, as fast as it can
//	write tick N         a line with its number and the time each millisecond
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(what, argument string) error {
	n, err := strconv.Atoi(argument)
	if err != nil {
		return err
	}
	switch what {
	case "count":
		return count(n)
	case "lines":
		out := bufio.NewWriter(os.Stdout)
		for i := range n {
			if err := line(out, i); err != nil {
				return err
			}
		}
		return out.Flush()
	case "flood":
		block := bytes.Repeat([]byte("y\n"), 64<<10)
		for n > 0 {
			written, err := os.Stdout.Write(block[:min(n, len(block))])
			if err != nil {
				return err
			}
			n -= written
		}
		return nil
	case "tick":
		for i := range n {
			if _, err := fmt.Printf("%d %d\n", i, time.Now().UnixNano()); err != nil {
				return err
			}
			time.Sleep(time.Millisecond)
		}
		return nil
	}
	return fmt.Errorf("what is %s?", what)
}

func line(out *bufio.Writer, i int) error {
	_, err := fmt.Fprintf(out, "%010d %s\n", i, "a line that is sixty-four bytes long with its number")
	return err
}

// count writes at a steady rate: after it had to wait, as much as it has missed.
func count(rate int) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	out := bufio.NewWriter(os.Stdout)
	began := time.Now()
	for i := 0; ; {
		for due := int(time.Since(began).Seconds() * float64(rate) / 64); i < due; i++ {
			if err := line(out, i); err != nil {
				return err
			}
		}
		select {
		case <-end:
			if _, err := fmt.Fprintf(out, "end %d\n", i); err != nil {
				return err
			}
			return out.Flush()
		case <-time.After(time.Millisecond):
		}
	}
}
