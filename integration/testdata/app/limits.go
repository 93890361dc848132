package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// strain does what a limit is there for.
func strain(what string, args []string) error {
	switch what {
	case "alloc": // SIZE: uses that much memory, then waits until SIGTERM
		return alloc(args[0])
	case "spin": // DURATION: keeps all its processors busy, and says how much of one it got
		return spin(args[0])
	case "forkbomb": // makes processes as long as it lives, which SIGTERM does not end
		say("forking")
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
		forkbomb()
	case "ignore": // SIGTERM, for ever
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT)
		say("ignoring")
		for {
			time.Sleep(time.Hour)
		}
	case "writeio": // FILE SIZE: writes past the page cache, and says how fast
		return writeIO(args[0], args[1])
	}
	return fmt.Errorf("%s?", what)
}

// bytes reads a size such as 64MiB.
func bytes(size string) (int, error) {
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, ok := strings.CutSuffix(size, unit); ok {
			size, shift = rest, 10*(i+1)
		}
	}
	n, err := strconv.Atoi(size)
	return n << shift, err
}

func alloc(size string) error {
	n, err := bytes(size)
	if err != nil {
		return err
	}
	ended := terminated()
	memory := make([]byte, n)
	for at := 0; at < n; at += os.Getpagesize() {
		memory[at] = 1
	}
	say("allocated", size)
	<-ended
	runtime.KeepAlive(memory)
	return nil
}

func spin(duration string) error {
	wanted, err := time.ParseDuration(duration)
	if err != nil {
		return err
	}
	// The runtime itself would use no more than the limit allows.
	runtime.GOMAXPROCS(runtime.NumCPU())
	began := time.Now()
	var busy sync.WaitGroup
	for range runtime.NumCPU() {
		busy.Go(func() {
			for time.Since(began) < wanted {
			}
		})
	}
	busy.Wait()
	wall := time.Since(began)
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return err
	}
	say("used", 100*(used.Utime.Nano()+used.Stime.Nano())/wall.Nanoseconds(), "%")
	return nil
}

// forkbomb never returns, nor do the processes that it makes, each in a session
// of its own. They have no more than this thread of the Go runtime, and so do
// nothing but system calls.
func forkbomb() {
	pause := syscall.Timespec{Nsec: 1e6}
	for {
		switch pid, _, errno := syscall.RawSyscall6(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0, 0, 0, 0); {
		case errno != 0: // a limit is reached
			_, _, _ = syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
		case pid == 0:
			_, _, _ = syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0)
		}
	}
}

func writeIO(path, size string) (err error) {
	n, err := bytes(size)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|syscall.O_DIRECT, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// Whole pages, as O_DIRECT wants them.
	block, err := syscall.Mmap(-1, 0, 64<<10, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, syscall.Munmap(block)) }()
	began, wrote := time.Now(), 0
	for wrote < n {
		if _, err := f.Write(block); err != nil {
			return err
		}
		wrote += len(block)
	}
	say(int(float64(wrote)/time.Since(began).Seconds()), "bytes per second")
	return nil
}
