// Command app is the program inside the containers of the script tests: one
// static binary that does one small thing, named by its first argument.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("what?")
	}
	args, what := args[1:], args[0]
	switch what {
	case "serve": // ADDRESS: answers with its environment's REPLY until SIGTERM
		return serve(args[0])
	case "wait": // until SIGTERM
		say("waiting")
		<-terminated()
		say("terminated")
	case "stubborn": // notices SIGTERM, and does not mind
		ended := terminated()
		say("stubborn")
		for {
			<-ended
			say("no")
		}
	case "breed": // WORD: has a child with that word in its arguments, and neither ends by itself
		child := exec.Command("/proc/self/exe", "stubborn", args[0])
		if err := child.Start(); err != nil {
			return err
		}
		return child.Wait()
	case "absent": // FILE
		_, err := os.Lstat(args[0])
		if err == nil {
			return errors.New(args[0] + " is there")
		}
	case "say": // WORD…
		say(strings.Join(args, " "))
	case "complain": // CODE WORD…: to standard error, then exit
		fmt.Fprintln(os.Stderr, strings.Join(args[1:], " "))
		return exit(args[0])
	case "exit": // CODE
		return exit(args[0])
	case "env": // NAME
		say(os.Getenv(args[0]))
	case "where":
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		say(dir, os.Getuid(), os.Getgid())
	case "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case "link": // FILE: where a symbolic link leads
		target, err := os.Readlink(args[0])
		if err != nil {
			return err
		}
		say(target)
	case "symlink": // TARGET FILE
		return os.Symlink(args[0], args[1])
	case "read": // FILE
		text, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(text)
		return err
	case "write": // FILE WORD…
		return os.WriteFile(args[0], []byte(strings.Join(args[1:], " ")+"\n"), 0o644)
	case "give": // FILE UID
		uid, err := strconv.Atoi(args[1])
		if err != nil {
			return err
		}
		return os.Chown(args[0], uid, -1)
	case "inject": // WORDS: tries to put them into the input of each terminal that it has
		say("injected:", inject(args[0]))
	case "get": // URL
		return get(args[0])
	case "evil": // writes what must not reach a terminal, or a log file, changed
		say("one\x1b[2J\ttwo\xff")
	case "steps": // MILLISECONDS WORD…: one so often, to standard output and error in turn
		return steps(args[0], args[1:])
	case "count": // until SIGTERM, and tells then how far it came
		return count()
	default:
		return strain(what, args)
	}
	return nil
}

// inject returns how many keys it could type.
func inject(keys string) int {
	typed := 0
	for fd := range 3 {
		for i := range []byte(keys) {
			key := keys[i]
			if _, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TIOCSTI, uintptr(unsafe.Pointer(&key))); errno == 0 {
				typed++
			}
		}
	}
	return typed
}

func say(words ...any) { fmt.Fprintln(os.Stdout, words...) }

func exit(code string) error {
	n, err := strconv.Atoi(code)
	if err == nil {
		os.Exit(n)
	}
	return err
}

func terminated() <-chan os.Signal {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	return ended
}

func steps(pause string, words []string) error {
	ms, err := strconv.Atoi(pause)
	if err != nil {
		return err
	}
	for i, word := range words {
		if _, err := fmt.Fprintln([]*os.File{os.Stdout, os.Stderr}[i%2], word); err != nil {
			return err
		}
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
	return nil
}

// count writes some MB a second.
func count() error {
	ended := terminated()
	var block []byte
	for i := 0; ; {
		block = block[:0]
		for range 200 {
			block = fmt.Appendf(block, "%d\n", i)
			i++
		}
		if _, err := os.Stdout.Write(block); err != nil {
			return err
		}
		select {
		case <-ended:
			say("end", i)
			return nil
		case <-time.After(time.Millisecond):
		}
	}
}

func serve(address string) error {
	ended := terminated()
	server := &http.Server{
		Addr: address,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "reply=%s pid=%d\n", os.Getenv("REPLY"), os.Getpid())
		}),
		ReadHeaderTimeout: 5 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ListenAndServe() }()
	say("serving", address)
	select {
	case err := <-failed:
		return err
	case <-ended:
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

func get(url string) error {
	client := http.Client{Timeout: 3 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }() // it was read to its end
	_, err = io.Copy(os.Stdout, answer.Body)
	return err
}
